package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/label"
	"lamplighter/internal/store"
)

// faultSite is a whole demo and installers whose engines reach it through its
// bridge. When the test ends, whatever anybody could read is searched for
// secrets, and all nonces are checked.
type faultSite struct {
	*demo
	t    *testing.T
	seen *transcript

	mu      sync.Mutex
	secrets map[string]string // secret -> what it is
}

const faultGroup = "hall"

// patient waits long enough for a loaded machine, and no longer.
var patient = commission.Tuning{
	Timeout: 1500 * time.Millisecond, Leisure: 60 * time.Millisecond, Grace: 300 * time.Millisecond,
	Discovery: 400 * time.Millisecond, FollowUp: 2 * time.Second, Backoff: 100 * time.Millisecond,
}

func startFaultSite(t *testing.T, lamps int, change ...func(*demoCmd)) *faultSite {
	t.Helper()
	cmd := demoCmd{
		Devices: lamps, Data: t.TempDir(), Listen: "127.0.0.1:0", Interface: "lo", Slot: -1,
		Leisure: 10 * time.Millisecond, Site: "Test", Installer: "Ann", Groups: []string{faultGroup},
	}
	for _, c := range change {
		c(&cmd)
	}
	s := &faultSite{t: t, seen: &transcript{}, secrets: map[string]string{}}
	logger := slog.New(slog.NewTextHandler(s.seen, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if s.demo, err = startDemo(t.Context(), cmd, logger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	s.secret("an access code", []byte(s.accessCode()))
	for _, l := range s.lamps.lamps {
		s.secret("the label secret of "+l.name, l.config.LabelSecret)
	}
	keys, err := filepath.Glob(filepath.Join(cmd.Data, "keys", "*"))
	if err != nil || len(keys) < 4 {
		t.Fatalf("%d key files, %v", len(keys), err)
	}
	for _, file := range keys {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var secret []byte
		if block, _ := pem.Decode(text); block != nil { // PKCS #8 ends with the key
			secret = block.Bytes[len(block.Bytes)-ed25519.SeedSize:]
		} else if _, err := fmt.Sscanf(string(text), "%x", &secret); err != nil {
			t.Fatal(err)
		}
		s.secret("what is in "+filepath.Base(file), secret)
	}
	return s
}

// secret notes what must not stand in any text.
func (s *faultSite) secret(what string, secret []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[string(secret)] = what
}

// end stops the site and looks back.
func (s *faultSite) end() {
	s.demo.stop()
	checkNonces(s.t)
	everSealed.mu.Lock()
	for key := range everSealed.keys {
		s.secret("an AEAD key", []byte(key))
	}
	everSealed.mu.Unlock()
	text := s.seen.String()
	for i, leak := range leaksIn(text, s.secrets) {
		if i < 10 {
			s.t.Errorf("a secret is in the open: %s", leak)
		}
	}
	if strings.Contains(text, "panic") {
		s.t.Error("a handler panicked")
	}
	if s.t.Failed() && testing.Verbose() {
		s.t.Logf("the end of the log:\n%s", text[max(0, len(text)-6000):])
	}
}

// installer is an engine at the site's bridge, as a browser has it.
type installer struct {
	*commission.Engine
	s     *faultSite
	store store.Store
	link  *endpoint.Link
}

// install starts an engine over a store. It hears about its link as the page's
// engine does.
func (s *faultSite) install(db store.Store, change ...func(*commission.Config)) *installer {
	s.t.Helper()
	i := &installer{s: s, store: db}
	tokens, base := make(chan string, 16), s.bridge.url()
	signIn := func(ctx context.Context, code string) error {
		token, err := endpoint.SignIn(ctx, base, code)
		if err == nil {
			s.secret("a session's token", []byte(token))
			tokens <- token
		}
		return err
	}
	ready := make(chan struct{})
	i.link = endpoint.NewLink(bridgeDialer(base, tokens), func(l endpoint.LinkState) {
		<-ready
		i.SetLink(l.Up, l.RTT, linkReason(l.Reason))
	})
	config := commission.Config{
		Store: db, Exchange: i.link, SignIn: signIn, Sealer: quickAge{}, Logger: s.logger, Tuning: patient, Version: version,
		Events: func(e commission.Event) { s.show(e) },
	}
	for _, c := range change {
		c(&config)
	}
	var err error
	if i.Engine, err = commission.New(config); err != nil {
		s.t.Fatal(err)
	}
	close(ready)
	s.t.Cleanup(i.finish)
	if err := i.Start(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	if i.Snapshot().Site.Name != "" { // a browser has its cookie
		if err := i.SignInAgain(context.Background()); err != nil {
			s.t.Fatal(err)
		}
	}
	return i
}

// finish closes the engine; what support would get is among what is searched.
func (i *installer) finish() {
	i.s.seen.Write([]byte(i.Diagnostics()))
	i.s.show(i.Snapshot())
	i.Close()
	i.link.Close()
}

func (s *faultSite) show(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		s.t.Error(err)
	}
	s.seen.Write(append(text, '\n'))
}

// invitation is a new one for somebody.
func (s *faultSite) invitation(name string) commission.Invitation {
	s.t.Helper()
	invitation, _, err := s.as.invite(context.Background(), inviteRequest{Name: name, Role: "installer", Groups: s.cmd.Groups, Seconds: 3600})
	if err != nil {
		s.t.Fatal(err)
	}
	s.secret("an invitation's secret", invitation.Secret)
	s.secret("an access code", []byte(invitation.AccessCode))
	return s.site().complete(invitation)
}

// accessCode is the one of the demo's own invitation.
func (s *faultSite) accessCode() string {
	s.t.Helper()
	invitation, err := commission.ParseInvitation(s.link)
	if err != nil {
		s.t.Fatal(err)
	}
	return invitation.AccessCode
}

// enrolled is a new installer with a new site credential and an invitation.
func (s *faultSite) enrolled(name string, change ...func(*commission.Config)) *installer {
	s.t.Helper()
	i := s.install(store.NewMemory(), change...)
	if _, err := i.AcceptInvitation(s.t.Context(), s.invitation(name).Encode()); err != nil {
		s.t.Fatal(err)
	}
	return i
}

// table is labels.csv, after a change to each label.
func (s *faultSite) table(change ...func(n int, l *label.Label)) string {
	s.t.Helper()
	list := s.lamps.labels()
	for n := range list {
		for _, c := range change {
			c(n, &list[n])
		}
	}
	var b strings.Builder
	if err := label.WriteCSV(&b, list); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

// id of the n-th lamp.
func (s *faultSite) id(n int) string { return label.FormatID(s.lamps.lamps[n].config.ID) }

func (s *faultSite) ids() []string {
	var ids []string
	for n := range s.lamps.lamps {
		ids = append(ids, s.id(n))
	}
	return ids
}

// importAll gives an installer all labels as they are.
func (i *installer) importAll() {
	i.s.t.Helper()
	if _, err := i.ImportLabels(i.s.t.Context(), i.s.table()); err != nil {
		i.s.t.Fatal(err)
	}
}

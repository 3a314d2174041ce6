package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lamplighter/bridge/control"
	"lamplighter/internal/as"
	"lamplighter/internal/commission"
	"lamplighter/internal/gm"
)

// TestTextsHoldNoSecrets runs both servers with all that is logged, invites by
// command, joins, rekeys and revokes, makes mistakes at the control sockets, and
// searches the logs, the metrics, the answers that are no invitations, and what
// check-config says, for everything secret.
func TestTextsHoldNoSecrets(t *testing.T) {
	seen, secrets := &transcript{}, map[string]string{}
	logger := slog.New(slog.NewJSONHandler(seen, &slog.HandlerOptions{Level: slog.LevelDebug}))
	data, loopback := t.TempDir(), netip.MustParseAddrPort("127.0.0.1:0")
	asMeter, gmMeter := newMeter(asName, as.Events), newMeter(gmName, gm.Events)
	a, err := startAS(asOptions{data: data, listen: loopback, logger: logger, meter: asMeter})
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop()
	g, err := startGM(t.Context(), gmOptions{data: data, listen: loopback, as: a.addr(), groups: []string{"hall"}, logger: logger, meter: gmMeter})
	if err != nil {
		t.Fatal(err)
	}
	defer g.stop()
	site := siteInfo{origin: "http://127.0.0.1:8080", name: "Test", gm: g.addr(), gmCred: g.identity.cred, multicast: netip.MustParseAddrPort("224.0.1.187:5683")}
	if err := a.serveControl(data, site); err != nil {
		t.Fatal(err)
	}
	s := &nativeSite{t: t, as: a, gm: g, group: netip.AddrPortFrom(netip.MustParseAddr("224.0.1.187"), freePort(t).Port())}
	show := func(v any, err error) {
		text, failed := json.Marshal(v)
		if failed != nil {
			t.Fatal(failed)
		}
		fmt.Fprintf(seen, "%s %v\n", text, err)
	}
	invite := func(name string) commission.Invitation {
		made, err := callAS[invited](t.Context(), atAS{Data: data}, "POST", "/invite", inviteRequest{Name: name, Role: "installer", Groups: []string{"hall"}, Seconds: 600})
		if err != nil {
			t.Fatal(err)
		}
		i, err := commission.ParseInvitation(made.Link)
		if err != nil {
			t.Fatal(err)
		}
		secrets[string(i.Secret)], secrets[i.AccessCode] = "the secret of "+name+"'s invitation", "the access code of "+name
		return i
	}
	invite("Zoe")
	pending := invite("Bob")
	e := s.newEngine("Ann")
	if err := e.Enter(t.Context(), "hall"); err != nil {
		t.Fatal(err)
	}
	if err := g.server.Rekey(t.Context(), "hall", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := e.RollCall(t.Context(), "hall"); err != nil {
		t.Log(err) // nobody is there to answer
	}
	// Commands, and mistakes: a whole link where a name belongs, too.
	people := func() { show(callAS[[]person](t.Context(), atAS{Data: data}, "GET", "/people", nil)) }
	people()
	for _, who := range []string{"http://127.0.0.1:8080/#i=" + pending.Encode(), pending.Encode(), "nobody", "Bob", "Ann", "Bob"} {
		show(callAS[[]person](t.Context(), atAS{Data: data}, "POST", "/revoke", revokeRequest{who}))
	}
	people()
	show(callAS[invited](t.Context(), atAS{Data: data}, "POST", "/invite", map[string]any{"Name": pending.AccessCode, "Secret": pending.Secret}))
	show(control.Call[gmStatus](t.Context(), data, gmName, "GET", "/status", nil))
	show(control.Call[gmStatus](t.Context(), data, gmName, "GET", "/"+pending.AccessCode, nil))
	for _, m := range []*meter{asMeter, gmMeter} {
		for _, path := range []string{"/metrics", "/healthz", "/"} {
			code, text := scrape(t, m.handler(), path)
			fmt.Fprintln(seen, code, text)
		}
	}
	readKeys(t, data, secrets)
	// A key file that others may read is told by its name.
	keys, err := filepath.Glob(filepath.Join(data, "keys", "*.key"))
	if err != nil || len(keys) == 0 {
		t.Fatal(keys, err)
	}
	if err := os.Chmod(keys[0], 0o644); err != nil {
		t.Fatal(err)
	}
	var c cli
	app := newParser(&c).Model
	file, problems := readConfig(strings.NewReader("data: "+data+"\n"), app)
	problems = append(problems, file.check(app)...)
	if len(problems) == 0 {
		t.Error("check-config has nothing to say")
	}
	for _, p := range problems {
		fmt.Fprintln(seen, p)
	}
	everSealed.mu.Lock()
	for key := range everSealed.keys {
		secrets[key] = "an AEAD key"
	}
	everSealed.mu.Unlock()
	text := seen.String()
	for _, want := range []string{"revoked", "lamplighter_gm_events_total", "lamplighter_as_", "rekeyed a group", "nobody is called"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in what was searched", want)
		}
	}
	for i, leak := range leaksIn(text, secrets) {
		if i < 10 {
			t.Errorf("a secret is in the open: %s", leak)
		}
	}
}

// readKeys takes the files of a data folder's keys for secrets.
func readKeys(t *testing.T, data string, secrets map[string]string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "keys", "*"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var secret []byte
		if _, err := fmt.Sscanf(string(text), "%x", &secret); err == nil {
			secrets[string(secret)] = "what is in " + filepath.Base(path)
		}
	}
}

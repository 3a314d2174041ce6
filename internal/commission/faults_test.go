package commission

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/label"
	"lamplighter/internal/sim"
)

// TestBadDevices joins a batch in which several devices have something wrong:
// each gets its own sentence, the rest is joined.
func TestBadDevices(t *testing.T) {
	w := newWorld(t, 7)
	other := w.engine(nil)
	other.must(other.AcceptInvitation(t.Context(), w.invite("Bob")))
	other.must(other.ImportLabels(t.Context(), w.table()))
	if j := other.job(other.Claim(t.Context(), []string{w.lamps[4].id()})); j.State != JobDone {
		t.Fatal(other.failures(j))
	}
	// The owner key has to be used, or the label would still open the device.
	if err := other.Blink(t.Context(), w.lamps[4].id(), 1); err != nil {
		t.Fatal(err)
	}
	foreign(t, other, w.lamps[5])

	b := w.engine(nil)
	b.must(b.AcceptInvitation(t.Context(), w.invite("Ann")))
	absent := label.Label{ID: [8]byte{9, 9, 9, 9, 9, 9, 9, 9}, Model: "lamp-dim-1", Thumbprint: make([]byte, 16), Secret: make([]byte, 16)}
	table := w.table(func(l *label.Label) {
		switch l.ID[7] {
		case 1:
			l.Secret = []byte("another secret!!")
		case 2:
			l.Thumbprint = bytes.Repeat([]byte{7}, 16)
		case 3:
			l.Address = w.lamps[3].addr // of the fourth
		}
	})
	b.must(b.ImportLabels(t.Context(), table+"\n"+absent.Encode()+",\n"))
	b.must(b.ImportLabels(t.Context(), absent.Encode()))
	w.net.Down(w.lamps[6].addr, true)
	for _, d := range []int{6} { // powered off after it was found
		b.locatedAt(w.lamps[d])
	}
	want := map[string]string{
		w.lamps[0].id():           "wrong-label-secret",
		w.lamps[1].id():           "credential-mismatch",
		w.lamps[2].id():           "", // found elsewhere
		w.lamps[3].id():           "",
		w.lamps[4].id():           "claimed-by-other",
		w.lamps[5].id():           "foreign-device",
		w.lamps[6].id():           "device-silent",
		label.FormatID(absent.ID): "device-not-found",
	}
	var ids []string
	for id := range want {
		ids = append(ids, id)
	}
	// The third starts with the wrong address of its label.
	j := b.job(b.Join(t.Context(), hall, ids))
	if j.State != JobPartial || j.Done != 2 || j.Failed != 6 {
		t.Errorf("job: %s", b.failures(j))
	}
	for id, problem := range want {
		if got := problemOf(j, id); got != problem {
			t.Errorf("%s: %q, want %q", id, got, problem)
		}
	}
	for _, d := range b.Snapshot().Devices {
		if (want[d.ID] == "") != (d.State == DeviceJoined) || (d.Problem != nil) != (want[d.ID] != "") {
			t.Errorf("%s is %s, problem %+v", d.ID, d.State, d.Problem)
		}
	}
	w.net.Down(w.lamps[6].addr, false)
	if j = b.job(b.RetryJob(t.Context(), j.ID)); j.Done != 3 || problemOf(j, w.lamps[6].id()) != "" {
		t.Errorf("after the power came back: %s", b.failures(j))
	}
	if got := len(w.members(hall)); got != 4 {
		t.Errorf("%d members", got)
	}
}

// foreign registers a lamp at the Authorization Server for another installer.
func foreign(t *testing.T, other *browser, l *lamp) {
	t.Helper()
	sum := cose.Thumbprint(l.Credential())
	s := other.current()
	if err := call(t.Context(), &s.as, coap.PUT, "/devices/"+l.id(), registration{sum[:], "lamp-dim-1"}, nil); err != nil {
		t.Fatal(err)
	}
}

// locatedAt gives a device the address where it was before.
func (b *browser) locatedAt(l *lamp) {
	b.t.Helper()
	s := b.current()
	d, err := s.device(l.id())
	b.must(nil, err)
	b.must(nil, s.updateDevice(b.t.Context(), d, func(r *deviceRecord) { r.Address = l.addr.String() }))
}

// TestServersDown switches the servers off: a sentence, and a retry that joins
// everybody once.
func TestServersDown(t *testing.T) {
	for _, tt := range []struct {
		addr    netip.AddrPort
		problem string
	}{{gmAddr, "gm-down"}, {asAddr, "as-down"}} {
		t.Run(tt.problem, func(t *testing.T) {
			w := newWorld(t, 3)
			b := w.enrolled()
			b.joinedOnly(w.lamps[0].id())
			w.net.Down(tt.addr, true)
			j := b.job(b.Join(t.Context(), hall, w.ids()))
			if j.State != JobPartial || j.Done != 1 {
				t.Errorf("job: %s", b.failures(j))
			}
			for _, l := range w.lamps[1:] {
				if got := problemOf(j, l.id()); got != tt.problem {
					t.Errorf("%q, want %q", got, tt.problem)
				}
			}
			w.net.Down(tt.addr, false)
			b.forgiven(tt.addr)
			if j = b.job(b.RetryJob(t.Context(), j.ID)); j.State != JobDone {
				t.Errorf("retry: %s", b.failures(j))
			}
			if got := len(w.members(hall)); got != 4 {
				t.Errorf("%d members", got)
			}
			b.verified(3)
		})
	}
}

func (b *browser) joinedOnly(ids ...string) {
	b.t.Helper()
	if j := b.job(b.Join(b.t.Context(), hall, ids)); j.State != JobDone {
		b.t.Fatal(b.failures(j))
	}
}

// forgiven ends the pause after a server was silent.
func (b *browser) forgiven(addr netip.AddrPort) { b.wire.server(addr) }

// TestGroupManagerDownAtFirst cannot even join the browser.
func TestGroupManagerDownAtFirst(t *testing.T) {
	w := newWorld(t, 2)
	b := w.engine(nil)
	w.net.Down(gmAddr, true)
	b.must(b.AcceptInvitation(t.Context(), w.invite("Ann")))
	b.must(b.ImportLabels(t.Context(), w.table()))
	j := b.job(b.Join(t.Context(), hall, w.ids()))
	if j.State != JobFailed || problemOf(j, w.lamps[0].id()) != "gm-down" || problemOf(j, w.lamps[1].id()) != "gm-down" {
		t.Errorf("job: %s", b.failures(j))
	}
	w.net.Down(gmAddr, false)
	b.forgiven(gmAddr)
	b.joined()
	b.verified(2)
}

// flaky is a link that goes away after some exchanges.
type flaky struct {
	coap.Exchanger
	left atomic.Int64
}

func (f *flaky) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	if f.left.Add(-1) < 0 {
		return nil, coap.ErrLink
	}
	return f.Exchanger.Exchange(ctx, to, req)
}

// TestBridgeGoesAway breaks the link in the middle of a join; the job waits and
// goes on by itself.
func TestBridgeGoesAway(t *testing.T) {
	w := newWorld(t, 6)
	link := &flaky{Exchanger: w.net.From(browserAddr)}
	link.left.Store(1 << 40)
	b := w.enrolled(func(c *Config) { c.Exchange = link })
	link.left.Store(30)
	j, err := b.Join(t.Context(), hall, w.ids())
	b.must(j, err)
	b.SetLink(false, 0, "The bridge is gone.")
	deadline := time.Now().Add(5 * time.Second)
	for link.left.Load() >= 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	snap := b.Snapshot()
	if snap.Jobs[0].State != JobWaiting || snap.Link.Up || snap.Jobs[0].Failed != 0 {
		t.Errorf("job is %s with the link %+v", snap.Jobs[0].State, snap.Link)
	}
	link.left.Store(1 << 40)
	b.SetLink(true, time.Millisecond, "")
	if j = b.job(j, nil); j.State != JobDone {
		t.Errorf("job: %s", b.failures(j))
	}
	if got := len(w.members(hall)); got != 7 {
		t.Errorf("%d members", got)
	}
}

// TestTokenExpires lets a day pass: the browser's association with the Group
// Manager is replaced.
func TestTokenExpires(t *testing.T) {
	w := newWorld(t, 3)
	b := w.enrolled()
	b.joinedOnly(w.lamps[0].id())
	w.advance(25 * time.Hour)
	b.joined()
	b.verified(3)
}

// TestGroupManagerForgetsAssociation: what the GM does not know any more is made
// anew.
func TestGroupManagerForgetsAssociation(t *testing.T) {
	w := newWorld(t, 3)
	b := w.enrolled()
	b.joinedOnly(w.lamps[0].id())
	w.bootGM() // associations challenge with Echo now
	b.joined()
	b.verified(3)
}

// TestRebootedDevices answer a multicast with an Echo challenge and count after
// the repetition in pairwise mode.
func TestRebootedDevices(t *testing.T) {
	w := newWorld(t, 4)
	b := w.enrolled()
	b.joined()
	b.verified(4)
	for _, l := range w.lamps[:2] {
		w.boot(l)
	}
	again := 0
	for _, a := range b.verified(4).Answers {
		if a.Unicast {
			again++
		}
	}
	if again != 2 {
		t.Errorf("%d answers by unicast, want 2", again)
	}
	if call := b.verified(4); call.Unicasts != 0 {
		t.Errorf("%d unicasts after all are in step", call.Unicasts)
	}
}

// TestSilentDevice is asked again by unicast and then reported.
func TestSilentDevice(t *testing.T) {
	w := newWorld(t, 4)
	b := w.enrolled()
	b.joined()
	w.net.Down(w.lamps[2].addr, true)
	call, err := b.RollCall(t.Context(), hall)
	if err != nil || call.Verified != 3 || call.Unicasts == 0 || call.Multicasts != 1 {
		t.Fatalf("%+v, %v", call, err)
	}
	if a := call.Answers[2]; a.State != AnswerSilent || a.Problem == nil || a.Problem.ID != "device-silent" {
		t.Errorf("%+v", a)
	}
	table, _ := b.RollCallCSV(t.Context(), hall)
	if !strings.Contains(table, "silent") {
		t.Error(table)
	}
	w.net.Down(w.lamps[2].addr, false)
	w.net.SetFaults(sim.Faults{Loss: 0.3})
	b.verified(4)
}

// TestMismatch: an answer in a device's place that verified under another key
// than its label's is not green. DESIGN S9.
func TestMismatch(t *testing.T) {
	w := newWorld(t, 2)
	b := w.enrolled()
	b.joined()
	s := b.current()
	d, err := s.device(w.lamps[0].id())
	b.must(nil, err)
	impostor := cose.NewCCS("impostor", newKey(t).Public().(ed25519.PublicKey))
	b.must(nil, s.updateDevice(t.Context(), d, func(r *deviceRecord) {
		r.Cred, r.Groups = impostor, []place{{Group: hall}}
	}))
	g, _ := s.knownGroup(hall)
	g.using.Lock()
	for _, p := range g.keys.Current().Peers() { // as after a reload
		g.keys.Current().RemovePeer(p.KID)
	}
	g.using.Unlock()
	call, err := b.RollCall(t.Context(), hall)
	if err != nil || call.Verified != 1 || call.Answers[0].State != AnswerMismatch {
		t.Errorf("%+v, %v", call, err)
	}
}

// TestSecretsStayInside looks for every secret in logs, events, diagnostics.
func TestSecretsStayInside(t *testing.T) {
	w := newWorld(t, 2)
	invitation := w.invite("Ann")
	inv, err := ParseInvitation(invitation)
	if err != nil {
		t.Fatal(err)
	}
	b := w.engine(nil)
	b.must(b.AcceptInvitation(t.Context(), invitation))
	b.must(b.ImportLabels(t.Context(), w.table()))
	b.joined()
	b.verified(2)
	w.net.Down(gmAddr, true)
	b.job(b.Join(t.Context(), stage, w.ids()))
	s := b.current()
	secrets := [][]byte{inv.Secret, []byte(inv.AccessCode), s.rec.Seed, s.rec.InstallerKey, s.groups[hall].member.MasterSecret}
	for _, d := range s.devices {
		secrets = append(secrets, d.rec.Secret, d.rec.OwnerKey)
	}
	b.Close()
	events, err := json.Marshal(b.events)
	b.must(nil, err)
	haystack := string(events) + b.Diagnostics() + inv.String()
	w.mu.Lock()
	haystack += w.logs.String()
	w.mu.Unlock()
	if len(haystack) < 5000 {
		t.Errorf("only %d bytes to look through", len(haystack))
	}
	for _, secret := range secrets {
		if len(secret) < 8 {
			t.Fatal("not a secret")
		}
		for _, form := range []string{string(secret), hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)} {
			if strings.Contains(haystack, form) {
				t.Errorf("a secret is in the open: %q", form)
			}
		}
	}
}

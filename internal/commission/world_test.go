package commission

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	lampdevice "lamplighter/internal/device"
	"lamplighter/internal/gm"
	"lamplighter/internal/label"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

// Addresses of the world under test.
var (
	asAddr      = netip.MustParseAddrPort("127.0.0.1:5689")
	gmAddr      = netip.MustParseAddrPort("127.0.0.1:5690")
	groupAddr   = netip.MustParseAddrPort("224.0.1.187:5683")
	browserAddr = netip.MustParseAddrPort("127.0.0.1:40000")
)

const (
	hall  = "hall-ceiling"
	stage = "stage"
)

// nonces is the recorder of all tests of this package, in all roles: a pair of
// key and nonce that seals two ciphertexts ends the test run. DESIGN S1.
var nonces = struct {
	mu    sync.Mutex
	seen  map[[32]byte][32]byte
	twice []string
}{seen: map[[32]byte][32]byte{}}

func TestMain(m *testing.M) {
	cose.Recorder = func(key, nonce, _, ciphertext []byte) {
		pair := sha256.Sum256(fmt.Appendf(nil, "%x/%x", key, nonce))
		text := sha256.Sum256(ciphertext)
		nonces.mu.Lock()
		defer nonces.mu.Unlock()
		if old, ok := nonces.seen[pair]; ok && old != text {
			nonces.twice = append(nonces.twice, fmt.Sprintf("nonce %x", nonce))
		}
		nonces.seen[pair] = text
	}
	code := m.Run()
	if len(nonces.twice) > 0 {
		fmt.Println("FAIL: nonces were used for two ciphertexts:", nonces.twice)
		code = 1
	}
	os.Exit(code)
}

// world is a network with an Authorization Server, a Group Manager and lamps.
type world struct {
	t     testing.TB
	net   *sim.Network
	as    *as.Server
	gm    *gm.Server
	gmCfg gm.Config
	kind  gm.GroupConfig
	cred  struct{ as, gm []byte }
	lamps []*lamp
	equip func(*lamp) // before a lamp is started first; nil: as it is

	mu   sync.Mutex
	skew time.Duration
	logs bytes.Buffer
}

type lamp struct {
	*lampdevice.Device
	cfg  lampdevice.Config
	addr netip.AddrPort
}

func newKey(t testing.TB) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newWorld(t testing.TB, lamps int) *world { return newWorldOf(t, lamps, gm.GroupConfig{}) }

// newWorldOf is a world whose groups are of a kind.
func newWorldOf(t testing.TB, lamps int, kind gm.GroupConfig) *world {
	t.Helper()
	w := &world{t: t, net: sim.NewNetwork(1), kind: kind}
	tokens := ace.TokenKey{KID: []byte{1}, Key: make([]byte, ace.TokenKeySize)}
	if _, err := rand.Read(tokens.Key); err != nil {
		t.Fatal(err)
	}
	w.startGM(tokens)
	w.startAS(tokens)
	for i := range lamps {
		w.addLamp(byte(i + 1))
	}
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

func (w *world) advance(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += by
}

func (w *world) startGM(tokens ace.TokenKey) {
	key := newKey(w.t)
	w.cred.gm = cose.NewCCS("gm", key.Public().(ed25519.PublicKey))
	w.gmCfg = gm.Config{
		Store: store.NewMemory(), Now: w.now, Rand: rand.Reader, Key: key, Credential: w.cred.gm,
		Audience: "gm", Issuer: "as", TokenKey: tokens, Identities: []gm.Identity{secondIdentity(w.t, key, w.cred.gm)},
	}
	w.bootGM()
	for _, name := range []string{hall, stage} {
		w.kind.Name = name
		if err := w.gm.CreateGroup(w.t.Context(), w.kind); err != nil {
			w.t.Fatal(err)
		}
	}
}

// secondIdentity is the Group Manager's for groups on P-256.
func secondIdentity(t testing.TB, first ed25519.PrivateKey, cred []byte) gm.Identity {
	t.Helper()
	scalar, err := p256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := p256.NewKey(scalar)
	if err != nil {
		t.Fatal(err)
	}
	endorsed, err := cose.Endorse(cred, cose.NewEd25519(first), "gm", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return gm.Identity{Key: key, Cred: endorsed}
}

// bootGM starts the Group Manager over its store.
func (w *world) bootGM() {
	w.t.Helper()
	server, err := gm.New(w.gmCfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.gm = server
	w.net.Attach(gmAddr, server.Handler())
}

func (w *world) startAS(tokens ace.TokenKey) {
	server, err := as.New(as.Config{
		Store: store.NewMemory(), Now: w.now, Rand: rand.Reader, Key: newKey(w.t), Issuer: "as",
		GMs: map[string]ace.TokenKey{"gm": tokens}, Policy: as.AllGroups(hall, stage),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.as, w.cred.as = server, server.Credential()
	w.net.Attach(asAddr, server.Handler())
}

func (w *world) addLamp(n byte) *lamp {
	w.t.Helper()
	l := &lamp{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 0, n}), 5683)}
	l.cfg = lampdevice.Config{
		ID: [8]byte{0, 0x0b, 0x57, 0xff, 0xfe, 0x40, 0x1a, n}, Model: "lamp-dim-1", HW: "1", FW: "1.0.0",
		LabelSecret: fmt.Appendf(nil, "label secret %03d", n), Store: store.NewMemory(), GroupAddr: groupAddr,
		Now: w.now,
	}
	if w.equip != nil {
		w.equip(l)
	}
	w.boot(l)
	w.net.JoinGroup(groupAddr, l.addr)
	w.lamps = append(w.lamps, l)
	return l
}

// boot starts a lamp over its store: at first, or again.
func (w *world) boot(l *lamp) {
	w.t.Helper()
	if l.Device != nil {
		l.Close()
	}
	d, err := lampdevice.New(l.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	l.Device = d
	l.Bind(w.net.From(l.addr))
	w.net.Attach(l.addr, l.Handler())
	w.t.Cleanup(d.Close)
}

func (l *lamp) id() string { return label.FormatID(l.cfg.ID) }

// table is the CSV of the lamps' labels.
func (w *world) table(edits ...func(*label.Label)) string {
	var labels []label.Label
	for i, l := range w.lamps {
		text := l.Label()
		text.Name, text.Place = fmt.Sprintf("Lamp %d", i+1), "Hall"
		for _, edit := range edits {
			edit(&text)
		}
		labels = append(labels, text)
	}
	var b strings.Builder
	if err := label.WriteCSV(&b, labels); err != nil {
		w.t.Fatal(err)
	}
	return b.String()
}

func (w *world) ids() []string {
	var ids []string
	for _, l := range w.lamps {
		ids = append(ids, l.id())
	}
	return ids
}

// invite makes an invitation link, with rules or the default policy.
func (w *world) invite(name string, rules ...as.Rule) string {
	w.t.Helper()
	inv, err := w.as.Invite(w.t.Context(), name, as.Policy{Rules: rules})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.link(name, inv)
}

// link is the link of an invitation.
func (w *world) link(name string, inv as.Invitation) string {
	return "http://bridge.test/#" + Invitation{
		AccessCode: "open sesame", ID: []byte(inv.ID), Secret: inv.Secret,
		ASAddress: asAddr.String(), ASCred: w.cred.as, GMAddress: gmAddr.String(), GMCred: w.cred.gm,
		Multicast: groupAddr.String(), Site: "Riverside School", Installer: name,
	}.Encode()
}

// members lists who the Group Manager has in a group, by subject.
func (w *world) members(group string) map[string]gm.Member {
	w.t.Helper()
	list, err := w.gm.Members(context.Background(), group)
	if err != nil {
		w.t.Fatal(err)
	}
	by := map[string]gm.Member{}
	for _, m := range list {
		if _, twice := by[m.Subject]; twice {
			w.t.Errorf("%s is in the group twice", m.Subject)
		}
		by[m.Subject] = m
	}
	return by
}

// quick makes waits short: the network of the tests needs none.
var quick = Tuning{
	Timeout: 2 * time.Second, Leisure: time.Millisecond, Grace: time.Millisecond, Discovery: time.Millisecond,
	FollowUp: time.Second, Backoff: 5 * time.Millisecond,
}

// browser is an engine and what it runs on.
type browser struct {
	*Engine
	t     testing.TB
	w     *world
	store store.Store
	ex    coap.Exchanger

	mu     sync.Mutex
	events []Event
}

// engine starts an engine over a store; nil: a new one.
func (w *world) engine(db store.Store, edits ...func(*Config)) *browser {
	w.t.Helper()
	if db == nil {
		db = store.NewMemory()
	}
	b := &browser{t: w.t, w: w, store: db, ex: w.net.From(browserAddr)}
	cfg := Config{
		Store: db, Exchange: b.ex, Now: w.now, Version: "test", Tuning: quick, Events: b.record, Sealer: plainSealer{},
		Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: w}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := e.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(e.Close)
	b.Engine = e
	return b
}

// enrolled is an engine with a site and all labels.
func (w *world) enrolled(edits ...func(*Config)) *browser {
	w.t.Helper()
	b := w.engine(nil, edits...)
	b.must(b.AcceptInvitation(w.t.Context(), w.invite("Ann")))
	b.must(b.ImportLabels(w.t.Context(), w.table()))
	return b
}

type lockedWriter struct{ w *world }

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.logs.Write(p)
}

func (b *browser) record(ev Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, ev)
}

// must fails the test on an error.
func (b *browser) must(_ any, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%v (%v)", err, errors.Unwrap(err))
	}
}

// job runs a job to its end.
func (b *browser) job(j Job, err error) Job {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if j, err = b.WaitJob(ctx, j.ID); err != nil {
		b.t.Fatalf("waiting for the job: %v, %+v", err, j)
	}
	return j
}

// joined runs a join of all lamps that must end well.
func (b *browser) joined() {
	b.t.Helper()
	if j := b.job(b.Join(b.t.Context(), hall, b.w.ids())); j.State != JobDone {
		b.t.Fatalf("join: %s", b.failures(j))
	}
}

func (b *browser) failures(j Job) string {
	text := string(j.State)
	for _, it := range j.Items {
		if it.Problem != nil {
			text += fmt.Sprintf("\n%s: %s (%s) after %d tries", it.Device, it.Problem.ID, it.Step, it.Tries)
		}
	}
	return text + "\n" + b.Diagnostics()
}

// verified calls the roll, which must find n devices.
func (b *browser) verified(n int) RollCall {
	b.t.Helper()
	call, err := b.RollCall(b.t.Context(), hall)
	if err != nil {
		b.t.Fatal(err)
	}
	if call.Verified != n || len(call.Answers) != n {
		b.t.Fatalf("%d of %d verified, want %d: %+v\n%s", call.Verified, len(call.Answers), n, call.Answers, b.Diagnostics())
	}
	return call
}

// problemOf returns the problem of one device in a job.
func problemOf(j Job, id string) string {
	for _, it := range j.Items {
		if it.Device == id && it.Problem != nil {
			return it.Problem.ID
		}
	}
	return ""
}

// plainSealer stands in for age.
type plainSealer struct{}

func (plainSealer) Seal(_ context.Context, plain []byte, pass string) (string, error) {
	return pass + "\n" + string(plain), nil
}

func (plainSealer) Open(_ context.Context, file, pass string) ([]byte, error) {
	plain, ok := strings.CutPrefix(file, pass+"\n")
	if !ok {
		return nil, errors.New("wrong passphrase")
	}
	return []byte(plain), nil
}

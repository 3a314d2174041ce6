package trl_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
	"lamplighter/internal/trl"
)

const (
	audience = "gm"
	lamp     = "000b57fffe401ac2"
)

var (
	asAddr   = netip.MustParseAddrPort("127.0.0.1:5690")
	gmAddr   = netip.MustParseAddrPort("127.0.0.1:5691")
	annAddr  = netip.MustParseAddrPort("127.0.0.1:40001")
	tokenKey = ace.TokenKey{KID: []byte("gm"), Key: cose.Secret("token key of 16B")}
)

// world is an Authorization Server, one of its people and a resource server that
// watches.
type world struct {
	t     *testing.T
	net   *sim.Network
	cfg   as.Config
	as    *as.Server
	ann   coap.Caller
	lists chan string
	fail  chan error // of the next application
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, net: sim.NewNetwork(1), lists: make(chan string, 1000), fail: make(chan error, 1)}
	w.cfg = as.Config{
		Store: store.NewMemory(), Now: time.Now, Rand: rand.Reader, Key: key("as"), Issuer: "as",
		GMs: map[string]ace.TokenKey{audience: tokenKey},
	}
	w.start()
	return w
}

func key(seed string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(sum[:])
}

func (w *world) start() {
	var err error
	if w.as, err = as.New(w.cfg); err != nil {
		w.t.Fatal(err)
	}
	w.net.Attach(asAddr, w.as.Handler())
}

// watch watches in the background until the test ends.
func (w *world) watch() {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		trl.Watch(ctx, trl.Config{
			AS:      oscore.NewPSKClient(ace.RSSession(tokenKey, audience), w.net.From(gmAddr), asAddr, rand.Reader),
			Revoked: func(_ context.Context, hashes [][]byte) error { return w.take("hashes", len(hashes)) },
			Actors:  func(_ context.Context, ids []string) error { return w.take("people", len(ids)) },
			Every:   50 * time.Millisecond, Retry: time.Millisecond,
		})
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (w *world) take(what string, n int) error {
	select {
	case err := <-w.fail:
		return err
	default:
	}
	w.lists <- fmt.Sprintf("%d %s", n, what)
	return nil
}

// hears waits until each of the lists came.
func (w *world) hears(want ...string) {
	w.t.Helper()
	late := time.After(10 * time.Second)
	for len(want) > 0 {
		select {
		case got := <-w.lists:
			want = slices.DeleteFunc(want, func(s string) bool { return s == got })
		case <-late:
			w.t.Fatalf("did not hear of %s", strings.Join(want, ", "))
		}
	}
}

// enrol invites and enrols Ann and gets two tokens, one for a lamp.
func (w *world) enrol() (id string) {
	w.t.Helper()
	inv, err := w.as.Invite(w.t.Context(), "Ann", as.AllGroups("hall"))
	if err != nil {
		w.t.Fatal(err)
	}
	k := key("ann")
	cred := cose.NewCCS("ann", k.Public().(ed25519.PublicKey))
	guest := oscore.NewPSKClient(oscore.NewPSK([]byte(inv.ID), inv.Secret, oscore.SaltInvitation), w.net.From(annAddr), asAddr, rand.Reader)
	w.call(guest, coap.POST, "/enroll", ace.FormatCBOR, cbor.MustMarshal(map[int]any{1: cred}))
	asCred, err := cose.ParseCCS(w.as.Credential())
	if err != nil {
		w.t.Fatal(err)
	}
	secret, err := cose.DerivedKey(inv.Secret, k, asCred.Public, cred, w.as.Credential())
	if err != nil {
		w.t.Fatal(err)
	}
	w.ann = oscore.NewPSKClient(oscore.NewPSK(cred, secret, oscore.SaltInstaller), w.net.From(annAddr), asAddr, rand.Reader)
	w.call(w.ann, coap.PUT, "/devices/"+lamp, ace.FormatCBOR, cbor.MustMarshal(map[int]any{1: make([]byte, 32)}))
	w.call(w.ann, coap.POST, "/token", ace.FormatACE, ace.Encode(ace.TokenRequest{}))
	w.call(w.ann, coap.POST, "/token", ace.FormatACE, ace.Encode(ace.TokenRequest{ClientID: lamp}))
	people, err := w.as.People(w.t.Context())
	if err != nil || len(people) != 1 {
		w.t.Fatal(people, err)
	}
	return people[0].ID
}

func (w *world) call(through coap.Caller, method coap.Code, path string, format uint32, payload []byte) {
	w.t.Helper()
	req := coap.NewRequest(method, path, payload)
	coap.AddUint(req, coap.OptionContentFormat, format)
	resp, err := through.Call(w.t.Context(), req)
	if err != nil || coap.Class(resp.Code) != 2 {
		w.t.Fatal(path, resp, err)
	}
}

// Revoking a person reaches the resource server at once: the person's own token
// and the person, and not the device's token. Revoking the device follows.
func TestWatch(t *testing.T) {
	w := newWorld(t)
	id := w.enrol()
	w.watch()
	w.hears("0 hashes", "0 people")
	if err := w.as.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.hears("1 hashes", "1 people")
	if err := w.as.RevokeDevice(t.Context(), lamp); err != nil {
		t.Fatal(err)
	}
	w.hears("2 hashes")
}

// The Authorization Server is down, comes back without sessions, and is down again
// while somebody is revoked.
func TestWatchSurvivesRestarts(t *testing.T) {
	w := newWorld(t)
	id := w.enrol()
	w.net.Down(asAddr, true)
	w.watch()
	time.Sleep(5 * time.Millisecond)
	w.net.Down(asAddr, false)
	w.hears("0 hashes", "0 people")
	w.start()
	if err := w.as.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.hears("1 hashes", "1 people") // by asking: the new server does not know that somebody watches
	if err := w.as.RevokeDevice(t.Context(), lamp); err != nil {
		t.Fatal(err)
	}
	w.hears("2 hashes")
}

// A list of many blocks comes whole, when it is told and when it is asked for.
func TestWatchALongList(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	const n = 300 // of 35 bytes each
	for range n - 1 {
		w.call(w.ann, coap.POST, "/token", ace.FormatACE, ace.Encode(ace.TokenRequest{ClientID: lamp}))
	}
	w.watch()
	w.hears("0 hashes")
	if err := w.as.RevokeDevice(t.Context(), lamp); err != nil {
		t.Fatal(err)
	}
	long := fmt.Sprint(n, " hashes")
	w.hears(long)
	w.hears(long)
	w.start()
	w.hears(long)
}

// A list that could not be taken comes again, though nothing changed.
func TestWatchAgainAfterAnError(t *testing.T) {
	w := newWorld(t)
	w.fail <- errors.New("the disk is full")
	w.watch()
	w.hears("0 hashes", "0 people")
}

// full is an Authorization Server that answers what it is told to.
type full struct {
	answer *coap.Message
	calls  chan struct{}
}

func (f full) Call(context.Context, *coap.Message) (*coap.Message, error) {
	f.calls <- struct{}{}
	return f.answer, nil
}

func (f full) Observe(_ context.Context, _ *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	go each(f.answer, nil)
	return still{}, nil
}

type still struct{}

func (still) Again(*coap.Message) error { return nil }
func (still) Close()                    {}

// Without room for an observer it is asked from time to time; what is no list is
// not taken.
func TestWatchWithoutObserve(t *testing.T) {
	for name, tt := range map[string]struct {
		answer *coap.Message
		taken  bool
	}{
		"no room":      {coap.Respond(coap.Content, ace.FormatACETRL, ace.Encode(ace.TRL{Full: [][]byte{}})), true},
		"a diff":       {coap.Respond(coap.Content, ace.FormatACETRL, ace.Encode(ace.TRL{Diff: []ace.TRLDiff{}})), false},
		"another type": {coap.Respond(coap.Content, ace.FormatCBOR, ace.Encode(ace.TRL{Full: [][]byte{}})), false},
		"a refusal":    {coap.Problem(coap.Forbidden, "no"), false},
		"garbage":      {coap.Respond(coap.Content, ace.FormatACETRL, []byte{0xff}), false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			f := full{tt.answer, make(chan struct{}, 10000)}
			taken := 0
			trl.Watch(ctx, trl.Config{
				AS:      f,
				Revoked: func(context.Context, [][]byte) error { taken++; return nil },
				Actors: func(context.Context, []string) error {
					t.Error("a list of tokens was taken for one of people")
					return nil
				},
				Every: 10 * time.Millisecond, Retry: time.Millisecond,
			})
			if (taken > 1) != tt.taken || (len(f.calls) > 0) != tt.taken {
				t.Errorf("taken %d times, asked %d times", taken, len(f.calls))
			}
		})
	}
}

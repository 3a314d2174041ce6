package as_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// stranger is a message of somebody who has no session, each another.
func (s *site) stranger(n int, kid []byte, recorded *coap.Message) *coap.Message {
	number := binary.BigEndian.AppendUint32(nil, uint32(n))
	switch n % 4 {
	case 0: // without a session
		m := coap.NewRequest(coap.POST, "/token", ace.Encode(ace.TokenRequest{}))
		coap.AddUint(m, coap.OptionContentFormat, ace.FormatACE)
		return m
	case 1: // of a kid that is nobody's, or somebody's without the secret
		m := coap.NewRequest(coap.POST, "/", append([]byte("not a ciphertext of ours"), number...))
		id := append([]byte{0x49}, append(make([]byte, 5), number...)...)
		if n%8 == 1 {
			kid = number
		}
		coap.SetOption(m, coap.OptionOSCORE, oscore.AppendOption(nil, oscore.Option{PIV: []byte{0}, KIDContext: id, KID: kid}))
		return m
	case 2:
		return coap.NewRequest(coap.GET, "/devices/"+hallLamp, number)
	default: // a first message of a session, which somebody recorded, again and again
		return coap.Clone(recorded)
	}
}

// A flood of messages of nobody costs bounded memory, and an installer is served
// meanwhile.
func TestFlood(t *testing.T) {
	const messages = 100_000
	s := newSite(t)
	anna := s.enrolled("anna", as.Policy{})
	h := s.as.Handler()
	// The first message of a session of hers, as somebody on the way records it.
	tap := &firstMessage{}
	_, _ = oscore.NewPSKClient(oscore.NewPSK(anna.cred, mustKey(t, s, anna), oscore.SaltInstaller), tap, asAddr, rand.Reader).
		Call(t.Context(), coap.NewRequest(coap.GET, "/devices/"+hallLamp, nil))
	if tap.first == nil {
		t.Fatal("nothing was recorded")
	}
	flood := func(from, to int) {
		for n := from; n < to; n++ {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)}), 5683)
			resp := h.Serve(t.Context(), &coap.Request{Message: s.stranger(n, anna.cred, tap.first), From: addr})
			if resp != nil && coap.Class(resp.Code) != 4 && !oscore.IsProtected(resp) {
				t.Fatalf("message %d: %s", n, coap.CodeString(resp.Code))
			}
		}
	}
	flood(0, messages/10)
	before := heap()
	start := time.Now()
	for step := 1; step < 10; step++ {
		flood(step*messages/10, (step+1)*messages/10)
		anna.token(ace.TokenRequest{})
	}
	after := heap()
	t.Logf("%v for each message, heap %d kB, then %d kB", time.Since(start)/(messages*9/10), before>>10, after>>10)
	if after > before+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
}

// firstMessage keeps what is sent and answers nothing.
type firstMessage struct{ first *coap.Message }

// Exchange implements [coap.Exchanger].
func (f *firstMessage) Exchange(_ context.Context, _ netip.AddrPort, m *coap.Message) (*coap.Message, error) {
	if f.first == nil {
		f.first = coap.Clone(m)
	}
	return nil, coap.ErrTimeout
}

// Multicast implements [coap.Exchanger].
func (f *firstMessage) Multicast(context.Context, netip.AddrPort, *coap.Message, time.Duration, func(*coap.Message, netip.AddrPort)) error {
	return coap.ErrTimeout
}

func mustKey(t *testing.T, s *site, p *party) cose.Secret {
	t.Helper()
	sum := cose.Thumbprint(p.cred)
	key, err := as.InstallerKey(t.Context(), s.store, hex.EncodeToString(sum[:16]))
	if err != nil || key == nil {
		t.Fatal("no such installer", err)
	}
	return key
}

// A clock that is set back and forth leaves tokens, invitations and sessions as they
// have to be at its time; no token's key or number is given out again.
func TestClockSteps(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.AllGroups("hall"))
	keys, numbers := map[string]bool{}, map[string]bool{}
	old := s.party("carl")
	inv, err := s.as.Invite(t.Context(), "carl", as.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	old.accept(inv)
	for i, step := range []time.Duration{-time.Hour, 2 * time.Hour, -30 * 24 * time.Hour, 90 * 24 * time.Hour, -60 * 24 * time.Hour} {
		s.clock.advance(step)
		if err := s.as.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			s.start()
		}
		tok, c := p.token(ace.TokenRequest{})
		if tok.ExpiresIn != 86400 || c.EXP != uint64(s.clock.Now().Unix())+86400 {
			t.Errorf("after %v: expires_in %d, exp %d", step, tok.ExpiresIn, c.EXP)
		}
		if keys[string(tok.Cnf.OSCORE.MasterSecret)] || numbers[string(tok.Cnf.OSCORE.ID)] {
			t.Errorf("after %v: a key or a number again", step)
		}
		keys[string(tok.Cnf.OSCORE.MasterSecret)], numbers[string(tok.Cnf.OSCORE.ID)] = true, true
		s.enrolled(fmt.Sprint("bert ", i), as.Policy{}) // by an invitation of now
	}
	old.closed(old.guest, "/enroll") // it expired, and does not come back with the time
	if err := s.as.Revoke(t.Context(), s.id("anna")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		s.clock.advance(step)
		if err := s.as.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.resourceServer().full(); len(got) == 0 {
			t.Errorf("after %v: revoked tokens that have not expired are not on the list", step)
		}
		p.closed(p.call, "/token")
	}
}

package device

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// junk is a message of nobody's, each another: to open resources, without and with
// OSCORE, under identifiers of the lamp's group and of its owner's session without
// their keys, to one and to many.
func junk(n int, ms *join.Membership, siteCred []byte) (m *coap.Message, many bool) {
	number := binary.BigEndian.AppendUint32(nil, uint32(n))
	protected := func(o oscore.Option) *coap.Message {
		m := coap.NewRequest(coap.POST, "/", append([]byte("not a ciphertext of ours, whatever it says"), number...))
		coap.SetOption(m, coap.OptionOSCORE, oscore.AppendOption(nil, o))
		return m
	}
	switch n % 10 {
	case 0:
		return coap.NewRequest(coap.GET, "/.well-known/core", nil), true
	case 1:
		return coap.NewRequest(coap.POST, "/ll/claim", number), false
	case 2: // a session's first request, with the nonces of nobody
		return protected(oscore.Option{PIV: []byte{0}, KID: siteCred, KIDContext: append(make([]byte, 8), number...)}), false
	case 3: // a Gid of nobody's
		return protected(oscore.Option{PIV: number[2:], KID: []byte{1}, KIDContext: number, Group: true}), true
	case 4: // a Sender ID of nobody's
		return protected(oscore.Option{PIV: number[2:], KID: number[1:], KIDContext: ms.GID, Group: true}), true
	case 5: // somebody's, without the key
		return protected(oscore.Option{PIV: number[1:], KID: ms.SenderID, KIDContext: ms.GID, Group: true}), true
	case 6: // pairwise
		return protected(oscore.Option{PIV: number[1:], KID: ms.SenderID, KIDContext: ms.GID}), false
	case 7: // the Group Manager's association, or no one's
		return protected(oscore.Option{PIV: number[2:], KID: number[2:]}), false
	case 8: // new keys for all
		return coap.NewRequest(coap.POST, "/ace-group/cellar", append(make([]byte, 300), number...)), true
	default:
		return coap.NewRequest(coap.POST, "/ace-group/cellar/node", number), false
	}
}

// A flood of messages of nobody costs the lamp bounded memory, and its Group Manager
// few questions; members and the owner are served meanwhile.
func TestFloodAtTheLamp(t *testing.T) {
	const messages = 60_000
	w, in := toldWorld(t, "cellar")
	watched := w.watched()
	h := w.lamp.Handler()
	flood := func(from, to int) {
		for n := from; n < to; n++ {
			m, many := junk(n, in.ms, in.cred)
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)}), 5683)
			if resp := h.Serve(t.Context(), &coap.Request{Message: m, From: addr, Multicast: many}); resp != nil && coap.Class(resp.Code) == 5 && resp.Code != coap.ServiceUnavailable {
				t.Fatalf("message %d: %s", n, coap.CodeString(resp.Code))
			}
		}
	}
	flood(0, messages/10)
	before, start := heapInUse(), time.Now()
	for step := 1; step < 10; step++ {
		flood(step*messages/10, (step+1)*messages/10)
		if l, err := in.light(on(step%2 == 0)); err != nil || l.On != (step%2 == 0) {
			t.Fatalf("a member in the flood: %+v, %v", l, err)
		}
		if err := do(in.ownerSession(), coap.GET, "/ll/groups", nil, nil); err != nil {
			t.Fatalf("the owner in the flood: %v", err)
		}
	}
	after := heapInUse()
	t.Logf("%v for each message, heap %d kB, then %d kB, %d questions", time.Since(start)/(messages*9/10), before>>10, after>>10, watched.requests())
	if after > before+2<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if n := watched.requests(); n > 60 {
		t.Errorf("the Group Manager was asked %d times", n)
	}
	if s := w.lamp.State(); len(s.Groups) != 1 || !s.Groups[0].InSync || !s.Claimed {
		t.Errorf("%+v", s)
	}
}

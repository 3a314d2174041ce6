package device

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/sim"
)

// Random and damaged datagrams do nothing.
func TestHostileDatagrams(t *testing.T) {
	w, in := commissioned(t)
	sent := w.tap()
	if _, err := in.light(on(false)); err != nil {
		t.Fatal(err)
	}
	if err := do(in.ownerSession(), coap.POST, "/ll/blink", nil, nil); err != nil {
		t.Fatal(err)
	}
	before := w.lamp.State()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := make([]byte, rng.IntN(80))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if rng.IntN(2) == 0 { // damage a real one
			b = bytes.Clone((*sent)[rng.IntN(len(*sent))])
			b = b[:rng.IntN(len(b)+1)]
			if len(b) > 0 {
				b[rng.IntN(len(b))] ^= byte(1 + rng.IntN(255))
			}
		}
		w.net.Inject(t.Context(), browserAddr, lampAddr, b, rng.IntN(2) == 0)
	}
	after := w.lamp.State()
	if after.Light != before.Light || len(after.Groups) != 1 || !after.Claimed {
		t.Errorf("%+v became %+v", before, after)
	}
	w.clock.Advance(gmRest * 6)
	if _, err := in.light(on(true)); err != nil {
		t.Errorf("a member suffers: %v", err)
	}
}

// FuzzRequests sends any payload to any resource as any peer: nothing panics,
// errors are errors, and what a lamp then is can be loaded again.
func FuzzRequests(f *testing.F) {
	roles := ace.RoleResponder
	seeds := []any{
		claimRequest{}, popRequest{Group: "hall", Roles: &roles}, popRequest{Group: "hall", NS: make([]byte, 8)},
		handover{}, blinkRequest{}, on(true), level(50), map[int]any{}, []int{},
	}
	for i, s := range seeds {
		f.Add(uint8(i), uint8(i), cbor.MustMarshal(s))
		f.Add(uint8(i), uint8(i+1), cbor.MustMarshal(s)[1:])
	}
	resources := []struct {
		method coap.Code
		path   string
	}{
		{coap.POST, "/ll/claim"}, {coap.POST, "/ll/pop"}, {coap.PUT, "/ll/groups/hall"}, {coap.POST, "/ll/blink"},
		{coap.PUT, "/light"}, {coap.DELETE, "/ll/groups/hall"}, {coap.GET, "/.well-known/core?rt=x"}, {coap.GET, "/ll/groups"},
	}
	w := claimedLamp(f)
	f.Fuzz(func(t *testing.T, resource, peer uint8, payload []byte) {
		r := resources[int(resource)%len(resources)]
		peers := []coap.Peer{
			{}, {Kind: coap.PeerPSK, Name: peerLabel}, {Kind: coap.PeerPSK, Name: peerOwner, Data: w.claim.SiteCred},
			{Kind: coap.PeerGroup, Data: &sender{epoch: &epoch{newest: map[string]uint64{}}, roles: ace.RoleRequester}},
			{Kind: coap.PeerPairwise}, {Kind: coap.PeerPSK, Name: peerOwner, Data: []byte("another")},
		}
		req := &coap.Request{Message: coap.NewRequest(r.method, r.path, payload), Peer: peers[int(peer)%len(peers)]}
		resp := w.admit(w.routes()).Serve(context.Background(), req)
		if resp == nil || coap.Class(resp.Code) != 2 && coap.Class(resp.Code) != 4 {
			t.Fatalf("%v %s: %v", r.method, r.path, resp)
		}
		if again, err := New(w.cfg); err != nil || again.light != w.light {
			t.Fatalf("it cannot be loaded again: %v", err)
		}
	})
}

// claimedLamp is a claimed lamp alone.
func claimedLamp(t testing.TB) *Device {
	w := newWorld(t)
	in := w.installer("anna", 1)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	return w.lamp
}

// FuzzDatagrams sends any datagram to a lamp in a group: nothing panics, and the
// light stays as it is.
func FuzzDatagrams(f *testing.F) {
	w, in := commissioned(f)
	w.net.Record = func(d sim.Datagram) {
		if d.To == lampAddr || d.To == groupAddr {
			f.Add(bytes.Clone(d.Bytes), d.To == groupAddr)
		}
	}
	if _, err := in.light(on(false)); err != nil {
		f.Fatal(err)
	}
	if err := do(in.ownerSession(), coap.POST, "/ll/blink", nil, nil); err != nil {
		f.Fatal(err)
	}
	if err := do(plain{in}, coap.GET, "/.well-known/core", nil, nil); err != nil {
		f.Fatal(err)
	}
	w.net.Record = nil
	f.Fuzz(func(t *testing.T, datagram []byte, multicast bool) {
		w.net.Inject(t.Context(), browserAddr, lampAddr, datagram, multicast)
		if s := w.lamp.State(); s.Light.On || !s.Claimed || len(s.Groups) != 1 {
			t.Fatalf("%+v", s)
		}
	})
}

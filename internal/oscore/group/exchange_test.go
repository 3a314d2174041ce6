package group

import (
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// More responses than one: RFC 10021, Section 5.3.1.
func TestResponseNumbers(t *testing.T) {
	w := newWorld(t, 3)
	client := w.members[0]
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	responses := func(server *Context) (all []*coap.Message) {
		_, sb, err := server.UnprotectRequest(outer)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			mode := Mode(i % 2)
			resp, err := server.ProtectResponse(content(fmt.Sprint(i)), sb, mode)
			if err != nil {
				t.Fatal(err)
			}
			if own := optionOf(t, resp).PIV != nil; own != (i > 0) {
				t.Errorf("response %d: own Partial IV %v", i, own)
			}
			all = append(all, resp)
		}
		return all
	}
	one, two := responses(w.members[1]), responses(w.members[2])
	for _, step := range []struct {
		m    *coap.Message
		want error
	}{
		{one[0], nil}, {one[0], oscore.ErrReplay}, {one[2], nil}, {one[1], oscore.ErrReplay}, {one[2], oscore.ErrReplay},
		{two[1], nil}, {two[0], oscore.ErrReplay}, {two[3], nil}, {one[3], nil}, {two[2], oscore.ErrReplay},
	} {
		if _, _, _, err := client.UnprotectResponse(over(t, step.m), cb); !errors.Is(err, step.want) || step.want == nil && err != nil {
			t.Errorf("%+v: %v, want %v", optionOf(t, step.m), err, step.want)
		}
	}
}

func TestObserve(t *testing.T) {
	w := newWorld(t, 2)
	client, server := w.members[0], w.members[1]
	for _, to := range [][]byte{nil, {1}} {
		req := get("/a")
		coap.AddUint(req, coap.OptionObserve, 0)
		outer, cb, err := client.ProtectRequest(req, to)
		if err != nil {
			t.Fatal(err)
		}
		if outer.Code != coap.FETCH || !coap.HasOption(outer, coap.OptionObserve) {
			t.Errorf("registration %v", outer)
		}
		_, sb, err := server.UnprotectRequest(over(t, outer))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			n := content("n")
			coap.AddUint(n, coap.OptionObserve, uint32(i))
			resp, err := server.ProtectResponse(n, sb, Pairwise)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := client.UnprotectResponse(over(t, resp), cb); err != nil {
				t.Errorf("notification %d: %v", i, err)
			}
		}
	}
	// Observe in a response to a request that asked for none.
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	sb.observe = true
	n := content("n")
	coap.AddUint(n, coap.OptionObserve, 1)
	resp, err := server.ProtectResponse(n, sb, Group)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.UnprotectResponse(resp, cb); !errors.Is(err, oscore.ErrVerify) {
		t.Errorf("got %v", err)
	}
}

// A pairwise request is answered by whom it went to, and no other member.
func TestAnsweredByAnother(t *testing.T) {
	w := newWorld(t, 3)
	client := w.members[0]
	outer, cb, err := client.ProtectRequest(get("/a"), []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	b := &Binding{origin: w.members[2].id, Mode: Pairwise, From: Peer{KID: []byte{0}, Cred: w.creds[0]}, request: cb.request}
	for _, mode := range []Mode{Group, Pairwise} {
		resp, err := w.members[2].protectResponse(content("me"), b, mode, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := client.UnprotectResponse(resp, cb); !errors.Is(err, oscore.ErrVerify) {
			t.Errorf("%v: %v", mode, err)
		}
	}
	if _, _, err := w.members[1].UnprotectRequest(outer); err != nil {
		t.Error(err)
	}
}

// The client's binding protects nothing, which would use the nonce of its request
// again, and the server's opens nothing.
func TestBindingHasASide(t *testing.T) {
	w := newWorld(t, 2)
	client, server := w.members[0], w.members[1]
	for _, to := range [][]byte{nil, {1}} {
		outer, cb, err := client.ProtectRequest(get("/a"), to)
		if err != nil {
			t.Fatal(err)
		}
		_, sb, err := server.UnprotectRequest(outer)
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []Mode{Group, Pairwise} {
			if _, err := client.ProtectResponse(content("x"), cb, mode); !errors.Is(err, errRole) {
				t.Errorf("to %x, protecting in %v mode under an own request: %v", to, mode, err)
			}
			resp, err := server.ProtectResponse(content("x"), sb, mode)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := client.UnprotectResponse(resp, sb); !errors.Is(err, errRole) {
				t.Errorf("to %x, opening in %v mode under another's request: %v", to, mode, err)
			}
		}
	}
}

// The response of others to a pairwise request may say nothing at all.
func TestEmptyOption(t *testing.T) {
	w := newWorld(t, 2)
	outer, cb, err := w.members[0].ProtectRequest(get("/a"), []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := w.members[1].UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.members[1].protectResponse(content("x"), sb, Pairwise, false)
	if err != nil {
		t.Fatal(err)
	}
	if option := coap.GetOption(resp, coap.OptionOSCORE); len(option) != 0 {
		t.Errorf("option %x", option)
	}
	if _, from, _, err := w.members[0].UnprotectResponse(over(t, resp), cb); err != nil || from.KID[0] != 1 {
		t.Errorf("%+v, %v", from, err)
	}
}

// The server of a pairwise exchange has a new Sender ID, which its response
// names: from then on it is that one's, also where a response names none. RFC
// 10021, Section 7.4.
func TestAssumedKID(t *testing.T) {
	w := newWorld(t, 2)
	client := w.members[0]
	req := get("/a")
	coap.AddUint(req, coap.OptionObserve, 0)
	outer, cb, err := client.ProtectRequest(req, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := w.members[1].UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	renamed := w.member(1, func(p *Params) { p.SenderID = []byte{8} })
	if err := renamed.SetPeer(Peer{KID: []byte{0}, Cred: w.creds[0]}); err != nil {
		t.Fatal(err)
	}
	notify := func(withKID bool) *coap.Message {
		t.Helper()
		n := content("n")
		coap.AddUint(n, coap.OptionObserve, 1)
		m, err := renamed.protectResponse(n, sb, Pairwise, withKID)
		if err != nil {
			t.Fatal(err)
		}
		return over(t, m)
	}
	early, named := notify(false), notify(true)
	if _, _, _, err := client.UnprotectResponse(named, cb); !errors.As(err, new(*UnknownPeerError)) {
		t.Errorf("a Sender ID that is not known: %v", err)
	}
	if err := client.SetPeer(Peer{KID: []byte{8}, Cred: w.creds[1]}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.UnprotectResponse(early, cb); !errors.Is(err, oscore.ErrVerify) {
		t.Errorf("before the new Sender ID was said: %v", err)
	}
	for i, m := range []*coap.Message{named, notify(false), notify(true)} {
		if _, from, _, err := client.UnprotectResponse(m, cb); err != nil || from.KID[0] != 8 {
			t.Errorf("%d: %+v, %v", i, from, err)
		}
	}
	client.RemovePeer([]byte{1})
	client.RemovePeer([]byte{8})
	if _, _, _, err := client.UnprotectResponse(notify(false), cb); !errors.As(err, new(*UnknownPeerError)) {
		t.Errorf("from a server that is gone: %v", err)
	}
	cb.servers = nil
	if _, _, _, err := client.UnprotectResponse(notify(false), cb); !errors.As(err, new(*UnknownPeerError)) {
		t.Errorf("from a server that never answered: %v", err)
	}
}

// When a response has a Partial IV of its own: always but the first time, and
// the first time under other keys or after a challenge. RFC 10021, Section 7.3.
func TestOwnPartialIV(t *testing.T) {
	for _, mode := range []Mode{Group, Pairwise} {
		for name, x := range map[string]struct {
			before func(w *world, server *Context, b *Binding) *Context
			own    bool
		}{
			"first": {func(_ *world, c *Context, _ *Binding) *Context { return c }, false},
			"second": {func(w *world, c *Context, b *Binding) *Context {
				if _, err := c.ProtectResponse(content("1"), b, Group); err != nil {
					w.t.Fatal(err)
				}
				return c
			}, true},
			"first of another epoch": {func(w *world, _ *Context, _ *Binding) *Context {
				w.rekey()
				return w.members[1]
			}, true},
			"first under another Sender ID": {func(w *world, _ *Context, _ *Binding) *Context {
				return w.member(1, func(p *Params) { p.SenderID = []byte{5} })
			}, true},
		} {
			w := newWorld(t, 2)
			outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, b, err := w.members[1].UnprotectRequest(outer)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := x.before(w, w.members[1], b).ProtectResponse(content("x"), b, mode)
			if err != nil {
				t.Fatal(err)
			}
			if o := optionOf(t, resp); (o.PIV != nil) != x.own || o.KID == nil {
				t.Errorf("%s in %v: %+v", name, mode, o)
			}
		}
	}
}

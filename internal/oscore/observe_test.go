package oscore

import (
	"errors"
	"testing"

	"lamplighter/internal/coap"
)

// registration is an observation and its bindings on both sides.
func registration(t *testing.T, client, server *Context) (cb, sb *Binding) {
	t.Helper()
	req := get("/a")
	coap.AddUint(req, coap.OptionObserve, 0)
	outer, cb, err := client.ProtectRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := coap.OptionUint(outer, coap.OptionObserve); outer.Code != coap.FETCH || !ok || v != 0 {
		t.Fatalf("registration: %v", outer)
	}
	in, sb, err := server.UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	sameMessage(t, "registration", in, req)
	return cb, sb
}

func notify(t *testing.T, server *Context, sb *Binding, number uint32) *coap.Message {
	t.Helper()
	resp := content("n")
	coap.AddUint(resp, coap.OptionObserve, number)
	outer, err := server.ProtectResponse(resp, sb)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := coap.OptionUint(outer, coap.OptionObserve); outer.Code != coap.Content || !ok || v != number {
		t.Fatalf("notification: %v", outer)
	}
	return over(t, outer)
}

func piv(t *testing.T, m *coap.Message) []byte {
	t.Helper()
	o, err := MessageOption(m)
	if err != nil {
		t.Fatal(err)
	}
	return o.PIV
}

// RFC 8613, Sections 4.1.3.5 and 7.4.1.
func TestObserve(t *testing.T) {
	client, server := newPair(t)
	cb, sb := registration(t, client, server)
	var n []*coap.Message
	for i := range uint32(6) {
		n = append(n, notify(t, server, sb, i+10))
		if own := piv(t, n[i]) != nil; own != (i > 0) {
			t.Errorf("notification %d: own Partial IV %v", i, own)
		}
	}
	for _, step := range []struct {
		i    int
		want error
	}{{0, nil}, {0, ErrReplay}, {2, nil}, {1, ErrReplay}, {2, ErrReplay}, {4, nil}, {3, ErrReplay}, {5, nil}} {
		resp, err := client.UnprotectResponse(n[step.i], cb)
		if !errors.Is(err, step.want) || step.want == nil && err != nil {
			t.Fatalf("notification %d: %v, want %v", step.i, err, step.want)
		}
		if err == nil && !coap.HasOption(resp, coap.OptionObserve) {
			t.Error("the option is lost")
		}
	}
	// An outer Observe that someone changes counts for nothing.
	last := notify(t, server, sb, 1)
	coap.SetOption(last, coap.OptionObserve, []byte{0xff})
	if _, err := client.UnprotectResponse(last, cb); err != nil {
		t.Error(err)
	}
	// A failure does not end it, an error response does.
	broken := notify(t, server, sb, 2)
	broken.Payload[0] ^= 1
	if _, err := client.UnprotectResponse(broken, cb); !errors.Is(err, ErrVerify) {
		t.Error(err)
	}
	end, err := server.ProtectResponse(coap.Problem(coap.NotFound, ""), sb)
	if err != nil {
		t.Fatal(err)
	}
	if piv(t, end) == nil {
		t.Error("the last response has no Partial IV of its own")
	}
	if _, err := client.UnprotectResponse(end, cb); err != nil {
		t.Error(err)
	}
	if _, err := client.UnprotectResponse(notify(t, server, sb, 3), cb); !errors.Is(err, ErrReplay) {
		t.Error("the observation goes on after its end:", err)
	}
}

// The notification without Partial IV is the oldest.
func TestObserveLateFirst(t *testing.T) {
	client, server := newPair(t)
	cb, sb := registration(t, client, server)
	first, second := notify(t, server, sb, 1), notify(t, server, sb, 2)
	if _, err := client.UnprotectResponse(second, cb); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UnprotectResponse(first, cb); !errors.Is(err, ErrReplay) {
		t.Errorf("got %v", err)
	}
}

// Observe inside a response to a request that asked for none.
func TestObserveUnasked(t *testing.T) {
	client, server := newPair(t)
	outer, cb, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	sb.observe = true // a server that is wrong
	if _, err := client.UnprotectResponse(notify(t, server, sb, 1), cb); !errors.Is(err, ErrVerify) {
		t.Errorf("got %v", err)
	}
}

func TestObserveCancel(t *testing.T) {
	client, server := newPair(t)
	req := get("/a")
	coap.AddUint(req, coap.OptionObserve, 1)
	outer, _, err := client.ProtectRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	if outer.Code != coap.FETCH || sb.observe {
		t.Errorf("outer code %v, observed %v", outer.Code, sb.observe)
	}
}

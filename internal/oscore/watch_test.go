package oscore

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"lamplighter/internal/coap"
)

// line is an Observer whose messages a test delivers by hand.
type line struct {
	link
	rounds []*lineRound
	fail   error // of the next Observe
}

// lineRound is one token.
type lineRound struct {
	sent   []*coap.Message // the registration and what came Again
	each   func(*coap.Message, error)
	closed bool
}

func (l *line) Observe(_ context.Context, _ netip.AddrPort, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	if l.fail != nil {
		return nil, l.fail
	}
	r := &lineRound{sent: []*coap.Message{over(l.t, req)}, each: each}
	l.rounds = append(l.rounds, r)
	return r, nil
}

func (r *lineRound) Again(req *coap.Message) error {
	r.sent = append(r.sent, coap.Clone(req))
	return nil
}

func (r *lineRound) Close() { r.closed = true }

// watched is an observation under test with its server.
type watched struct {
	t      *testing.T
	line   *line
	server *Context
	o      coap.Observation
	heard  []string
	opened map[*coap.Message]*Binding
}

func watchRequest(value uint32) *coap.Message {
	req := get("/a")
	coap.AddUint(req, coap.OptionObserve, value)
	return req
}

func newWatched(t *testing.T, edit ...func(client, server *Params)) *watched {
	t.Helper()
	client, server := newPair(t, edit...)
	w := &watched{t: t, line: &line{link: link{t: t}}, server: server, opened: map[*coap.Message]*Binding{}}
	o, err := NewClient(client, w.line, peerAddr).Observe(t.Context(), watchRequest(0), w.each)
	if err != nil {
		t.Fatal(err)
	}
	w.o = o
	return w
}

func (w *watched) each(m *coap.Message, err error) {
	if err != nil {
		w.heard = append(w.heard, "error: "+err.Error())
		return
	}
	w.heard = append(w.heard, string(m.Payload))
}

// round is the last one.
func (w *watched) round() *lineRound { return w.line.rounds[len(w.line.rounds)-1] }

// open opens the i-th request of the last round at the server.
func (w *watched) open(i int) *Binding {
	w.t.Helper()
	m := w.round().sent[i]
	if w.opened[m] == nil {
		_, b, err := w.server.UnprotectRequest(m)
		if err != nil {
			w.t.Fatal(err)
		}
		w.opened[m] = b
	}
	return w.opened[m]
}

// say protects a response to the i-th request: a notification, or with code not
// 2.05 the last one.
func (w *watched) say(i int, payload string, code coap.Code) *coap.Message {
	w.t.Helper()
	resp := coap.Respond(code, coap.NoFormat, []byte(payload))
	if code == coap.Content {
		coap.AddUint(resp, coap.OptionObserve, 7)
	}
	outer, err := w.server.ProtectResponse(resp, w.open(i))
	if err != nil {
		w.t.Fatal(err)
	}
	return over(w.t, outer)
}

func (w *watched) hears(m *coap.Message, want ...string) {
	w.t.Helper()
	w.heard = nil
	w.round().each(m, nil)
	if fmt.Sprint(w.heard) != fmt.Sprint(want) {
		w.t.Fatalf("heard %q, want %q", w.heard, want)
	}
}

func TestClientObserves(t *testing.T) {
	w := newWatched(t)
	first, a, b := w.say(0, "first", coap.Content), w.say(0, "a", coap.Content), w.say(0, "b", coap.Content)
	w.hears(first, "first")
	w.hears(first)
	w.hears(b, "b")
	w.hears(a) // late
	w.hears(b) // repeated
	broken := w.say(0, "c", coap.Content)
	broken.Payload[0] ^= 1
	w.hears(broken)
	w.hears(coap.Problem(coap.Unauthorized, "forged")) // ends nothing
	w.hears(w.say(0, "d", coap.Content), "d")
	critical := coap.Respond(coap.Content, coap.NoFormat, []byte("what"))
	coap.AddUint(critical, coap.OptionObserve, 0)
	coap.AddOption(critical, 65001, nil)
	outer, err := w.server.ProtectResponse(critical, w.open(0))
	if err != nil {
		t.Fatal(err)
	}
	w.hears(outer)
	w.hears(w.say(0, "gone", coap.NotFound), "gone")
	if !w.round().closed {
		t.Error("it is not closed after the last response")
	}
	w.hears(w.say(0, "later", coap.Content))
	if err := w.o.Again(watchRequest(0)); !errors.Is(err, ErrCannotObserve) {
		t.Errorf("renewed after the end: %v", err)
	}
	w.o.Close()
}

// Each registration has notifications of its own, and the newest one counts.
func TestClientRenews(t *testing.T) {
	w := newWatched(t)
	w.hears(w.say(0, "1", coap.Content), "1")
	old := []*coap.Message{w.say(0, "2", coap.Content), w.say(0, "3", coap.Content), w.say(0, "end", coap.NotFound)}
	if err := w.o.Again(watchRequest(0)); err != nil {
		t.Fatal(err)
	}
	w.hears(old[0], "2") // until the new one is answered
	renewed := w.say(1, "4", coap.Content)
	if piv(t, renewed) != nil {
		t.Error("the first response to the renewal has a Partial IV")
	}
	w.hears(old[2]) // the end of what was renewed
	w.hears(renewed, "4")
	w.hears(old[1]) // older than the renewal
	w.hears(w.say(1, "5", coap.Content), "5")
	w.hears(renewed)
	if pivs := [2][]byte{piv(t, w.round().sent[0]), piv(t, w.round().sent[1])}; string(pivs[0]) == string(pivs[1]) {
		t.Error("the renewal has the Partial IV of the registration")
	}
}

func TestClientCancels(t *testing.T) {
	w := newWatched(t)
	w.hears(w.say(0, "1", coap.Content), "1")
	if err := w.o.Again(get("/a")); !errors.Is(err, ErrCannotObserve) {
		t.Errorf("without Observe: %v", err)
	}
	if err := w.o.Again(watchRequest(1)); err != nil {
		t.Fatal(err)
	}
	if outer := w.round().sent[1]; outer.Code != coap.FETCH || !coap.HasOption(outer, coap.OptionObserve) {
		t.Errorf("cancellation: %v", outer)
	}
	w.hears(w.say(0, "2", coap.Content), "2")
	if w.open(1).observe {
		t.Error("the cancellation registers")
	}
	w.hears(w.say(1, "last", coap.Content), "last") // its Observe Option was dropped
	if !w.round().closed {
		t.Error("it is not closed")
	}
}

// Of renewals that nobody answers the first registration and the newest stay.
func TestClientRenewsUnheard(t *testing.T) {
	w := newWatched(t)
	w.hears(w.say(0, "1", coap.Content), "1")
	for range 10 {
		if err := w.o.Again(watchRequest(0)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.o.(*observation).pending); n != maxPending {
		t.Errorf("%d requests are kept", n)
	}
	w.hears(w.say(0, "2", coap.Content), "2")
	w.hears(w.say(5, "lost", coap.Content))
	w.hears(w.say(10, "3", coap.Content), "3")
	w.hears(w.say(0, "4", coap.Content))
}

// A server that lost its window asks for freshness, at the registration and
// hours later, and is answered under another token.
func TestClientObservesWithEcho(t *testing.T) {
	var params Params
	w := newWatched(t, func(_, s *Params) { s.EchoFirst, params = true, *s })
	challenge := func(i int) *coap.Message {
		t.Helper()
		_, _, err := w.server.UnprotectRequest(w.round().sent[i])
		e, ok := errors.AsType[*EchoError](err)
		if !ok {
			t.Fatal(err)
		}
		return over(t, e.Challenge)
	}
	w.hears(challenge(0))
	if len(w.line.rounds) != 2 || !w.line.rounds[0].closed {
		t.Fatalf("%d rounds", len(w.line.rounds))
	}
	w.line.rounds[0].each(nil, coap.ErrUnobserved) // a proxy forgets the first one
	w.hears(w.say(0, "1", coap.Content), "1")
	w.hears(w.say(0, "2", coap.Content), "2")

	w.server = reboot(t, params, 128)
	if err := w.o.Again(watchRequest(0)); err != nil {
		t.Fatal(err)
	}
	w.hears(challenge(1))
	w.hears(w.say(0, "3", coap.Content), "3")
	if len(w.line.rounds) != 3 {
		t.Fatalf("%d rounds", len(w.line.rounds))
	}

	// A server that is never content, and one that cannot be reached again.
	stubborn := newWatched(t)
	again := func() *coap.Message {
		resp := coap.Problem(coap.Unauthorized, "again")
		coap.AddOption(resp, coap.OptionEcho, []byte("again"))
		outer, err := stubborn.server.ProtectResponse(resp, stubborn.open(0))
		if err != nil {
			t.Fatal(err)
		}
		return outer
	}
	stubborn.hears(again())
	stubborn.hears(again(), "again")
	stubborn = newWatched(t)
	stubborn.hears(again()) // and then it does not know the client
	stubborn.hears(coap.Problem(coap.Unauthorized, noSecurity), "error: "+(&UnprotectedError{coap.Problem(coap.Unauthorized, noSecurity)}).Error())
	away := newWatched(t)
	stubborn, away.line.fail = away, coap.ErrLink
	away.hears(again(), "error: "+coap.ErrLink.Error())
}

func TestClientObservationsThatEnd(t *testing.T) {
	w := newWatched(t)
	w.round().each(nil, coap.ErrTimeout)
	w.round().each(nil, coap.ErrTimeout)
	if fmt.Sprint(w.heard) != fmt.Sprintf("[error: %v]", coap.ErrTimeout) {
		t.Errorf("heard %q", w.heard)
	}
	w = newWatched(t)
	w.hears(coap.Problem(coap.Unauthorized, noSecurity), "error: "+(&UnprotectedError{coap.Problem(coap.Unauthorized, noSecurity)}).Error())
	w.hears(w.say(0, "1", coap.Content))

	w = newWatched(t)
	end := coap.Problem(coap.NotFound, "")
	coap.AddOption(end, 65001, nil)
	outer, err := w.server.ProtectResponse(end, w.open(0))
	if err != nil {
		t.Fatal(err)
	}
	w.hears(outer, "error: "+coap.ErrBadOption.Error()+": number 65001")

	w = newWatched(t)
	w.o.Close()
	w.hears(w.say(0, "1", coap.Content))
	if !w.round().closed {
		t.Error("not closed below")
	}
}

const noSecurity = "Security context not found"

func TestCannotObserve(t *testing.T) {
	client, _ := newPair(t)
	each := func(*coap.Message, error) { t.Error("called") }
	for name, c := range map[string]struct {
		ex  coap.Exchanger
		req *coap.Message
	}{
		"no Observer":     {&link{t: t}, watchRequest(0)},
		"no registration": {&line{link: link{t: t}}, get("/a")},
		"a cancellation":  {&line{link: link{t: t}}, watchRequest(1)},
		"nothing works":   {&line{link: link{t: t}, fail: coap.ErrLink}, watchRequest(0)},
	} {
		if o, err := NewClient(client, c.ex, peerAddr).Observe(t.Context(), c.req, each); err == nil || o != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	client.sequence.Stop()
	if _, err := NewClient(client, &line{link: link{t: t}}, peerAddr).Observe(t.Context(), watchRequest(0), each); !errors.Is(err, ErrSpent) {
		t.Errorf("without numbers: %v", err)
	}
}

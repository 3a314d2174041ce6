package coap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestOrder(t *testing.T) {
	note := func(v uint32) *Message {
		m := Respond(Content, NoFormat, nil)
		AddUint(m, OptionObserve, v)
		return m
	}
	type step struct {
		after time.Duration
		m     *Message
		fresh bool
	}
	tooLong := Respond(Content, NoFormat, nil)
	AddOption(tooLong, OptionObserve, []byte{1, 2, 3, 4})
	for name, steps := range map[string][]step{
		"ascending":       {{0, note(1), true}, {0, note(2), true}, {0, note(2), false}, {0, note(1), false}, {0, note(9), true}},
		"wrapping around": {{0, note(1<<24 - 1), true}, {0, note(0), true}, {0, note(1<<24 - 1), false}, {0, note(5), true}},
		"after 128 s":     {{0, note(7), true}, {128 * time.Second, note(3), false}, {time.Second, note(3), true}},
		"far ahead":       {{0, note(0), true}, {0, note(1<<23 - 1), true}, {0, note(1 << 23), true}, {0, note(0), false}},
		"not a half":      {{0, note(0), true}, {0, note(1 << 23), false}},
		"final":           {{0, note(7), true}, {0, Problem(NotFound, ""), true}},
		"malformed":       {{0, tooLong, false}},
	} {
		var o Order
		now := start
		for i, s := range steps {
			now = now.Add(s.after)
			if got := o.Fresh(now, s.m); got != s.fresh {
				t.Errorf("%s, step %d: fresh is %v", name, i, got)
			}
		}
	}
	for _, c := range []struct {
		m    *Message
		want bool
	}{{note(3), true}, {Respond(Content, NoFormat, nil), false}, {Problem(NotFound, ""), false}} {
		if IsNotification(c.m) != c.want {
			t.Errorf("%v: a notification: %v", c.m, !c.want)
		}
	}
}

// pushed collects what is pushed to one client.
type pushed struct {
	got []*Message
	err error
}

func (p *pushed) push(m *Message) error {
	p.got = append(p.got, m)
	return p.err
}

func registration(from netip.AddrPort, token string, value uint32, p *pushed) *Request {
	m := NewRequest(GET, "/a", nil)
	m.Token = Token(token)
	AddUint(m, OptionObserve, value)
	req := &Request{Message: m, From: from}
	if p != nil {
		req.Push = p.push
	}
	return req
}

func TestObservers(t *testing.T) {
	state := func(*Request) *Message { return Respond(Content, NoFormat, []byte("new")) }
	ok := Respond(Content, NoFormat, []byte("now"))
	o := NewObservers(8)
	p, q := &pushed{}, &pushed{}
	resp := o.Register(start, registration(addrA, "t", 0, p), ok)
	if !IsNotification(resp) || HasOption(ok, OptionObserve) {
		t.Fatal("the registration is answered by", resp)
	}
	first, _ := OptionUint(resp, OptionObserve)
	o.Register(start, registration(addrA, "t", 0, p), ok) // again: no second entry
	o.Register(start, registration(addrB, "t", 0, q), ok)
	if o.Len() != 2 {
		t.Fatal(o.Len(), "observers")
	}
	o.Notify(start, state)
	o.Notify(start, state)
	if len(p.got) != 2 || len(q.got) != 2 {
		t.Fatalf("%d and %d notifications", len(p.got), len(q.got))
	}
	one, _ := OptionUint(p.got[0], OptionObserve)
	two, _ := OptionUint(p.got[1], OptionObserve)
	if !newer(first, one) || !newer(one, two) {
		t.Errorf("numbers %d, %d, %d", first, one, two)
	}
	o.Notify(start, func(*Request) *Message { return nil })
	if len(p.got) != 2 {
		t.Error("nothing was pushed as something")
	}

	if got := o.Register(start, registration(addrA, "t", 1, p), ok); got != ok || o.Len() != 1 {
		t.Error("deregistering:", got, o.Len())
	}
	q.err = ErrReset
	o.Notify(start, state)
	if o.Len() != 0 {
		t.Error("who has gone is still on the list")
	}
	q.err = nil
	o.Register(start, registration(addrB, "t", 0, q), ok)
	o.Notify(start, func(*Request) *Message { return Problem(NotFound, "") })
	if last := q.got[len(q.got)-1]; last.Code != NotFound || HasOption(last, OptionObserve) || o.Len() != 0 {
		t.Error("the end:", last, o.Len())
	}
}

func TestObserversByRequest(t *testing.T) {
	ok := Respond(Content, NoFormat, nil)
	o, p, q := NewObservers(8), &pushed{}, &pushed{}
	o.Register(start, registration(addrA, "t", 0, p), ok)
	o.Register(start, registration(addrB, "t", 0, q), ok)
	from := func(a netip.AddrPort) func(*Request) bool {
		return func(req *Request) bool { return req.From == a }
	}
	if !o.Any(from(addrA)) || !o.Any(from(addrB)) {
		t.Error("an observer is not found")
	}
	o.Remove(from(addrA))
	if o.Any(from(addrA)) || !o.Any(from(addrB)) || o.Len() != 1 {
		t.Error("not the one was removed")
	}
	o.Notify(start, func(*Request) *Message { return ok })
	if len(p.got) != 0 || len(q.got) != 1 {
		t.Errorf("%d and %d notifications, want none and one", len(p.got), len(q.got))
	}
}

// TestObserversInOrder has a change while observers are told of the one before:
// the newest state is the last that they hear.
func TestObserversInOrder(t *testing.T) {
	o, p := NewObservers(1), &pushed{}
	o.Register(start, registration(addrA, "t", 0, p), Respond(Content, NoFormat, nil))
	var second sync.WaitGroup
	o.Notify(start, func(*Request) *Message {
		second.Go(func() {
			o.Notify(start, func(*Request) *Message { return Respond(Content, NoFormat, []byte("new")) })
		})
		time.Sleep(20 * time.Millisecond) // the other one would be faster
		return Respond(Content, NoFormat, []byte("old"))
	})
	second.Wait()
	if len(p.got) != 2 || string(p.got[0].Payload) != "old" || string(p.got[1].Payload) != "new" {
		t.Errorf("notified in the order %v", p.got)
	}
}

func TestObserversRefuse(t *testing.T) {
	ok := Respond(Content, NoFormat, nil)
	o := NewObservers(8)
	post := registration(addrA, "t", 0, &pushed{})
	post.Code = POST
	for name, c := range map[string]struct {
		req  *Request
		resp *Message
	}{
		"another method":     {post, ok},
		"no Observe":         {&Request{Message: NewRequest(GET, "/a", nil), Push: (&pushed{}).push}, ok},
		"no way to notify":   {registration(addrA, "t", 0, nil), ok},
		"an error":           {registration(addrA, "t", 0, &pushed{}), Problem(NotFound, "")},
		"silence":            {registration(addrA, "t", 0, &pushed{}), nil},
		"an unknown request": {registration(addrA, "t", 2, &pushed{}), ok},
	} {
		if got := o.Register(start, c.req, c.resp); got != c.resp || o.Len() != 0 {
			t.Errorf("%s: %v, %d observers", name, got, o.Len())
		}
	}
	// One peer cannot fill the list, all together can.
	for i := range 20 {
		o.Register(start, registration(addrA, fmt.Sprint(i), 0, &pushed{}), ok)
	}
	if o.Len() != 2 {
		t.Errorf("one peer holds %d of 8", o.Len())
	}
	for i := range 20 {
		from := netip.AddrPortFrom(addrA.Addr(), uint16(i+1))
		o.Register(start, registration(from, "t", 0, &pushed{}), ok)
	}
	if o.Len() != 8 {
		t.Errorf("the list holds %d of 8", o.Len())
	}
	if got := o.Register(start, registration(addrB, "t", 0, &pushed{}), ok); got != ok {
		t.Error("there is room in a full list")
	}
}

// TestObserveNumbersWrap goes on while the clock stands still or goes back.
func TestObserveNumbersWrap(t *testing.T) {
	o := NewObservers(1)
	last := o.next(time.UnixMilli(1<<24*40 - 2)) // the largest but one
	for i := range 5 {
		now := o.next(time.UnixMilli(1<<24*40 - 2 - int64(i)))
		if !newer(last, now) || now > maxObserve {
			t.Fatalf("%d follows %d", now, last)
		}
		last = now
	}
}

// notifier is a server's message layer with one client at addrA.
type notifier struct {
	*Layer
	t *testing.T
}

func (l notifier) state(s string) *Message {
	m := Respond(Content, NoFormat, []byte(s))
	AddUint(m, OptionObserve, 5)
	return m
}

func (l notifier) notify(in *Inbound, s string) error { return l.Notify(start, in, l.state(s)) }

// register has a request with that token come in.
func (l notifier) register(token string) *Inbound {
	l.t.Helper()
	m := confirmable(token)
	m.MessageID = int32(token[0])
	b, err := MarshalUDP(m)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.Receive(start, addrA, b, false).Inbound
}

func (l notifier) answer(in *Inbound, resp *Message) {
	l.t.Helper()
	if err := l.Answer(start, in, resp); err != nil {
		l.t.Fatal(err)
	}
}

// expect takes the one notification that is out.
func (l notifier) expect(token, payload string) *Message {
	l.t.Helper()
	m, err := UnmarshalUDP(drain(l.t, l.Layer, 1)[0].Bytes)
	if err != nil || m.Type != Confirmable || string(m.Token) != token || string(m.Payload) != payload {
		l.t.Fatalf("sent %v (%v), not %q to %q", m, err, payload, token)
	}
	return m
}

// reply has the client acknowledge or reject a notification.
func (l notifier) reply(typ MessageType, m *Message) {
	l.t.Helper()
	if ev := l.Receive(start, addrA, emptyMessage(typ, uint16(m.MessageID)), false); ev.Kind != EventNone {
		l.t.Fatalf("a reply to a notification is %+v", ev)
	}
}

// TestNotify has the response go first, then one notification at a time, of which
// the newest replaces those that wait.
func TestNotify(t *testing.T) {
	l := notifier{newTestLayer(2, nil), t}
	a := l.register("a")
	if err := l.notify(a, "early"); err != nil {
		t.Fatal(err)
	}
	drain(t, l.Layer, 0)
	l.answer(a, l.state("first"))
	out := drain(t, l.Layer, 2)
	if first, err := UnmarshalUDP(out[0].Bytes); err != nil || string(first.Payload) != "first" {
		t.Fatal(first, err)
	}
	early, err := UnmarshalUDP(out[1].Bytes)
	if err != nil || string(early.Payload) != "early" {
		t.Fatal(early, err)
	}
	b := l.register("b")
	l.answer(b, nil)
	for _, s := range []string{"one", "two"} { // the second takes the place of the first
		_ = l.notify(a, s)
	}
	_ = l.notify(b, "three")
	drain(t, l.Layer, 0)
	l.reply(Acknowledgement, early)
	three := l.expect("b", "three") // it is b's turn
	// An acknowledgement with a response in it means nothing.
	odd := &Message{Code: Content, Type: Acknowledgement, MessageID: three.MessageID, Token: three.Token}
	bytes, _ := MarshalUDP(odd)
	if ev := l.Receive(start, addrA, bytes, false); ev.Kind != EventNone {
		t.Errorf("a response to a notification is %+v", ev)
	}
	l.reply(Acknowledgement, three)
	l.reply(Acknowledgement, l.expect("a", "two"))
	if len(l.outboxes) != 0 || len(l.peers) != 0 {
		t.Error("something stays behind")
	}
}

// TestNotifyWhoIsGone has a client that rejects, and one that is silent.
func TestNotifyWhoIsGone(t *testing.T) {
	l := notifier{newTestLayer(2, nil), t}
	a, b := l.register("a"), l.register("b")
	l.answer(a, nil)
	l.answer(b, nil)
	_ = l.notify(a, "two")
	two := l.expect("a", "two")
	// Unacknowledged: the repetition carries what is newest.
	_ = l.notify(a, "four")
	drain(t, l.Layer, 0)
	now, _ := l.Next()
	l.Poll(now)
	four := l.expect("a", "four")
	if four.MessageID == two.MessageID {
		t.Error("other content under the same message ID")
	}
	l.reply(Reset, two) // too late
	_ = l.notify(a, "five")
	l.reply(Reset, four)
	drain(t, l.Layer, 0)
	if err := l.notify(a, "six"); !errors.Is(err, ErrReset) {
		t.Errorf("who has rejected: %v", err)
	}
	// Silence: whatever is newer meanwhile, the attempts are those of one message.
	_ = l.notify(b, "x")
	l.expect("b", "x")
	sent := 1
	for next, ok := l.Next(); ok; next, ok = l.Next() {
		_ = l.notify(b, "y")
		if failed := l.Poll(next); len(failed) != 0 {
			t.Fatal("a notification is told as a request that failed")
		}
		sent += len(l.Drain(nil))
	}
	if err := l.notify(b, "z"); !errors.Is(err, ErrTimeout) || sent != 1+l.params.MaxRetransmit {
		t.Errorf("who is gone: %v after %d attempts", err, sent)
	}
	if len(l.outboxes) != 0 || len(l.peers) != 0 {
		t.Error("something stays behind")
	}
}

// TestSecurePush pushes before and after the response is protected.
func TestSecurePush(t *testing.T) {
	var sealed []string
	var fail error
	opener := openerFunc(func(outer *Request) (*Opened, *Message, error) {
		return &Opened{
			Message: NewRequest(GET, "/a", nil),
			Seal: func(m *Message) (*Message, error) {
				sealed = append(sealed, string(m.Payload))
				return Respond(Content, NoFormat, append([]byte("sealed "), m.Payload...)), fail
			},
		}, nil, nil
	})
	var inner *Request
	h := Secure(HandlerFunc(func(_ context.Context, req *Request) *Message {
		inner = req
		for _, s := range []string{"one", "two"} {
			if err := req.Push(Respond(Content, NoFormat, []byte(s))); err != nil {
				t.Error(err)
			}
		}
		return Respond(Content, NoFormat, []byte("response"))
	}), opener)
	p := &pushed{}
	outer := &Request{Message: protected("x"), Push: p.push}
	resp := h.Serve(context.Background(), outer)
	if string(resp.Payload) != "sealed response" || len(p.got) != 1 || string(p.got[0].Payload) != "sealed two" {
		t.Fatalf("answered %q, pushed %v", resp.Payload, p.got)
	}
	if err := inner.Push(Respond(Content, NoFormat, []byte("three"))); err != nil || len(p.got) != 2 {
		t.Error("pushing later:", err, p.got)
	}
	if fmt.Sprint(sealed) != "[response two three]" {
		t.Errorf("sealed in the order %q", sealed)
	}
	fail = ErrNoContext
	if err := inner.Push(Respond(Content, NoFormat, nil)); !errors.Is(err, ErrNoContext) || len(p.got) != 2 {
		t.Error("unsealed:", err, p.got)
	}
}

type openerFunc func(outer *Request) (*Opened, *Message, error)

func (f openerFunc) Open(_ context.Context, outer *Request) (*Opened, *Message, error) {
	return f(outer)
}

// protected is an OSCORE message.
func protected(payload string) *Message {
	m := NewRequest(POST, "", []byte(payload))
	AddOption(m, OptionOSCORE, []byte{0x09, 0x00, 0x25})
	return m
}

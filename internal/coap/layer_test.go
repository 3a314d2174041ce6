package coap

import (
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var (
	addrA = netip.MustParseAddrPort("127.1.0.1:5683")
	addrB = netip.MustParseAddrPort("127.1.0.2:5683")
	group = netip.MustParseAddrPort("224.0.1.187:5683")
	start = time.Unix(1_000_000, 0)
)

func seeded(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{n}) }

func newTestLayer(n byte, change func(*LayerParams)) *Layer {
	p := DefaultLayerParams()
	if change != nil {
		change(&p)
	}
	return NewLayer(p, seeded(n))
}

func confirmable(token string) *Message {
	m := NewRequest(GET, "/a", nil)
	m.Type, m.Token = Confirmable, Token(token)
	return m
}

func drain(t *testing.T, l *Layer, want int) []Datagram {
	t.Helper()
	out := l.Drain(nil)
	if len(out) != want {
		t.Fatalf("%d datagrams are sent, want %d", len(out), want)
	}
	return out
}

func send(t *testing.T, l *Layer, now time.Time, to netip.AddrPort, m *Message) *Sent {
	t.Helper()
	s, err := l.Send(now, to, m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPiggybackedResponse(t *testing.T) {
	client, server := newTestLayer(1, nil), newTestLayer(2, nil)
	sent := send(t, client, start, addrB, confirmable("tok"))
	request := drain(t, client, 1)[0].Bytes

	ev := server.Receive(start, addrA, request, false)
	if ev.Kind != EventRequest || Path(ev.Message) != "/a" {
		t.Fatalf("server sees %+v", ev)
	}
	if err := server.Answer(start, ev.Inbound, Respond(Content, NoFormat, []byte("x"))); err != nil {
		t.Fatal(err)
	}
	answer := drain(t, server, 1)[0]
	got := client.Receive(start, addrB, answer.Bytes, false)
	if got.Kind != EventResponse || got.Sent != sent || got.Inbound != nil || string(got.Message.Payload) != "x" {
		t.Fatalf("client sees %+v", got)
	}
	if _, ok := client.Next(); ok || len(client.peers) != 0 {
		t.Error("the client still plans a retransmission")
	}
	if again := client.Receive(start, addrB, answer.Bytes, false); again.Kind != EventNone {
		t.Errorf("a repeated answer is %+v", again)
	}
	// The request comes again: the same bytes go back, nothing is handled.
	if again := server.Receive(start.Add(time.Minute), addrA, request, false); again.Kind != EventNone {
		t.Errorf("a repeated request is %+v", again)
	}
	if repeat := drain(t, server, 1)[0]; !bytes.Equal(repeat.Bytes, answer.Bytes) {
		t.Error("the repetition got another answer")
	}
	// After EXCHANGE_LIFETIME it is a new one.
	if late := server.Receive(start.Add(248*time.Second), addrA, request, false); late.Kind != EventRequest {
		t.Errorf("after the lifetime: %+v", late)
	}
}

func TestSeparateResponse(t *testing.T) {
	client, server := newTestLayer(1, nil), newTestLayer(2, nil)
	sent := send(t, client, start, addrB, confirmable("tok"))
	ev := server.Receive(start, addrA, drain(t, client, 1)[0].Bytes, false)

	slow := start.Add(server.params.AckDelay)
	if failed := server.Poll(slow); failed != nil {
		t.Fatal("failed", failed)
	}
	ack := drain(t, server, 1)[0].Bytes
	if got := client.Receive(slow, addrB, ack, false); got.Kind != EventAcked || got.Sent != sent {
		t.Fatalf("acknowledgement: %+v", got)
	}
	if err := server.Answer(slow, ev.Inbound, Respond(Content, NoFormat, nil)); err != nil {
		t.Fatal(err)
	}
	resp := drain(t, server, 1)[0].Bytes
	got := client.Receive(slow, addrB, resp, false)
	if got.Kind != EventResponse || got.Inbound == nil || got.Message.Type != Confirmable || string(got.Message.Token) != "tok" {
		t.Fatalf("separate response: %+v", got)
	}
	client.Accept(got.Inbound)
	back := drain(t, client, 1)[0].Bytes
	if done := server.Receive(slow, addrA, back, false); done.Kind != EventAcked {
		t.Fatalf("acknowledged response: %+v", done)
	}
	if len(server.peers) != 0 {
		t.Error("the server still remembers the peer")
	}
	client.Receive(slow, addrB, resp, false)
	if again := drain(t, client, 1)[0].Bytes; !bytes.Equal(again, back) {
		t.Error("a repeated response is acknowledged otherwise")
	}
}

func TestRetransmissionSchedule(t *testing.T) {
	client := newTestLayer(1, nil)
	sent := send(t, client, start, addrB, confirmable("tok"))
	first := drain(t, client, 1)[0].Bytes
	now, previous := start, time.Duration(0)
	for i := range client.params.MaxRetransmit {
		next, ok := client.Next()
		if !ok {
			t.Fatal("nothing is planned")
		}
		gap := next.Sub(now)
		if i == 0 && (gap < 2*time.Second || gap >= 3*time.Second) || i > 0 && gap != 2*previous {
			t.Fatalf("retransmission %d after %v (before that %v)", i+1, gap, previous)
		}
		now, previous = next, gap
		if failed := client.Poll(now); failed != nil {
			t.Fatal("given up early")
		}
		if again := drain(t, client, 1)[0].Bytes; !bytes.Equal(again, first) {
			t.Fatal("a retransmission differs")
		}
	}
	next, _ := client.Next()
	failed := client.Poll(next)
	if len(failed) != 1 || failed[0] != sent {
		t.Fatalf("failed: %v", failed)
	}
	if wait := next.Sub(start); wait > client.params.MaxTransmitWait() {
		t.Errorf("given up after %v, later than MAX_TRANSMIT_WAIT", wait)
	}
	drain(t, client, 0)
}

func TestRejections(t *testing.T) {
	ping := []byte{0x40, 0, 0x12, 0x34}
	reset := []byte{0x70, 0, 0x12, 0x34}
	response := []byte{0x41, 0x45, 0x12, 0x34, 'z'}
	for _, tc := range []struct {
		name      string
		in        []byte
		multicast bool
		want      []byte
	}{
		{"ping", ping, false, reset},
		{"ping to a group", ping, true, nil},
		{"empty non-confirmable", []byte{0x50, 0, 0x12, 0x34}, false, nil},
		{"reserved code class", []byte{0x40, 0xe1, 0x12, 0x34}, false, reset},
		{"reserved code class, non-confirmable", []byte{0x50, 0x21, 0x12, 0x34}, false, nil},
		{"truncated option", []byte{0x40, 1, 0x12, 0x34, 0xb5}, false, reset},
		{"truncated option, non-confirmable", []byte{0x50, 1, 0x12, 0x34, 0xb5}, false, nil},
		{"truncated option, group", []byte{0x40, 1, 0x12, 0x34, 0xb5}, true, nil},
		{"token too long", []byte{0x49, 1, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 9}, false, reset},
		{"empty with token", []byte{0x41, 0, 0x12, 0x34, 1}, false, reset},
		{"other version", []byte{0x80, 1, 0x12, 0x34}, false, nil},
		{"three bytes", []byte{0x40, 1, 0x12}, false, nil},
		{"nothing", nil, false, nil},
		{"unknown acknowledgement", []byte{0x60, 0, 0x12, 0x34}, false, nil},
		{"unknown reset", reset, false, nil},
		{"confirmable to a group", []byte{0x40, 1, 0x12, 0x34}, true, nil},
		{"response to a group", response, true, nil},
	} {
		l := newTestLayer(1, nil)
		if ev := l.Receive(start, addrA, tc.in, tc.multicast); ev.Kind != EventNone {
			t.Errorf("%s: %+v", tc.name, ev)
		}
		out := l.Drain(nil)
		if tc.want == nil && len(out) != 0 || tc.want != nil && (len(out) != 1 || !bytes.Equal(out[0].Bytes, tc.want)) {
			t.Errorf("%s: sends %x, want %x", tc.name, out, tc.want)
		}
	}
	l := newTestLayer(1, nil)
	l.Reject(l.Receive(start, addrA, response, false).Inbound)
	if out := drain(t, l, 1)[0]; !bytes.Equal(out.Bytes, reset) {
		t.Errorf("rejecting a response sends %x", out.Bytes)
	}
}

func TestResetAndWrongToken(t *testing.T) {
	client := newTestLayer(1, nil)
	sent := send(t, client, start, addrB, confirmable("tok"))
	b := drain(t, client, 1)[0].Bytes
	wrong := []byte{0x61, 0x45, b[2], b[3], 'x'}
	if ev := client.Receive(start, addrB, wrong, false); ev.Kind != EventNone {
		t.Errorf("another token: %+v", ev)
	}
	reset := []byte{0x70, 0, b[2], b[3]}
	if ev := client.Receive(start, addrA, reset, false); ev.Kind != EventNone {
		t.Errorf("a reset from elsewhere: %+v", ev)
	}
	if ev := client.Receive(start, addrB, reset, false); ev.Kind != EventRejected || ev.Sent != sent {
		t.Errorf("reset: %+v", ev)
	}
}

func TestGroupRequest(t *testing.T) {
	server := newTestLayer(2, func(p *LayerParams) { p.Leisure = 5 * time.Second })
	m := confirmable("tok")
	m.Type, m.MessageID = NonConfirmable, 7
	b, _ := MarshalUDP(m)
	ev := server.Receive(start, addrA, b, true)
	if ev.Kind != EventRequest {
		t.Fatalf("%+v", ev)
	}
	if err := server.Answer(start, ev.Inbound, Respond(Content, NoFormat, nil)); err != nil {
		t.Fatal(err)
	}
	drain(t, server, 0)
	at, ok := server.Next()
	if !ok || at.Sub(start) >= 5*time.Second {
		t.Fatalf("answer planned at %v", at.Sub(start))
	}
	server.Poll(at)
	out := drain(t, server, 1)[0]
	got, err := UnmarshalUDP(out.Bytes)
	if err != nil || got.Type != NonConfirmable || string(got.Token) != "tok" || out.To != addrA {
		t.Fatalf("%+v %v", got, err)
	}
	if again := server.Receive(start, addrA, b, true); again.Kind != EventNone {
		t.Errorf("repeated: %+v", again)
	}
	drain(t, server, 0)
}

// A handler has the answer to a group request spread over another time than the
// endpoint's own, longer or shorter.
func TestSpread(t *testing.T) {
	for _, spread := range []time.Duration{time.Hour, time.Millisecond} {
		var last time.Duration
		for n := range 20 {
			server := newTestLayer(byte(n), func(p *LayerParams) { p.Leisure = 5 * time.Second })
			m := confirmable("tok")
			m.Type, m.MessageID = NonConfirmable, 7
			b, _ := MarshalUDP(m)
			in := server.Receive(start, addrA, b, true).Inbound
			in.Spread(spread)
			if err := server.Answer(start, in, Respond(Content, NoFormat, nil)); err != nil {
				t.Fatal(err)
			}
			at, _ := server.Next()
			last = max(last, at.Sub(start))
		}
		if last > spread || last < spread/2 {
			t.Errorf("of 20 answers the last is planned after %v, of %v", last, spread)
		}
	}
}

func TestNStart(t *testing.T) {
	client := newTestLayer(1, func(p *LayerParams) { p.NStart, p.MaxQueue = 1, 2 })
	first := send(t, client, start, addrB, confirmable("1"))
	second := send(t, client, start, addrB, confirmable("2"))
	third := send(t, client, start, addrB, confirmable("3"))
	if _, err := client.Send(start, addrB, confirmable("4")); !errors.Is(err, ErrBusy) {
		t.Errorf("a full queue: %v", err)
	}
	send(t, client, start, addrA, confirmable("5"))
	drain(t, client, 2)
	client.Stop(start, second) // it never left
	drain(t, client, 0)
	client.Stop(start, first)
	client.Stop(start, first)
	if out := drain(t, client, 1)[0]; !bytes.Contains(out.Bytes, []byte("3")) {
		t.Errorf("after that %x is sent", out.Bytes)
	}
	client.Stop(start, third)
	if len(client.peers) != 1 {
		t.Errorf("%d peers are remembered", len(client.peers))
	}
}

func TestSeenIsBounded(t *testing.T) {
	server := newTestLayer(2, func(p *LayerParams) { p.MaxSeen, p.MaxSeenBytes = 100, 1000 })
	for i := range 10_000 {
		m := confirmable("tok")
		m.MessageID = int32(i % 3000)
		m.Payload = fmt.Append(nil, i)
		b, _ := MarshalUDP(m)
		ev := server.Receive(start, addrA, b, false)
		if ev.Kind != EventRequest {
			t.Fatalf("message %d: %+v", i, ev)
		}
		if err := server.Answer(start, ev.Inbound, Respond(Content, NoFormat, make([]byte, 50))); err != nil {
			t.Fatal(err)
		}
		server.Drain(nil)
	}
	if n := len(server.seen.entries); n > 100 || server.seen.bytes > 1000 || len(server.seen.order) > 400 {
		t.Errorf("%d messages with %d bytes are remembered, %d in order", n, server.seen.bytes, len(server.seen.order))
	}
	server.Poll(start.Add(time.Hour))
	if len(server.seen.entries) != 0 || server.seen.bytes != 0 || len(server.timers) != 0 {
		t.Error("something is remembered for ever")
	}
}

// wire is a link between two layers that loses, repeats and delays, on a clock
// of its own.
type wire struct {
	now    time.Time
	rng    *rand.Rand
	layers map[netip.AddrPort]*Layer
	flight flight
	loss   float64
	serve  func(at netip.AddrPort, l *Layer, ev Event, from netip.AddrPort)
	events func(at netip.AddrPort, ev Event)
	failed func(at netip.AddrPort, s *Sent)
}

type arrival struct {
	at       time.Time
	from, to netip.AddrPort
	b        []byte
}

type flight []arrival

func (f flight) Len() int           { return len(f) }
func (f flight) Less(i, j int) bool { return f[i].at.Before(f[j].at) }
func (f flight) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)        { *f = append(*f, x.(arrival)) }
func (f *flight) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	*f = (*f)[:last]
	return x
}

func (w *wire) collect() {
	for _, addr := range []netip.AddrPort{addrA, addrB} {
		for _, d := range w.layers[addr].Drain(nil) {
			copies := 1
			if w.rng.Float64() < 0.1 {
				copies = 2
			}
			for range copies {
				if w.rng.Float64() >= w.loss {
					delay := time.Duration(w.rng.Int64N(int64(800 * time.Millisecond)))
					heap.Push(&w.flight, arrival{w.now.Add(delay), addr, d.To, d.Bytes})
				}
			}
		}
	}
}

// step does the next thing that is due; false when nothing is.
func (w *wire) step() bool {
	w.collect()
	var due time.Time
	for _, l := range w.layers {
		if at, ok := l.Next(); ok && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	if len(w.flight) > 0 && (due.IsZero() || w.flight[0].at.Before(due)) {
		a := heap.Pop(&w.flight).(arrival)
		w.now = a.at
		ev := w.layers[a.to].Receive(w.now, a.from, a.b, false)
		if ev.Kind == EventRequest {
			w.serve(a.to, w.layers[a.to], ev, a.from)
		} else {
			w.events(a.to, ev)
		}
		return true
	}
	if due.IsZero() {
		return false
	}
	w.now = due
	for _, addr := range []netip.AddrPort{addrA, addrB} {
		for _, s := range w.layers[addr].Poll(w.now) {
			w.failed(addr, s)
		}
	}
	return true
}

// On a bad link every request is handled at most once, and either answered once
// or given up; nothing stays behind.
func TestLossyLink(t *testing.T) {
	for _, loss := range []float64{0, 0.3, 0.7} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) { runLossyLink(t, loss) })
	}
}

func runLossyLink(t *testing.T, loss float64) {
	const requests = 300
	client := newTestLayer(1, func(p *LayerParams) { p.NStart = 4 })
	server := newTestLayer(2, nil)
	handled, answered, gaveUp := map[string]int{}, map[string]int{}, map[string]int{}
	pending := map[string]*Sent{}
	acked := map[string]bool{}
	w := &wire{now: start, rng: rand.New(rand.NewPCG(3, uint64(loss*10))), loss: loss,
		layers: map[netip.AddrPort]*Layer{addrA: client, addrB: server}}
	w.serve = func(_ netip.AddrPort, l *Layer, ev Event, _ netip.AddrPort) {
		token := string(ev.Message.Token)
		handled[token]++
		if handled[token]%2 == 1 && token[0]%3 == 0 { // some take long
			l.acknowledge(ev.Inbound)
		}
		if err := l.Answer(w.now, ev.Inbound, Respond(Content, NoFormat, []byte(token))); err != nil {
			t.Error(err)
		}
	}
	w.events = func(at netip.AddrPort, ev Event) {
		if at != addrA {
			return
		}
		switch ev.Kind {
		case EventAcked:
			acked[ev.Sent.Value.(string)] = true
		case EventResponse:
			token := string(ev.Message.Token)
			if string(ev.Message.Payload) != token {
				t.Errorf("token %x got the answer of %x", token, ev.Message.Payload)
			}
			answered[token]++
			client.Accept(ev.Inbound)
			client.Stop(w.now, pending[token])
		}
	}
	w.failed = func(at netip.AddrPort, s *Sent) {
		if at == addrA {
			gaveUp[s.Value.(string)]++
		}
	}
	for i := range requests {
		token := string([]byte{byte(i >> 8), byte(i), 't'})
		s := send(t, client, w.now, addrB, confirmable(token))
		s.Value = token
		pending[token] = s
	}
	for w.step() {
	}
	for token := range pending {
		if handled[token] > 1 || answered[token] > 1 {
			t.Fatalf("token %x was handled %d times and answered %d times", token, handled[token], answered[token])
		}
		if answered[token]+gaveUp[token] == 0 && !acked[token] {
			t.Fatalf("token %x was neither answered nor given up", token)
		}
	}
	if loss < 0.5 && len(answered) < requests*95/100 {
		t.Errorf("only %d of %d were answered", len(answered), requests)
	}
	if len(client.peers)+len(server.peers)+len(client.timers)+len(server.timers) != 0 {
		t.Error("something stays behind")
	}
}

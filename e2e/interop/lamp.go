package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/oscore"
)

// How a message was protected.
const (
	plain    = "plain"
	single   = "oscore"
	grouped  = "group"
	pairwise = "pairwise"
)

// step is one request to a lamp and the answer that it must get.
type step struct {
	method  coap.Code
	path    string
	payload string
	code    coap.Code
	answer  string // "": not looked at
}

// long makes lengths and payloads of more than one byte's size.
var long = strings.Repeat("lamplighter ", 50)

// exercise is what a client does with a lamp that is new.
var exercise = []step{
	{coap.GET, "/light", "", coap.Content, "off"},
	{coap.PUT, "/light", "on", coap.Changed, ""},
	{coap.GET, "/light", "", coap.Content, "on"},
	{coap.PUT, "/light", long, coap.Changed, ""},
	{coap.GET, "/light", "", coap.Content, long},
	{coap.GET, "/dark", "", coap.NotFound, ""},
}

// reply is an answer with how it was protected.
type reply struct {
	code    coap.Code
	payload []byte
	mode    string
}

// asker sends the request of a step.
type asker func(ctx context.Context, s step) (reply, error)

// walk does the exercise: every answer must come as expected and protected in
// the given mode.
func walk(ctx context.Context, ask asker, mode string) error {
	return walkAlong(ctx, exercise, ask, mode)
}

func walkAlong(ctx context.Context, steps []step, ask asker, mode string) error {
	for _, s := range steps {
		what := fmt.Sprintf("%v %s", s.method, s.path)
		r, err := ask(ctx, s)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case r.code != s.code:
			return fmt.Errorf("%s: answered %s, not %s", what, coap.CodeString(r.code), coap.CodeString(s.code))
		case s.answer != "" && string(r.payload) != s.answer:
			return fmt.Errorf("%s: answered %.40q, not %.40q", what, r.payload, s.answer)
		case r.mode != mode:
			return fmt.Errorf("%s: the answer is protected as %q, not %q", what, r.mode, mode)
		}
	}
	return nil
}

// byCaller asks with one of our own clients.
func byCaller(c coap.Caller, mode string) asker {
	return func(ctx context.Context, s step) (reply, error) {
		resp, err := c.Call(ctx, coap.NewRequest(s.method, s.path, []byte(s.payload)))
		if err != nil {
			return reply{}, err
		}
		return reply{resp.Code, resp.Payload, mode}, nil
	}
}

// peerPatience is how long a peer's client waits for an answer at most.
const peerPatience = 8 * time.Second

// byPeer has a peer's client ask the server at to.
func byPeer(p *peer, to netip.AddrPort) asker {
	return func(ctx context.Context, s step) (reply, error) {
		patience := peerPatience
		if end, ok := ctx.Deadline(); ok {
			patience = min(patience, time.Until(end))
		}
		question := map[string]any{
			"code": int(s.method), "uri": "coap://" + to.String() + s.path,
			"payload": hex.EncodeToString([]byte(s.payload)), "patience": patience.Seconds(),
		}
		return p.question(question)
	}
}

// question asks a peer's client for an answer to a request.
func (p *peer) question(question map[string]any) (reply, error) {
	var answer struct {
		Error   string `json:"error"`
		Code    int    `json:"code"`
		Payload string `json:"payload"`
		Mode    string `json:"mode"`
	}
	if err := p.ask(question, &answer); err != nil {
		return reply{}, err
	}
	if answer.Error != "" {
		return reply{}, fmt.Errorf("the peer: %s", answer.Error)
	}
	payload, err := hex.DecodeString(answer.Payload)
	return reply{coap.Code(answer.Code), payload, answer.Mode}, err
}

// lamp is our server: one lamp that obeys requests proven by one kind of
// association.
type lamp struct {
	kind    coap.PeerKind
	anyMode bool // a group's member may go on in pairwise mode

	mu         sync.Mutex
	state      []byte
	used       int // requests obeyed
	challenges int // requests answered by an Echo challenge
	observers  *coap.Observers
	arrived    atomic.Int32 // requests, blocks among them
}

// Serve answers for /light.
func (l *lamp) Serve(_ context.Context, req *coap.Request) *coap.Message {
	if req.Peer.Kind != l.kind && !(l.anyMode && req.Peer.Kind == coap.PeerPairwise) {
		return coap.Problem(coap.Unauthorized, "")
	}
	if coap.Path(req.Message) != "/light" {
		return coap.Problem(coap.NotFound, "")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used++
	if req.Code == coap.PUT {
		l.change(req.Payload)
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	}
	return l.observers.Register(time.Now(), req, l.show())
}

// show is the state as a response; l.mu is held.
func (l *lamp) show() *coap.Message {
	return coap.Respond(coap.Content, coap.FormatText, append([]byte{}, l.state...))
}

// set changes the lamp's state.
func (l *lamp) set(state []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change(state)
}

// change changes the state and tells the observers; l.mu is held.
func (l *lamp) change(state []byte) {
	l.state = append([]byte{}, state...)
	l.observers.Notify(time.Now(), func(*coap.Request) *coap.Message { return l.show() })
}

// counts returns how many requests the lamp obeyed and how many were challenged.
func (l *lamp) counts() (used, challenges int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used, l.challenges
}

// watched counts the challenges of an opener for a lamp.
type watched struct {
	coap.Opener
	lamp *lamp
}

// Open implements [coap.Opener].
func (w watched) Open(ctx context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	opened, reply, err := w.Opener.Open(ctx, outer)
	if reply != nil && oscore.IsProtected(reply) { // nothing else is refused under protection here
		w.lamp.mu.Lock()
		defer w.lamp.mu.Unlock()
		w.lamp.challenges++
	}
	return opened, reply, err
}

// counted counts the requests to a lamp, blocks among them.
type counted struct {
	coap.Handler
	lamp *lamp
}

// Serve implements [coap.Handler].
func (c counted) Serve(ctx context.Context, req *coap.Request) *coap.Message {
	c.lamp.arrived.Add(1)
	return c.Handler.Serve(ctx, req)
}

// Understands says which critical options the handler knows.
func (c counted) Understands(id coap.OptionID) bool { return coap.Understands(c.Handler, id) }

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// newLamp starts a lamp on a free port. Without an opener it is open to all.
func (l *lab) newLamp(kind coap.PeerKind, opener coap.Opener) (*lamp, netip.AddrPort, error) {
	lamp := &lamp{kind: kind, state: []byte("off"), observers: coap.NewObservers(4)}
	whole := coap.NewBlockServer(coap.BlockLimits{Size: l.blockSize}, time.Now).Wrap(lamp)
	handler := coap.Secure(whole)
	if opener != nil {
		handler = coap.Secure(whole, watched{opener, lamp})
	}
	udp, err := endpoint.ListenUDP(loopback, counted{handler, lamp}, endpoint.UDPOptions{})
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	l.later(func() { _ = udp.Close() })
	return lamp, udp.Addr(), nil
}

// newUDP opens a client's socket on a free port.
func (l *lab) newUDP() (*endpoint.UDP, error) {
	udp, err := endpoint.ListenUDP(loopback, nil, endpoint.UDPOptions{})
	if err != nil {
		return nil, err
	}
	l.later(func() { _ = udp.Close() })
	return udp, nil
}

// address is a port of a peer on loopback.
func address(port uint16) netip.AddrPort { return netip.AddrPortFrom(loopback.Addr(), port) }

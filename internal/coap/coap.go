// Package coap holds what every layer shares about CoAP (RFC 7252): the one
// message type, the options and codes that go-coap does not name, and the three
// small interfaces over which all roles work. A [Handler] answers a request
// whose peer is already known, an [Exchanger] sends a request and yields its
// responses, a [Caller] does so over a security association.
//
// go-coap's message package is the message in memory and the UDP codec; the
// WebSocket framing (RFC 8323), the link format (RFC 6690), the message layer
// (RFC 7252, Section 4), block-wise transfer ([BlockServer], [BlockCaller]; RFC
// 7959 and RFC 9175, Section 3) and observing ([Observer], [Observers]; RFC 7641)
// live here as pure code without sockets or clocks.
//
// Not built: BERT (RFC 8323, Section 6), Q-Block (RFC 9177), caching.
package coap

import (
	"context"
	"net/netip"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
)

// The one CoAP message in memory and its parts.
type (
	Message  = message.Message
	Options  = message.Options
	Option   = message.Option
	OptionID = message.OptionID
	Code     = codes.Code
	Token    = message.Token

	MessageType = message.Type
)

// Request is a request on its way to a [Handler].
type Request struct {
	*Message                 // the plain request: what was inside, if it was protected
	From      netip.AddrPort // where the datagram came from; no identity
	Multicast bool           // it was sent to a group address
	Peer      Peer           // who sent it, as far as that is proven

	// Spread asks that the answer to a group request leaves after a random time up to
	// d, in place of the endpoint's own Leisure: the client knows how many it asks, and
	// how fast its network is. nil where there is no such delay. RFC 7252, Section 8.2.
	Spread func(d time.Duration)

	// Push sends a further response to this request: a notification (RFC 7641).
	// It does not wait: a newer one replaces one that is not yet out. It fails
	// when the client has gone ([ErrReset], [ErrTimeout]), and is nil where the
	// transport cannot. It may be called as long as the server lives, also
	// before Serve has returned; what is pushed then follows the response.
	Push func(resp *Message) error
}

// PeerKind says which kind of association proved a [Peer].
type PeerKind uint8

// Kinds of associations.
const (
	PeerNone     PeerKind = iota // nothing is proven
	PeerPSK                      // OSCORE on a pre-shared secret (RFC 8613, Appendix B.2)
	PeerACE                      // OSCORE from a token (RFC 9203)
	PeerGroup                    // Group OSCORE, group mode: Cred is the countersigner's
	PeerPairwise                 // Group OSCORE, pairwise mode
	PeerDTLS                     // a DTLS session (RFC 9202)
)

// Peer is who an association proved the other side to be. The zero value is
// "nobody proven".
type Peer struct {
	Kind PeerKind
	Name string // PeerPSK: the secret's name; PeerACE, PeerDTLS: the association's name; groups: the group's name
	KID  []byte // the peer's Sender ID
	Cred []byte // groups: the peer's authentication credential, as distributed
	Data any    // what the role attached to the association or the group
}

// Handler answers a request. It returns nil to stay silent. The returned
// message needs only Code, Options and Payload.
type Handler interface {
	Serve(ctx context.Context, req *Request) *Message
}

// HandlerFunc is a function as a [Handler].
type HandlerFunc func(ctx context.Context, req *Request) *Message

// Serve calls f.
func (f HandlerFunc) Serve(ctx context.Context, req *Request) *Message { return f(ctx, req) }

// Exchanger sends requests and yields responses. Token, message ID and type are
// its business; it leaves req unchanged. It is safe for concurrent use.
type Exchanger interface {
	// Exchange sends req to one endpoint, retransmitting as needed, and returns
	// the response. It fails with [ErrTimeout] when nothing answers.
	Exchange(ctx context.Context, to netip.AddrPort, req *Message) (*Message, error)

	// Multicast sends req once, non-confirmable, to a group address and calls
	// each for every response until wait has passed or ctx has ended (then the
	// error is nil). Calls of each do not overlap. With a wait of 0 or less nobody
	// wants answers: it returns as soon as req is out, and each may be nil.
	Multicast(ctx context.Context, to netip.AddrPort, req *Message, wait time.Duration, each func(resp *Message, from netip.AddrPort)) error
}

// Caller makes requests to one peer over a security association.
type Caller interface {
	Call(ctx context.Context, req *Message) (*Message, error)
}

// Watcher is a [Caller] that observes, too: see [Observer] for what each hears.
type Watcher interface {
	Caller
	Observe(ctx context.Context, req *Message, each func(*Message, error)) (Observation, error)
}

// To is an [Exchanger] with one peer as a [Caller]: without an association, plain
// requests leave as they are.
func To(ex Exchanger, peer netip.AddrPort) Caller { return exchangerTo{ex, peer} }

type exchangerTo struct {
	ex   Exchanger
	peer netip.AddrPort
}

// Call implements [Caller].
func (e exchangerTo) Call(ctx context.Context, req *Message) (*Message, error) {
	return e.ex.Exchange(ctx, e.peer, req)
}

// Opener finds the association of a protected request and opens it.
type Opener interface {
	// Open opens outer. An error that wraps [ErrNoContext] means that outer is
	// not for this Opener and the next may try. With any other error, reply
	// (when not nil) is what the protocol itself answers: an Echo challenge,
	// the first response of Appendix B.2, an unprotected error.
	Open(ctx context.Context, outer *Request) (opened *Opened, reply *Message, err error)
}

// Opened is a request whose protection was taken off.
type Opened struct {
	Message *Message                              // the request inside
	Peer    Peer                                  // who sent it
	Seal    func(resp *Message) (*Message, error) // protects the response; may be called again for further responses (Observe)
}

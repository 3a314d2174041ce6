package coap

import (
	"context"
	"errors"
)

// Errors of DTLS sessions by consequence.
var (
	ErrIdentity = errors.New("the pre-shared key identity is not known") // a psk_identity stands for nobody
	ErrSession  = errors.New("the DTLS session has ended")               // another handshake is needed
)

// Session is a DTLS session with one peer, as a role sees it.
type Session interface {
	Watcher

	// Export derives n bytes of the session's keying material with an empty
	// context, the same on both sides. RFC 5705, Section 4.
	Export(label string, n int) ([]byte, error)

	// End closes the session as soon as no request of the peer's is being handled:
	// from a handler, after its response.
	End()

	// Done is closed when the session is over.
	Done() <-chan struct{}
}

// Identities finds the pre-shared keys of DTLS clients by the psk_identity that
// they send. RFC 4279, Section 2.
type Identities interface {
	// Identify returns what there is for an identity, which the client has not
	// proven yet: it changes nothing durable and costs little. Any error refuses
	// the handshake; [ErrIdentity] says that the identity is at fault.
	Identify(ctx context.Context, identity []byte) (*Identity, error)
}

// Identity is the pre-shared key of a handshake under way.
type Identity struct {
	Key []byte

	// Begin runs when the client has proven the key, and before its first request.
	// It says who the client is; an error ends the session.
	Begin func(ctx context.Context, s Session) (Peer, error)

	// Ended, when not nil, runs when a session that Begin took is over.
	Ended func(s Session)
}

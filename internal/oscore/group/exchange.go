package group

import (
	"bytes"
	"fmt"

	"lamplighter/internal/oscore"
)

// server is what a client keeps of one server that answered a request.
type server struct {
	kid   []byte    // kid1
	id    *identity // of the context of the last response
	next  uint64    // 1 + the Response Number in that epoch, 0: not initialised
	plain bool      // a response without Partial IV was accepted
}

// check applies, before any cryptography, the rules about a response's Partial
// IV; it changes nothing. RFC 10021, Section 5.3.1.
func (b *Binding) check(c *Context, peer *recipient, piv []byte) error {
	if b.done {
		return oscore.ErrReplay
	}
	epoch := c.id.epoch
	if piv == nil && b.origin.epoch != epoch {
		return fmt.Errorf("%w: response of another epoch without Partial IV", oscore.ErrDecode)
	}
	s := b.servers[peer.name]
	if s == nil {
		return nil
	}
	if piv == nil {
		// At most one, which counts as the oldest of all.
		if s.plain || s.next > 0 || s.id.epoch != epoch {
			return oscore.ErrReplay
		}
		return nil
	}
	if s.id.epoch != epoch {
		if c.id.made < s.id.made {
			return oscore.ErrReplay // of an epoch that the server has left
		}
		return nil // a new epoch: the Response Number starts anew
	}
	if !bytes.Equal(s.kid, peer.peer.KID) || oscore.PIVNumber(piv) < s.next {
		return oscore.ErrReplay
	}
	return nil
}

// accept keeps what [Binding.check] needs of a response that verified.
func (b *Binding) accept(c *Context, peer *recipient, piv []byte, notification bool) {
	if b.Mode == Pairwise && !notification {
		b.done = true
	}
	s := b.servers[peer.name]
	if s == nil || s.id.epoch != c.id.epoch {
		next := &server{kid: peer.peer.KID, id: c.id}
		if s != nil {
			next.plain = s.plain
		}
		s = next
		if b.servers == nil {
			b.servers = map[string]*server{}
		}
		b.servers[peer.name] = s
	}
	if piv == nil {
		s.plain = true
		return
	}
	s.next = oscore.PIVNumber(piv) + 1
}

// assumedKID is the kid of a response that names none, to a pairwise request: of
// the server's last response, else the one that it has in c. RFC 10021, Section
// 7.4.
func (b *Binding) assumedKID(c *Context) ([]byte, error) {
	if s := b.servers[string(b.From.Cred)]; s != nil && s.id.epoch == c.id.epoch {
		return s.kid, nil
	}
	r, err := c.current(b.From)
	if err != nil {
		return nil, err
	}
	return r.peer.KID, nil
}

// lastEpoch is the epoch of the last response of the server with a Sender ID, ""
// when there was none.
func (b *Binding) lastEpoch(kid []byte) string {
	if b.Mode == Pairwise {
		if s := b.servers[string(b.From.Cred)]; s != nil {
			return s.id.epoch
		}
		return ""
	}
	for _, s := range b.servers {
		if bytes.Equal(s.kid, kid) {
			return s.id.epoch
		}
	}
	return ""
}

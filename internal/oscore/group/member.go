package group

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// Member is one endpoint of a group across rekeyings: the current context, and
// earlier ones for as long as exchanges that the endpoint began are open and may
// get late responses under them. Who must not keep old keys (Section 13 leaves it
// to the application) closes its exchanges before a rekeying. Like [Context] it
// is not safe for concurrent use. RFC 10021, Sections 2.6.2.2 and 13.
type Member struct {
	contexts []*held // the latest first, the current one always there
	open     map[*Binding]*held
}

// held is a context with the number of open exchanges that need it.
type held struct {
	*Context
	exchanges int
}

// NewMember makes a member, which then owns c.
func NewMember(c *Context) *Member {
	return &Member{contexts: []*held{{Context: c}}, open: map[*Binding]*held{}}
}

// Current returns the context that is in force, to add and remove peers.
func (m *Member) Current() *Context { return m.contexts[0].Context }

// Rekey makes next the current context, which the member then owns. Credentials
// that next does not know are gone in earlier contexts too, whose keys former
// members may have. When next is of the same epoch, with another Sender ID, it
// takes the Replay Windows over and replaces the current context altogether; with
// the same one its sequence goes on. RFC 10021, Sections 2.6.2 and 12.2.
func (m *Member) Rekey(next *Context) {
	current := m.contexts[0]
	if next.id.epoch == current.id.epoch {
		next.inherit(current.Context)
		current.Context = next // also for the exchanges that are open
	} else {
		m.contexts = slices.Insert(m.contexts, 0, &held{Context: next})
	}
	m.drop()
	known := map[string]bool{}
	for _, r := range next.peers {
		known[r.name] = true
	}
	for _, old := range m.contexts[1:] {
		old.expire(known)
	}
}

// drop forgets earlier contexts that no exchange needs. The one before the
// current one is kept for those that began earlier still: the server may be late
// by one rekeying.
func (m *Member) drop() {
	current, previous := m.contexts[0], m.contexts[min(1, len(m.contexts)-1)]
	needed := false
	for _, h := range m.contexts[1:] {
		needed = needed || h.exchanges > 0
	}
	m.contexts = slices.DeleteFunc(m.contexts, func(h *held) bool {
		return h != current && h.exchanges == 0 && !(h == previous && needed)
	})
}

// advance notes that the only server of an exchange has answered under c: what it
// sent before is of no interest any more.
func (m *Member) advance(b *Binding, c *Context) {
	from := m.open[b]
	if b.Mode == Group || from == nil || from.Context == c {
		return
	}
	for _, h := range m.contexts {
		if h.Context == c {
			from.exchanges--
			h.exchanges++
			m.open[b] = h
			m.drop()
			return
		}
	}
}

// inherit takes over the state of the Recipient Contexts of an earlier context of
// the same epoch, and the windows that wait there for their peers. What c was
// given to restore is of a time before old received its last.
func (c *Context) inherit(old *Context) {
	for kid, r := range c.peers {
		was := old.peers[kid]
		switch {
		case was.holds(r.peer.Cred):
			r.window, r.valid, r.proven, r.echo = was.window, was.valid, was.proven, was.echo
		case was != nil || old.echoFirst:
			r.valid = false
		}
	}
	for kid, r := range old.peers {
		c.echoFirst = c.echoFirst || c.peers[kid] == nil && r.proven
	}
	c.echoFirst = c.echoFirst || old.echoFirst
	c.restored = maps.Clone(old.restored)
	for kid, state := range old.restored {
		if r := c.peers[kid]; r != nil {
			r.window, _ = oscore.NewWindow(c.windowSize, state) // the size is good
			r.valid, r.proven = true, true
			delete(c.restored, kid)
		}
	}
	if !c.silent() && old.own(c.senderID) && c.sequence.Peek() < old.sequence.Peek() {
		c.sequence = old.sequence
	}
}

// expire leaves in a context that is not current any more only what responses
// need, from those who are still members. The Echo values go: RFC 10021, Section
// 9.
func (c *Context) expire(known map[string]bool) {
	c.restored = nil
	for kid, r := range c.peers {
		if known[r.name] {
			r.echo = oscore.Echo{}
		} else {
			delete(c.peers, kid)
		}
	}
}

// ProtectRequest is [Context.ProtectRequest] of the current context. It opens an
// exchange, which ends with [Member.Close], or by itself with the only response
// that there is to be.
func (m *Member) ProtectRequest(req *coap.Message, to []byte) (*coap.Message, *Binding, error) {
	current := m.contexts[0]
	outer, b, err := current.ProtectRequest(req, to)
	if err == nil {
		current.exchanges++
		m.open[b] = current
	}
	return outer, b, err
}

// UnprotectRequest is [Context.UnprotectRequest] of the current context: requests
// of earlier epochs are refused. RFC 10021, Section 2.6.2.2.
func (m *Member) UnprotectRequest(outer *coap.Message) (*coap.Message, *Binding, error) {
	return m.Current().UnprotectRequest(outer)
}

// ProtectResponse is [Context.ProtectResponse] of the current context, whichever
// the request came under. RFC 10021, Section 7.3.
func (m *Member) ProtectResponse(resp *coap.Message, b *Binding, mode Mode) (*coap.Message, error) {
	return m.Current().ProtectResponse(resp, b, mode)
}

// UnprotectResponse is [Context.UnprotectResponse] of the context that the
// response names by its Gid. One that names none is under that of the server's
// last response, the current one or that of the request, and is tried in that
// order; without Partial IV it can only be under that of the request. RFC 10021,
// Sections 7.4 and 13 (late update on the sender).
func (m *Member) UnprotectResponse(outer *coap.Message, b *Binding) (resp *coap.Message, from Peer, mode Mode, err error) {
	o, err := oscore.MessageOption(outer)
	if err != nil {
		return nil, Peer{}, 0, err
	}
	err = coap.ErrNoContext
	for _, c := range m.candidates(o, b) {
		var problem error
		resp, from, mode, problem = c.UnprotectResponse(outer, b)
		if problem == nil {
			m.advance(b, c)
			if b.done {
				m.Close(b)
			}
			return resp, from, mode, nil
		}
		if from.Cred != nil {
			return nil, from, mode, problem // it is authentic
		}
		if errors.Is(err, coap.ErrNoContext) || errors.As(problem, new(*UnknownPeerError)) {
			err = problem
		}
	}
	return nil, Peer{}, mode, err
}

// BeginResponse is [Context.BeginResponse] of the context that a response most
// probably is under.
func (m *Member) BeginResponse(outer *coap.Message, b *Binding) (*Unverified, error) {
	o, err := oscore.MessageOption(outer)
	if err != nil {
		return nil, err
	}
	err = coap.ErrNoContext
	for _, c := range m.candidates(o, b) {
		u, problem := c.BeginResponse(outer, b)
		if problem == nil {
			return u, nil
		}
		if errors.Is(err, coap.ErrNoContext) || errors.As(problem, new(*UnknownPeerError)) {
			err = problem
		}
	}
	return nil, err
}

// FinishResponse is [Context.FinishResponse] of the context that the response was
// begun under. One that does not verify there is tried under the others that it
// may be under.
func (m *Member) FinishResponse(u *Unverified, verified bool) (resp *coap.Message, from Peer, mode Mode, err error) {
	resp, from, mode, err = u.context.FinishResponse(u, verified)
	switch {
	case err == nil:
		m.advance(u.binding, u.context)
		if u.binding.done {
			m.Close(u.binding)
		}
	case errors.Is(err, oscore.ErrVerify) && from.Cred == nil:
		if o, bad := oscore.MessageOption(u.outer); bad == nil && len(m.candidates(o, u.binding)) > 1 {
			return m.UnprotectResponse(u.outer, u.binding)
		}
	}
	return resp, from, mode, err
}

// candidates are the contexts, at most three, under which a response may be.
func (m *Member) candidates(o oscore.Option, b *Binding) []*Context {
	var list []*Context
	add := func(epoch string) {
		for _, h := range m.contexts {
			if h.id.epoch == epoch && !slices.Contains(list, h.Context) {
				list = append(list, h.Context)
			}
		}
	}
	switch {
	case o.KIDContext != nil:
		for _, h := range m.contexts {
			if bytes.Equal(h.gid, o.KIDContext) {
				return []*Context{h.Context}
			}
		}
	case o.PIV == nil:
		add(b.origin.epoch)
	default:
		add(b.lastEpoch(o.KID))
		add(m.Current().id.epoch)
		add(b.origin.epoch)
	}
	return list
}

// Close ends an exchange: no response to its request is accepted any more. An
// earlier context without open exchanges is forgotten. To close twice, or the
// binding of a request that was received, does nothing.
func (m *Member) Close(b *Binding) {
	h := m.open[b]
	if h == nil {
		return
	}
	b.done = true
	delete(m.open, b)
	h.exchanges--
	m.drop()
}

package gm

import (
	"container/list"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// defaultContexts is how many associations have their keys in memory: each takes
// about 3 kB.
const defaultContexts = 8192

// contexts keeps the OSCORE contexts of the associations that are in use. The
// others stay in the store and are derived when a request names their kid: a
// Group Manager of 100,000 members starts at once and does not hold their keys.
// One that comes back has lost its replay window and challenges its peer, as after
// a restart. RFC 8613, Appendix B.1.2.
type contexts struct {
	*oscore.Server
	max int

	loading [16]sync.Mutex // by the last byte of the id: one at a time makes a context

	mu    sync.Mutex
	byID  map[string]*list.Element // of ids
	order *list.List               // used last comes first

	// verified holds the ids of those in use over which a request was verified since
	// they were loaded. Transactions look at it, and so must not wait for mu: who
	// holds that may wait for the Server, and that for a transaction that reserves
	// sequence numbers.
	verified sync.Map
}

func newContexts(s *oscore.Server, limit int) *contexts {
	if limit <= 0 {
		limit = defaultContexts
	}
	return &contexts{Server: s, max: limit, byID: map[string]*list.Element{}, order: list.New()}
}

// add lets an association's context answer. What was not used for the longest
// time makes room. fresh says whether somebody is about to use it; what only a
// kid called for, which anybody can send, displaces nothing but its like.
func (c *contexts) add(id string, made *oscore.Context, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.byID) >= c.max {
		c.shed(c.order.Back())
	}
	c.Add(id, nil, made)
	c.note(id, fresh)
}

// note takes an association up among those in use. It is called with c.mu held.
func (c *contexts) note(id string, fresh bool) {
	if e := c.byID[id]; e != nil {
		c.order.Remove(e)
	}
	c.verified.Delete(id)
	if fresh {
		c.byID[id] = c.order.PushFront(id)
	} else {
		c.byID[id] = c.order.PushBack(id)
	}
}

// shed is called with c.mu held.
func (c *contexts) shed(e *list.Element) {
	id := e.Value.(string)
	c.order.Remove(e)
	delete(c.byID, id)
	c.verified.Delete(id)
	c.Shed(id)
}

// touch says that a request over an association was verified. It reports whether
// the association was proven before.
func (c *contexts) touch(id string) (proven bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		return false
	}
	c.order.MoveToFront(e)
	return c.proven(id)
}

// prove says that an association has superseded the older ones of its token.
func (c *contexts) prove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[id] != nil {
		c.verified.Store(id, nil)
	}
}

// end forgets an association that is no longer stored.
func (c *contexts) end(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[id]; e != nil {
		c.order.Remove(e)
		delete(c.byID, id)
		c.verified.Delete(id)
	}
	c.Remove(id)
}

// known reports whether the context of an association is in memory, after taking
// back one that somebody still holds.
func (c *contexts) known(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[id] != nil {
		return true
	}
	if !c.Revive(id) {
		return false
	}
	for len(c.byID) >= c.max {
		c.shed(c.order.Back())
	}
	c.note(id, false)
	return true
}

// kidOf is the id of the association that a request names; "" when it can be none
// of ours.
func kidOf(outer *coap.Message) string {
	o, err := oscore.MessageOption(outer)
	if err != nil || o.Group || len(o.KID) != recipientIDLen {
		return ""
	}
	return hex.EncodeToString(o.KID)
}

// ensure has the context of an association in memory; false when there is no such
// association.
func (s *Server) ensure(ctx context.Context, id string) (bool, error) {
	if s.contexts.known(id) {
		return true, nil
	}
	gate := &s.contexts.loading[id[len(id)-1]%16]
	gate.Lock()
	defer gate.Unlock()
	if s.contexts.known(id) {
		return true, nil
	}
	var a *associationRecord
	var next uint64
	err := s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		if a, err = load[associationRecord](tx, associationKey(id)); err != nil || a == nil {
			return err
		}
		if a.Profile == ace.ProfileDTLS {
			a = nil
			return nil
		}
		next, err = loadCounter(tx, sequenceKey(id))
		return err
	})
	if err != nil || a == nil {
		return false, err
	}
	return true, s.addContext(a, oscore.NewSequence(next, &reserver{s: s, id: id, mark: next}), true)
}

// addContext derives the OSCORE context of an association and lets it answer.
// RFC 9203, Section 4.3.
func (s *Server) addContext(a *associationRecord, seq *oscore.Sequence, restored bool) error {
	c, err := oscore.New(oscore.Params{
		MasterSecret: a.MasterSecret, MasterSalt: a.MasterSalt, IDContext: a.IDContext,
		SenderID: a.SenderID, RecipientID: a.RecipientID,
		Sequence: seq, EchoFirst: restored, Rand: s.rand,
	})
	if err != nil {
		return fmt.Errorf("deriving an association: %w", err)
	}
	s.contexts.add(a.ID, c, !restored)
	return nil
}

// caller makes requests to the peer of an association: over its DTLS session, or
// at to, where the context is loaded when it is not in memory.
func (s *Server) caller(id string, ex coap.Exchanger, to netip.AddrPort) coap.Caller {
	if sess := s.sessions.get(id); sess != nil {
		return sess
	}
	return &loadingCaller{s, id, s.contexts.Caller(id, ex, to)}
}

type loadingCaller struct {
	s    *Server
	id   string
	next coap.Caller
}

// Call implements [coap.Caller]. It fails with [coap.ErrNoContext] when the
// association has ended.
func (c *loadingCaller) Call(ctx context.Context, req *coap.Message) (resp *coap.Message, err error) {
	for range 4 {
		known, failed := c.s.ensure(ctx, c.id)
		if failed != nil {
			return nil, failed
		}
		resp, err = c.next.Call(ctx, req)
		if !known || !errors.Is(err, coap.ErrNoContext) {
			break
		}
	}
	return resp, err
}

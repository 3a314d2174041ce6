package gm

import (
	"context"
	"errors"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

var errExpired = errors.New("the token has expired")

// opener opens requests over associations whose token is still valid.
type opener struct{ *Server }

// Open implements [coap.Opener]. An expired token is answered with an unprotected
// 4.01. RFC 9203, Section 4.3.
func (o opener) Open(ctx context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	opened, reply, err := o.find(ctx, outer)
	if err != nil || opened == nil {
		return opened, reply, err
	}
	id := opened.Peer.Name
	a, err := o.association(ctx, id)
	if err != nil {
		return nil, o.broken("association", err), err
	}
	if a != nil && a.Revoked { // its context is for the notice alone
		return nil, o.unauthorized(), errExpired
	}
	if a == nil || uint64(o.cfg.Now().Unix()) >= a.Expires {
		o.contexts.end(id)
		return nil, o.unauthorized(), errExpired
	}
	if err := o.supersede(ctx, a); err != nil {
		return nil, o.broken("association", err), err
	}
	return opened, nil, nil
}

// find opens a request with the context that its kid names. When that has made
// room for another between the two steps they are done again.
func (o opener) find(ctx context.Context, outer *coap.Request) (opened *coap.Opened, reply *coap.Message, err error) {
	id := kidOf(outer.Message)
	if id == "" || outer.Multicast {
		return o.contexts.Open(ctx, outer) // which says what is wrong with it
	}
	for range 4 {
		known, failed := o.ensure(ctx, id)
		if failed != nil {
			return nil, o.broken("association", failed), failed
		}
		opened, reply, err = o.contexts.Open(ctx, outer)
		if !known || !errors.Is(err, coap.ErrNoContext) {
			break
		}
	}
	if _, challenged := errors.AsType[*oscore.EchoError](err); challenged {
		o.contexts.touch(id) // its answer is to find what it was asked
	} else if reply != nil && coap.Class(reply.Code) == 5 {
		o.log.Error("cannot open a request", "association", id, "err", err)
	}
	return opened, reply, err
}

func (s *Server) association(ctx context.Context, id string) (a *associationRecord, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		a, err = load[associationRecord](tx, associationKey(id))
		return err
	})
	return a, err
}

// supersede ends the older associations of the same token when a newer one is
// used for the first time. RFC 9203, Section 6.
func (s *Server) supersede(ctx context.Context, a *associationRecord) error {
	if s.contexts.touch(a.ID) {
		return nil
	}
	var older []*associationRecord
	find := func(tx store.Tx) error {
		older = nil
		all, err := a.siblings(tx)
		for _, o := range all {
			if o.Serial < a.Serial {
				older = append(older, o)
			}
		}
		return err
	}
	if err := s.cfg.Store.View(ctx, find); err != nil {
		return err
	}
	if len(older) > 0 {
		err := s.commit(ctx, "supersede", func(tx store.Tx) error {
			if err := find(tx); err != nil {
				return err
			}
			for _, o := range older {
				if err := o.delete(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.drop(older)
	}
	s.contexts.prove(a.ID)
	return nil
}

// drop forgets the contexts of associations that are no longer stored.
func (s *Server) drop(gone []*associationRecord) {
	for _, a := range gone {
		s.contexts.end(a.ID)
		s.sessions.end(a.ID)
	}
}

package as

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// maxObservers bounds the observers of each list.
const maxObservers = 256

// requester is who asks for a list, "" when it is nobody who may.
func (s *Server) requester(ctx context.Context, req *coap.Request) (string, error) {
	if rs, ok := req.Peer.Data.(resourceServer); ok && req.Peer.Kind == coap.PeerPSK {
		return requesterRS + rs.audience, nil
	}
	id, i, err := s.client(ctx, req)
	switch {
	case err != nil || i == nil:
		return "", err
	case i.Policy.role() == RoleAdmin:
		return requesterAdmin, nil
	}
	return requesterPerson + id, nil
}

// trl answers GET /revoke/trl. RFC 9770, Section 6.
func (s *Server) trl(ctx context.Context, req *coap.Request) *coap.Message {
	who, err := s.requester(ctx, req)
	if err != nil {
		return s.broken("trl", err)
	}
	if who == "" {
		return coap.Problem(coap.Unauthorized, "The token revocation list is for registered devices and administrators.")
	}
	if err := s.sweepRevoked(ctx); err != nil {
		return s.broken("trl", err)
	}
	s.lists.Lock() // no update between the answer and the registration
	defer s.lists.Unlock()
	resp := s.listFor(ctx, who, req.Message)
	return s.trlWatch.Register(s.cfg.Now(), req, resp)
}

// listFor makes the answer to a query.
func (s *Server) listFor(ctx context.Context, who string, m *coap.Message) *coap.Message {
	q := readQuery(m)
	var resp *coap.Message
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		updates, err := loadUpdates(tx, who)
		if err != nil {
			return err
		}
		if resp = q.check(updates); resp != nil {
			return nil
		}
		var list ace.TRL
		if q.hasDiff {
			list = updates.diff(q)
		} else {
			list.Cursor = updates.last()
			if list.Full, err = fullSet(tx, who, s.cfg.Now()); err != nil {
				return err
			}
		}
		resp = coap.Respond(coap.Content, ace.FormatACETRL, ace.Encode(list))
		return nil
	})
	if err != nil {
		return s.broken("trl", err)
	}
	return resp
}

// query is what a request asks for.
type query struct {
	hasDiff, hasCursor bool
	diff, cursor       uint64
	badDiff, badCursor bool
}

// readQuery reads the parameters; unknown ones are ignored. RFC 9770, Section 6.3.
func readQuery(m *coap.Message) (q query) {
	for v := range coap.Each(m, coap.OptionURIQuery) {
		name, value, _ := strings.Cut(string(v), "=")
		switch name {
		case "diff":
			q.hasDiff = true
			q.diff, q.badDiff = number(value)
		case "cursor":
			q.hasCursor = true
			q.cursor, q.badCursor = number(value)
		}
	}
	return q
}

// number reads an unsigned integer as it is written; bad is true for anything
// else.
func number(s string) (n uint64, bad bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err != nil || strconv.FormatUint(n, 10) != s
}

// check refuses a query that makes no sense. RFC 9770, Section 6.3.
func (q query) check(l *updatesRecord) *coap.Message {
	last := l.last()
	switch {
	case q.hasDiff && q.badDiff:
		return ace.TRLProblem(ace.TRLErrorValue, ace.TRLCursor{}, "diff is 0 or a positive integer.")
	case q.hasCursor && !q.hasDiff:
		return ace.TRLProblem(ace.TRLErrorSet, ace.TRLCursor{}, "cursor goes with diff.")
	case q.hasCursor && (q.badCursor || q.cursor > MaxIndex):
		return ace.TRLProblem(ace.TRLErrorValue, last, "cursor is an index that was given out.")
	case q.hasCursor && last.Index != nil && !l.Wrapped && q.cursor > *last.Index:
		return ace.TRLProblem(ace.TRLErrorCursor, ace.TRLCursor{}, "cursor is beyond the last update.")
	}
	return nil
}

// last is the index of the last update, null when there was none.
func (l *updatesRecord) last() ace.TRLCursor {
	if len(l.Updates) == 0 {
		return ace.TRLCursor{Null: true}
	}
	return ace.CursorAt(l.Updates[len(l.Updates)-1].Index)
}

// diff answers a diff query. RFC 9770, Sections 8 and 9.2.
func (l *updatesRecord) diff(q query) ace.TRL {
	no, yes := false, true
	if len(l.Updates) == 0 {
		return ace.TRL{Diff: []ace.TRLDiff{}, Cursor: ace.TRLCursor{Null: true}, More: &no}
	}
	from := 0
	if q.hasCursor {
		next := (q.cursor + 1) % (MaxIndex + 1)
		at := slices.IndexFunc(l.Updates, func(u update) bool { return u.Index == q.cursor })
		after := slices.IndexFunc(l.Updates, func(u update) bool { return u.Index == next })
		switch {
		case at >= 0:
			from = at + 1
		case after >= 0:
			from = after
		default: // what follows the cursor is lost
			return ace.TRL{Diff: []ace.TRLDiff{}, Cursor: ace.TRLCursor{Null: true}, More: &yes}
		}
	}
	num := uint64(MaxN)
	if q.diff != 0 {
		num = min(num, q.diff)
	}
	wanted := l.Updates[from:]
	if uint64(len(wanted)) > num {
		wanted = wanted[uint64(len(wanted))-num:]
	}
	more := &no
	if len(wanted) > MaxDiffBatch {
		wanted, more = wanted[:MaxDiffBatch], &yes
	}
	list := ace.TRL{Diff: []ace.TRLDiff{}, Cursor: l.last(), More: more}
	for _, u := range slices.Backward(wanted) {
		list.Diff = append(list.Diff, ace.TRLDiff{Removed: u.Removed, Added: u.Added})
	}
	if len(wanted) > 0 {
		list.Cursor = ace.CursorAt(wanted[len(wanted)-1].Index)
	}
	return list
}

// actors answers GET /revoke/actors: the ids of revoked people, as the actor claim
// has them. It is for resource servers and administrators.
func (s *Server) actors(ctx context.Context, req *coap.Request) *coap.Message {
	who, err := s.requester(ctx, req)
	switch {
	case err != nil:
		return s.broken("actors", err)
	case who == "":
		return coap.Problem(coap.Unauthorized, notForPeople)
	case strings.HasPrefix(who, requesterPerson):
		return coap.Problem(coap.Forbidden, notForPeople)
	}
	s.lists.Lock()
	defer s.lists.Unlock()
	return s.actorsWatch.Register(s.cfg.Now(), req, s.actorList(ctx))
}

func (s *Server) actorList(ctx context.Context) *coap.Message {
	var ids []string
	err := s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		ids, err = revokedPeople(tx)
		return err
	})
	if err != nil {
		return s.broken("actors", err)
	}
	return coap.Respond(coap.Content, ace.FormatCBOR, cbor.MustMarshal(ids))
}

// tell notifies the observers whom an update of the lists concerns. RFC 9770,
// Section 10.
func (s *Server) tell(ctx context.Context, told []string, people bool) {
	ctx = context.WithoutCancel(ctx)
	now := s.cfg.Now()
	if len(told) > 0 {
		s.trlWatch.Notify(now, func(req *coap.Request) *coap.Message {
			if who := s.observer(ctx, req); slices.Contains(told, who) {
				return s.listFor(ctx, who, req.Message)
			}
			return nil
		})
	}
	if people {
		s.actorsWatch.Notify(now, func(req *coap.Request) *coap.Message {
			if who := s.observer(ctx, req); strings.HasPrefix(who, requesterPerson) {
				return coap.Problem(coap.Forbidden, notForPeople) // an administrator no more
			}
			return s.actorList(ctx)
		})
	}
}

// observer is who registered, as what it is now. A person who was revoked is told of
// that, and hears nothing more: its session ends.
func (s *Server) observer(ctx context.Context, req *coap.Request) string {
	switch p := req.Peer.Data.(type) {
	case resourceServer:
		return requesterRS + p.audience
	case installer:
		if i, err := s.lookup(ctx, p.id); err == nil && i != nil && i.Policy.role() == RoleAdmin {
			return requesterAdmin
		}
		return requesterPerson + p.id
	}
	return ""
}

const notForPeople = "The list of revoked people is for resource servers and administrators."

// sweepEvery is how often Run forgets what has expired.
const sweepEvery = time.Minute

// Run forgets what has expired, and tells observers, until ctx ends. Requests do
// not depend on it.
func (s *Server) Run(ctx context.Context) error {
	every := time.NewTicker(sweepEvery)
	defer every.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("forgetting what has expired", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

// Sweep forgets what has expired, and tells observers.
func (s *Server) Sweep(ctx context.Context) error {
	if err := s.sweepRevoked(ctx); err != nil {
		return err
	}
	s.sessions.Lock()
	defer s.sessions.Unlock()
	return s.sweepInvitations(ctx)
}

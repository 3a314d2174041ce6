package gm

import (
	"context"
	"slices"
	"sync"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// maxObservers is how many may observe one kind of resource of one group.
const maxObservers = 4096

// observable is a kind of resource that members observe. RFC 9594, Sections 4.3.2
// and 4.8.1; KGO, Section 9.9.
type observable uint8

const (
	observedGroup  observable = iota + 1 // /ace-group/GROUP: rekeying messages
	observedActive                       // …/active
	observedNode                         // …/nodes/NODE: that it is gone
)

// observables are the paths that can be observed.
var observables = map[string]observable{
	"GROUP": observedGroup, "GROUP/active": observedActive, "GROUP/nodes/NODE": observedNode,
}

type observedKey struct {
	kind  observable
	group string
}

// observed keeps who observes what of the groups. Its zero value is ready.
type observed struct {
	mu    sync.Mutex
	lists map[observedKey]*coap.Observers
}

func (o *observed) list(kind observable, group string, make bool) *coap.Observers {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := observedKey{kind, group}
	l := o.lists[key]
	if l == nil && make {
		if o.lists == nil {
			o.lists = map[observedKey]*coap.Observers{}
		}
		l = coap.NewObservers(maxObservers)
		o.lists[key] = l
	}
	return l
}

// over matches requests over one of these associations.
func over(ids []string) func(*coap.Request) bool {
	return func(req *coap.Request) bool { return slices.Contains(ids, req.Peer.Name) }
}

// any says whether somebody observes over one of these associations.
func (o *observed) any(kind observable, group string, ids []string) bool {
	l := o.list(kind, group, false)
	return l != nil && l.Any(over(ids))
}

// drop forgets observers without a word.
func (o *observed) drop(kind observable, group string, ids []string) {
	if l := o.list(kind, group, false); l != nil {
		l.Remove(over(ids))
		o.tidy(kind, group)
	}
}

// tidy forgets the list of a resource that nobody observes.
func (o *observed) tidy(kind observable, group string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if key := (observedKey{kind, group}); o.lists[key] != nil && o.lists[key].Len() == 0 {
		delete(o.lists, key)
	}
}

// tell sends each observer what state makes of its request; nil for nothing.
func (s *Server) tell(kind observable, group string, state func(*coap.Request) *coap.Message) {
	l := s.observed.list(kind, group, false)
	if l == nil {
		return
	}
	l.Notify(s.cfg.Now(), state)
	s.observed.tidy(kind, group)
}

// tellOver ends observations over these associations with an answer.
func (s *Server) tellOver(kind observable, group string, ids []string, last *coap.Message) {
	match := over(ids)
	s.tell(kind, group, func(req *coap.Request) *coap.Message {
		if !match(req) {
			return nil
		}
		return last
	})
}

// observing takes note of what a member's request says about observing. When the
// group has changed since the answer was made it is made again: the client is on
// the list by then, and misses nothing.
func (s *Server) observing(ctx context.Context, r *resource, x *exchange, resp *coap.Message) *coap.Message {
	kind, ok := observables[r.path]
	if !ok || r.method != coap.GET || !coap.HasOption(x.req.Message, coap.OptionObserve) || x.group == nil {
		return resp
	}
	name, node := x.group.Name, ""
	if kind == observedNode && x.me != nil {
		node = x.me.Node
	}
	out := s.observed.list(kind, name, true).Register(s.cfg.Now(), x.req, resp)
	s.observed.tidy(kind, name)
	if !coap.IsNotification(out) {
		return out
	}
	same, err := s.unchanged(ctx, x)
	switch {
	case err != nil:
		return s.broken(r.path, err)
	case !same:
		return s.run(ctx, r, x.req, name, node)
	}
	return out
}

// unchanged says whether a group is as an answer about it has it.
func (s *Server) unchanged(ctx context.Context, x *exchange) (same bool, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		same = false
		g, err := load[groupRecord](tx, groupKey(x.group.Name))
		if err != nil || g == nil {
			return err
		}
		me, err := loadMember(tx, g.Name, x.assoc.Subject)
		same = me != nil && g.Num == x.group.Num && g.Inactive == x.group.Inactive
		return err
	})
	return same, err
}

// gone ends observations of what is there no longer for a member. RFC 9594, Section
// 5.
func gone() *coap.Message { return ace.Problem(coap.NotFound, ace.ErrorTerminated, "") }

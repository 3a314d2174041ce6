package gm

import (
	"context"
	"strings"

	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// Event is what [Config.Count] hears of, once it is durable.
type Event string

// Events of a Group Manager.
const (
	EventToken   Event = "token"   // one was accepted
	EventRefused Event = "refused" // a request of anybody was answered with an error
	EventFailed  Event = "failed"  // a request was answered with 5.xx: the server's own fault
	EventJoin    Event = "join"
	EventRejoin  Event = "rejoin"
	EventRenewal Event = "renewal" // another Sender ID
	EventLeave   Event = "leave"
	EventEvict   Event = "evict"
	EventRekey   Event = "rekey"
)

// Events lists all of them.
var Events = []Event{EventToken, EventRefused, EventFailed, EventJoin, EventRejoin, EventRenewal, EventLeave, EventEvict, EventRekey}

func (s *Server) count(e Event) {
	if s.cfg.Count != nil {
		s.cfg.Count(e)
	}
}

// counted counts an answer that is an error.
func (s *Server) counted(resp *coap.Message) {
	switch coap.Class(resp.Code) {
	case 4:
		s.count(EventRefused)
	case 5:
		s.count(EventFailed)
	}
}

// counts counts an event when the transaction is durable.
func (x *exchange) counts(e Event) {
	x.after = append(x.after, func() { x.s.count(e) })
}

// Totals are how much a Group Manager holds.
type Totals struct {
	Groups       int
	Members      int // of all groups
	Largest      int // members of the largest group
	Associations int // tokens that were accepted and have not expired
	InMemory     int // associations whose keys are in memory
}

// Totals counts what is stored: it reads all of it, so ask seldom.
func (s *Server) Totals(ctx context.Context) (t Totals, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		t = Totals{InMemory: s.contexts.Len()}
		members := map[string]int{}
		for prefix, fn := range map[string]func(key string){
			"g/": func(string) { t.Groups++ },
			"a/": func(string) { t.Associations++ },
			"m/": func(key string) {
				name, _, _ := strings.Cut(strings.TrimPrefix(key, "m/"), "/")
				members[name]++
			},
		} {
			if err := tx.Scan(prefix, func(key string, _ []byte) bool { fn(key); return true }); err != nil {
				return err
			}
		}
		for _, n := range members {
			t.Members += n
			t.Largest = max(t.Largest, n)
		}
		return nil
	})
	return t, err
}

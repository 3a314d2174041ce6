package gm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

// More associations than keys in memory: all of them work, by a challenge where
// the keys had to make room, and no more than that is kept.
func TestFewContexts(t *testing.T) {
	l := newLine(t, func(c *Config) { c.Contexts = 3 })
	var all []*admitted
	for i := range 8 {
		all = append(all, l.joinOver(fmt.Sprint("dev", i)))
	}
	for range 3 {
		for _, a := range all {
			if _, err := a.client.Num(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := l.s.contexts.Len(); n > 3 {
			t.Errorf("%d contexts in memory", n)
		}
	}
	hot := all[0]
	if sent := l.count(func() { _, _ = hot.client.Num(t.Context()) }); sent != 1 {
		t.Errorf("a request took %d messages", sent)
	}
}

// count counts the requests that fn sends.
func (l *line) count(fn func()) (n int) {
	before := l.net.Record
	l.net.Record = func(d sim.Datagram) {
		if d.Kind == sim.Request {
			n++
		}
	}
	defer func() { l.net.Record = before }()
	fn()
	return n
}

// Messages that name the kids of others, which anybody can send, do not push out
// the keys of those who use theirs.
func TestJunkKidsPushOutNobody(t *testing.T) {
	l := newLine(t, func(c *Config) { c.Contexts = 4 })
	var idle []string
	for i := range 20 {
		a := l.joinOver(fmt.Sprint("idle", i))
		idle = append(idle, string(a.assoc.SenderID))
	}
	used := []*admitted{l.joinOver("a"), l.joinOver("b")}
	for _, u := range used {
		if _, err := u.client.Num(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		junk := coap.NewRequest(coap.POST, "/", []byte("no ciphertext of anybody"))
		option := oscore.AppendOption(nil, oscore.Option{PIV: []byte{byte(i)}, KID: []byte(idle[i%len(idle)])})
		coap.SetOption(junk, coap.OptionOSCORE, option)
		resp := l.s.Handler().Serve(t.Context(), &coap.Request{Message: junk, From: clientAddr})
		if resp == nil || coap.Class(resp.Code) != 4 {
			t.Fatalf("junk: %v", resp)
		}
	}
	if n := l.s.contexts.Len(); n > 4 {
		t.Errorf("%d contexts in memory", n)
	}
	for _, u := range used {
		if sent := l.count(func() { _, _ = u.client.Num(t.Context()) }); sent != 1 {
			t.Errorf("%s was challenged", u.subject)
		}
	}
}

// Contexts that come and go never number two messages alike.
func TestReloadedContextsNeverRepeat(t *testing.T) {
	l := newLine(t, func(c *Config) { c.Contexts = 1 })
	seen := map[string]bool{}
	var mu sync.Mutex
	l.net.Record = func(d sim.Datagram) {
		if d.Kind == sim.Request {
			return
		}
		m, err := coap.UnmarshalUDP(d.Bytes)
		if err != nil {
			return
		}
		o, err := oscore.MessageOption(m)
		if err != nil || o.PIV == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprintf("%v %x", d.To, o.PIV)
		if seen[key] {
			t.Errorf("Partial IV %x twice", o.PIV)
		}
		seen[key] = true
	}
	a := l.joinOver("a")
	for range 20 {
		l.s.contexts.mu.Lock()
		for l.s.contexts.order.Len() > 0 {
			l.s.contexts.shed(l.s.contexts.order.Back())
		}
		l.s.contexts.mu.Unlock()
		runtime.GC() // else the same contexts are found again
		if _, err := a.client.Num(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) == 0 {
		t.Error("nothing was challenged")
	}
}

// A reservation holds for one context only.
func TestReservationOfOneContext(t *testing.T) {
	l := newLine(t)
	a := l.joinOver("a")
	id := fmt.Sprintf("%x", a.assoc.SenderID)
	one, other := &reserver{s: l.s, id: id}, &reserver{s: l.s, id: id}
	if err := one.Reserve(128); err != nil {
		t.Fatal(err)
	}
	if err := other.Reserve(128); !errors.Is(err, errNumbered) {
		t.Errorf("the same numbers for another context: %v", err)
	}
	if err := one.Reserve(256); err != nil {
		t.Errorf("going on: %v", err)
	}
}

// Loading is one at a time for each association, whoever asks.
func TestConcurrentLoads(t *testing.T) {
	l := newLine(t, func(c *Config) { c.Contexts = 2 })
	var ids []string
	for i := range 6 {
		ids = append(ids, fmt.Sprintf("%x", l.joinOver(fmt.Sprint("dev", i)).assoc.SenderID))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				if ok, err := l.s.ensure(t.Context(), ids[i%len(ids)]); !ok || err != nil {
					t.Errorf("%v %v", ok, err)
				}
			}
		})
	}
	wg.Wait()
	if n := l.s.contexts.Len(); n > 2 {
		t.Errorf("%d contexts in memory", n)
	}
}

// The Group Manager calls the peer of an association whose keys are not in
// memory, and not of one that has ended.
func TestCallerLoadsItsContext(t *testing.T) {
	l := newLine(t, func(c *Config) { c.Contexts = 1 })
	a := l.joinOver("a")
	l.joinOver("b")
	seq := oscore.NewSequence(1000, nil)
	peer, err := a.assoc.Context(seq)
	if err != nil {
		t.Fatal(err)
	}
	server := oscore.NewServer(l.rand)
	server.Add("gm", nil, peer)
	told := 0
	l.net.Attach(clientAddr, coap.Secure(coap.HandlerFunc(func(context.Context, *coap.Request) *coap.Message {
		told++
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	}), server))
	id := fmt.Sprintf("%x", a.assoc.SenderID)
	runtime.GC()
	call := l.s.caller(id, l.net.From(gmAddr), clientAddr)
	resp, err := call.Call(t.Context(), coap.NewRequest(coap.POST, "/x", nil))
	if err != nil || resp.Code != coap.Changed || told != 1 {
		t.Errorf("%v %v, told %d times", resp, err, told)
	}
	if _, err := l.s.caller("000000", l.net.From(gmAddr), clientAddr).Call(t.Context(), coap.NewRequest(coap.POST, "/x", nil)); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("of no association: %v", err)
	}
}

// countAssociations counts what is stored.
func countAssociations(n *int) func(store.Tx) error {
	return func(tx store.Tx) error {
		*n = 0
		return eachAssociation(tx, func(*associationRecord) bool { *n++; return true })
	}
}

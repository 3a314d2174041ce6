package as_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// brittle is a store whose updates fail when told to.
type brittle struct {
	store.Store
	broken  atomic.Bool
	updates atomic.Int64 // and views
}

var errDisk = errors.New("the disk is full")

func (b *brittle) Update(ctx context.Context, fn func(store.Tx) error) error {
	if b.broken.Load() {
		return errDisk
	}
	b.updates.Add(1)
	return b.Store.Update(ctx, fn)
}

func (b *brittle) View(ctx context.Context, fn func(store.Tx) error) error {
	b.updates.Add(1)
	return b.Store.View(ctx, fn)
}

// What cannot be made durable is not promised.
func TestStatementS4_NothingWithoutTheStore(t *testing.T) {
	b := &brittle{Store: store.NewMemory()}
	s := newSite(t, func(c *as.Config) { c.Store = b })
	p := s.enrolled("anna", as.Policy{})
	p.token(ace.TokenRequest{})
	guest := s.invited("bert", as.Policy{})
	fresh := s.enrolled("carl", as.Policy{}) // its invitation is not ended yet

	b.broken.Store(true)
	p.expect(p.do(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}), coap.InternalServerError)
	p.expect(p.register(hallLamp, 7, "lamp"), coap.InternalServerError)
	p.expect(p.do(p.call, coap.DELETE, "/devices/"+hallLamp, -1, nil), coap.InternalServerError)
	guest.expect(guest.postEnrolment(guest.cred), coap.InternalServerError)
	fresh.expect(fresh.do(fresh.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}), coap.InternalServerError)
	if err := s.as.Revoke(t.Context(), s.id("anna")); !errors.Is(err, errDisk) {
		t.Errorf("revoked: %v", err)
	}
	if err := s.as.RevokeDevice(t.Context(), hallLamp); !errors.Is(err, errDisk) {
		t.Errorf("revoked a device: %v", err)
	}
	if _, err := s.as.Invite(t.Context(), "dora", as.Policy{}); !errors.Is(err, errDisk) {
		t.Errorf("invited: %v", err)
	}
	// An answer of GET needs no writing.
	p.expect(p.do(p.call, coap.GET, "/devices/"+hallLamp, -1, nil), coap.NotFound)

	b.broken.Store(false)
	p.token(ace.TokenRequest{})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	guest.enroll()
	guest.token(ace.TokenRequest{})
	fresh.token(ace.TokenRequest{})
}

// A restart at any moment loses nothing that was answered: the server is stopped
// before or after each commit, and the client tries again.
func TestStatementS4_KilledAtEveryCommit(t *testing.T) {
	for _, after := range []bool{false, true} {
		n := 0
		for killedAt(t, n, after) {
			n++
		}
		if n < 6 { // enrolling, ending the invitation, registering, three tokens
			t.Errorf("after commit %v: killed at %d commits only", after, n)
		}
	}
}

// killedAt walks from the invitation to a device's token, with the server killed
// at its n-th commit. It returns false when there are not so many.
func killedAt(t *testing.T, n int, after bool) bool {
	type killed struct{}
	var mu sync.Mutex
	count := 0
	armed := false
	kill := func(string) {
		mu.Lock()
		defer mu.Unlock()
		if armed {
			if count++; count == n+1 {
				panic(killed{})
			}
		}
	}
	s := newSite(t, func(c *as.Config) {
		if after {
			c.Hooks.AfterCommit = kill
		} else {
			c.Hooks.BeforeCommit = kill
		}
	})
	p := s.invited("anna", as.Policy{})
	armed = true
	// retry does a step again after the server died in it.
	retry := func(step func() *coap.Message) (m *coap.Message) {
		for m == nil {
			func() {
				defer func() {
					if r := recover(); r != nil {
						if _, ok := r.(killed); !ok {
							panic(r)
						}
						s.start()
					}
				}()
				m = step()
			}()
		}
		return m
	}
	p.expect(retry(func() *coap.Message { return p.postEnrolment(p.cred) }), coap.Created)
	p.open()
	m := retry(func() *coap.Message { return p.register(hallLamp, 7, "lamp") })
	if m.Code != coap.Created && m.Code != coap.Changed {
		t.Fatalf("kill at %d: registering: %s", n, coap.CodeString(m.Code))
	}
	ids := map[string]bool{}
	for range 3 {
		m := retry(func() *coap.Message {
			return p.do(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{ClientID: hallLamp, Scope: scope("hall", resp)})
		})
		tok, err := ace.Decode[ace.TokenResponse](p.expect(m, coap.Created).Payload)
		if err != nil || ids[string(tok.Cnf.OSCORE.ID)] {
			t.Fatalf("kill at %d: id %x given out twice, or %v", n, tok.Cnf.OSCORE.ID, err)
		}
		ids[string(tok.Cnf.OSCORE.ID)] = true
	}
	armed = false
	s.start()
	p.token(ace.TokenRequest{ClientID: hallLamp})
	p.closed(p.guest, "/enroll")
	return count > n
}

// A revocation that was answered is whole after a restart at any moment, and one
// that was not is whole or did not happen: the token revocation list, the updates,
// the list of people, the sessions and the access to the bridge go together.
func TestStatementS4_RevocationIsWhole(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 0; revocationKilledAt(t, n, after); n++ {
		}
	}
}

// revocationKilledAt revokes a person, with the server killed at its n-th commit. It
// returns false when there are not so many.
func revocationKilledAt(t *testing.T, n int, after bool) bool {
	type killed struct{}
	count, armed := 0, false
	kill := func(string) {
		if armed {
			if count++; count == n+1 {
				panic(killed{})
			}
		}
	}
	s := newSite(t, func(c *as.Config) {
		c.Access = &bridgeList{state: map[string]string{}}
		if after {
			c.Hooks.AfterCommit = kill
		} else {
			c.Hooks.BeforeCommit = kill
		}
	})
	p := s.enrolled("anna", as.AllGroups("hall"))
	tok, _ := p.token(ace.TokenRequest{})
	id := s.id("anna")
	armed = true
	died := func() (died bool) {
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(killed); !ok {
					panic(r)
				}
				died = true
			}
		}()
		if err := s.as.Revoke(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return false
	}()
	armed = false
	s.start()
	rs := s.resourceServer()
	l := rs.list("diff=0")
	switch people, err := s.as.People(t.Context()); {
	case err != nil || len(people) != 1:
		t.Fatalf("kill at %d: %+v, %v", n, people, err)
	case people[0].Revoked:
		p.closed(p.call, "/token")
		if len(rs.full()) != 1 || len(l.Diff) != 1 || rs.introspect(tok.AccessToken).Active {
			t.Errorf("kill at %d: the person is revoked, and the list is %+v", n, l)
		}
	default:
		if !died || after {
			t.Errorf("kill at %d: what was answered is lost", n)
		}
		if len(rs.full()) != 0 || len(l.Diff) != 0 || !rs.introspect(tok.AccessToken).Active {
			t.Errorf("kill at %d: the person is not revoked, and the list is %+v", n, l)
		}
		p.token(ace.TokenRequest{})
		if err := s.as.Revoke(t.Context(), id); err != nil {
			t.Errorf("kill at %d: again: %v", n, err)
		}
	}
	return died
}

// Hostile bytes in the clear cost no access to the store and change nothing.
func TestUnprotectedChangesNothing(t *testing.T) {
	b := &brittle{Store: store.NewMemory()}
	s := newSite(t, func(c *as.Config) { c.Store = b })
	p := s.party("eve")
	before := b.updates.Load()
	for _, path := range []string{"/token", "/introspect", "/revoke/trl", "/revoke/actors", "/people", "/people/invite", "/people/x",
		"/enroll", "/devices/" + hallLamp, "/", "/.well-known/core"} {
		for _, method := range []coap.Code{coap.GET, coap.POST, coap.PUT, coap.DELETE, coap.FETCH} {
			for _, body := range []any{nil, []byte{0xff}, map[int]any{1: p.cred, 2: "eve"}, cbor.MustMarshal(map[int]any{5: audience})} {
				m := p.do(coap.To(p.wire, asAddr), method, path, ace.FormatCBOR, body)
				if coap.Class(m.Code) != 4 {
					t.Errorf("%v %s: %s", method, path, coap.CodeString(m.Code))
				}
			}
		}
	}
	if n := b.updates.Load() - before; n != 0 {
		t.Errorf("%d accesses to the store for requests in the clear", n)
	}
}

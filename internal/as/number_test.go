package as_test

import (
	"encoding/hex"
	"fmt"
	"sync"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// Numbers of tokens are taken from the store many at a time: none is given out
// twice, not by several requests at once, and not after a restart, which leaves
// unused ones behind.
func TestNumbersOnce(t *testing.T) {
	s := newSite(t)
	var parties []*party
	for i := range 4 {
		parties = append(parties, s.enrolled(fmt.Sprint("installer", i), as.Policy{}))
	}
	var mu sync.Mutex
	seen := make(map[string]bool)
	top := uint64(0)
	for range 3 {
		last := top
		var wg sync.WaitGroup
		for _, p := range parties {
			wg.Go(func() {
				for range 100 { // more than are taken at a time, in all
					resp, claims := p.token(ace.TokenRequest{})
					mu.Lock()
					n := number(claims.CTI)
					if seen[string(claims.CTI)] || n <= last || claims.CTI[0] == 0 || string(resp.Cnf.OSCORE.ID) != string(claims.CTI) {
						t.Errorf("number %x, id %x, after %d", claims.CTI, resp.Cnf.OSCORE.ID, last)
					}
					seen[string(claims.CTI)], top = true, max(top, n)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		s.start()
	}
	if top > 3*(4*100+256) {
		t.Errorf("%d numbers used for %d tokens", top, len(seen))
	}
}

// Numbers that cannot be taken from the store are not given out.
func TestNumbersNeedTheStore(t *testing.T) {
	b := &brittle{Store: store.NewMemory()}
	s := newSite(t, func(c *as.Config) { c.Store = b })
	p := s.enrolled("anna", as.Policy{})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	b.broken.Store(true)
	for range 2 {
		p.expect(p.do(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}), coap.InternalServerError)
	}
	b.broken.Store(false)
	_, first := p.token(ace.TokenRequest{})
	b.broken.Store(true)
	p.expect(p.do(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}), coap.InternalServerError)
	b.broken.Store(false)
	if _, next := p.token(ace.TokenRequest{}); number(next.CTI) <= number(first.CTI) {
		t.Errorf("number %x after %x", next.CTI, first.CTI)
	}
}

// Rights of a key that were changed while a request was considered: the later one
// goes on from what is on record, and keeps its refresh token. A key that was
// forgotten has none.
func TestRightsChangedMeanwhile(t *testing.T) {
	var meanwhile func()
	s := newSite(t, func(c *as.Config) {
		c.Hooks.BeforeCommit = func(what string) {
			if f := meanwhile; what == "token" && f != nil {
				meanwhile = nil
				f()
			}
		}
	})
	p := s.enrolled("anna", as.Policy{})
	first, _ := p.token(ace.TokenRequest{Scope: scope("hall", ace.RoleRequester)})
	update := ace.TokenRequest{ReqCnf: &ace.Confirmation{KID: first.Cnf.OSCORE.ID}, Scope: scope("attic", ace.RoleRequester)}
	meanwhile = func() { p.token(update) }
	if _, claims := p.token(update); describe(claims.Scope.Scope) != describe(update.Scope) {
		t.Errorf("scope %s", describe(claims.Scope.Scope))
	}
	p.token(refreshing(first))

	meanwhile = func() {
		if err := s.store.Update(t.Context(), func(tx store.Tx) error {
			return tx.Delete("token/" + hex.EncodeToString(first.Cnf.OSCORE.ID))
		}); err != nil {
			t.Error(err)
		}
	}
	p.denied(update, ace.ErrorInvalidRequest)
	if meanwhile != nil {
		t.Error("the key was not forgotten meanwhile")
	}
}

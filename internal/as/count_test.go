package as_test

import (
	"maps"
	"sync"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
)

// Each event is counted once, when it has happened.
func TestCounts(t *testing.T) {
	var mu sync.Mutex
	got := map[as.Event]int{}
	b := &brittle{}
	s := newSite(t, func(c *as.Config) {
		b.Store = c.Store
		c.Store = b
		c.Count = func(e as.Event) {
			mu.Lock()
			defer mu.Unlock()
			got[e]++
		}
	})
	p := s.enrolled("anna", as.Policy{})
	p.token(ace.TokenRequest{})
	p.denied(ace.TokenRequest{Audience: "nobody"}, ace.ErrorInvalidRequest)
	b.broken.Store(true)
	p.do(p.call, 2, "/token", ace.FormatACE, ace.TokenRequest{})
	b.broken.Store(false)
	for id := range mustInstallers(t, s) {
		if err := s.as.Revoke(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	want := map[as.Event]int{as.EventEnrolled: 1, as.EventIssued: 1, as.EventDenied: 1, as.EventFailed: 1, as.EventRevoked: 1}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func mustInstallers(t *testing.T, s *site) map[string]as.Installer {
	t.Helper()
	all, err := s.as.Installers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

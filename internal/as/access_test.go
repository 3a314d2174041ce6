package as_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"lamplighter/internal/as"
	"lamplighter/internal/coap"
)

// bridgeList is who may use the bridge, as a test wants it.
type bridgeList struct {
	state map[string]string // id -> granted, kept, revoked
	fail  error
}

func (l *bridgeList) Grant(id, name string, expires time.Time) (string, error) {
	l.state[id] = "granted to " + name
	return "code of " + id, l.fail
}

func (l *bridgeList) Keep(id string, until time.Time) error {
	if l.fail == nil {
		l.state[id] = "kept"
		if !until.IsZero() {
			l.state[id] += until.UTC().Format(" until 15:04")
		}
	}
	return l.fail
}

func (l *bridgeList) Revoke(id string) error {
	if l.fail == nil {
		l.state[id] = "revoked"
	}
	return l.fail
}

// TestAccess: an invitation brings an access to the bridge, enrolling keeps it,
// revoking ends it, and none of these is half done when the list fails.
func TestAccess(t *testing.T) {
	list := &bridgeList{state: map[string]string{}}
	s := newSite(t, func(c *as.Config) { c.Access = list })
	broken := errors.New("no space")
	list.fail = broken
	if _, err := s.as.Invite(t.Context(), "Eve", as.Policy{}); !errors.Is(err, broken) {
		t.Error("an invitation without access:", err)
	}
	list.fail = nil
	ann, bob := s.party("ann"), s.party("bob")
	for p, name := range map[*party]string{ann: "Ann", bob: "Bob"} {
		inv, err := s.as.Invite(t.Context(), name, as.Policy{})
		if err != nil || inv.Code != "code of "+inv.ID || list.state[inv.ID] != "granted to "+name {
			t.Fatal(inv, err, list.state)
		}
		p.accept(inv)
	}
	list.fail = broken
	ann.expect(ann.postEnrolment(ann.cred), coap.InternalServerError)
	list.fail = nil
	ann.expect(ann.postEnrolment(ann.cred), coap.Created)
	if list.state[ann.inv.ID] != "kept" {
		t.Error("the repeated enrolment:", list.state)
	}
	all, err := s.as.Installers(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	for id := range maps.Keys(all) {
		list.fail = broken
		if err := s.as.Revoke(t.Context(), id); !errors.Is(err, broken) {
			t.Error("revoked, and still at the bridge:", err)
		}
		if all, _ := s.as.Installers(t.Context()); len(all) != 1 {
			t.Error("nobody can be revoked again")
		}
		list.fail = nil
		if err := s.as.Revoke(t.Context(), id); err != nil || list.state[ann.inv.ID] != "revoked" {
			t.Error(err, list.state)
		}
	}
	if list.state[bob.inv.ID] != "granted to Bob" {
		t.Error("Bob:", list.state)
	}
}

// TestAccessEndsWithThePerson: who may do something until a time uses the bridge
// until then.
func TestAccessEndsWithThePerson(t *testing.T) {
	list := &bridgeList{state: map[string]string{}}
	s := newSite(t, func(c *as.Config) { c.Access = list })
	p, end := s.party("anna"), s.clock.Now().Add(time.Hour)
	inv, err := s.as.InvitePerson(t.Context(), as.InviteParams{Name: "anna", Until: end})
	if err != nil {
		t.Fatal(err)
	}
	p.accept(inv)
	want := func(what, state string) {
		t.Helper()
		if list.state[inv.ID] != state {
			t.Errorf("%s: %q, want %q", what, list.state[inv.ID], state)
		}
	}
	p.expect(p.postEnrolment(p.cred), coap.Created)
	want("enrolled", end.UTC().Format("kept until 15:04"))
	p.expect(p.postEnrolment(p.cred), coap.Created)
	want("enrolled again", end.UTC().Format("kept until 15:04"))
	all, _ := s.as.Installers(t.Context())
	for id, i := range all {
		for state, until := range map[string]time.Time{
			"kept": {}, end.Add(time.Hour).UTC().Format("kept until 15:04"): end.Add(time.Hour),
		} {
			i.Policy.Until = 0
			if !until.IsZero() {
				i.Policy.Until = uint64(until.Unix())
			}
			if err := s.as.SetPolicy(t.Context(), id, i.Policy); err != nil {
				t.Fatal(err)
			}
			want("another policy", state)
		}
		list.fail = errors.New("no space")
		if err := s.as.SetPolicy(t.Context(), id, i.Policy); !errors.Is(err, list.fail) {
			t.Errorf("the bridge was not told: %v", err)
		}
	}
}

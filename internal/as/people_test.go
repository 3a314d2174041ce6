package as_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
)

// TestRoles: what each role may ask for, in its groups and in others.
func TestRoles(t *testing.T) {
	const mon = ace.RoleMonitor
	const own, devices = req | mon, req | resp | mon
	const all, read = ace.PermAll, ace.PermList | ace.PermRead
	for role, want := range map[as.Role][]as.Rule{
		as.RoleAdmin:      {{Group: "hall", Self: own, Devices: devices, Admin: all}, {Group: "*", Self: own, Devices: devices, Admin: all}},
		as.RoleInstaller:  {{Group: "hall", Self: own, Devices: devices, Admin: all}},
		as.RoleMaintainer: {{Group: "hall", Self: own, Admin: read}},
		as.RoleViewer:     {{Group: "hall", Self: mon, Admin: read}},
	} {
		p, err := role.Policy("hall")
		if err != nil || p.Role != role || !slices.Equal(p.Rules, want) {
			t.Errorf("%s: %+v, %v", role, p, err)
		}
	}
	for _, role := range as.Roles {
		if p, err := role.Policy(); err != nil || p.Rules[0].Group != "*" {
			t.Errorf("%s in all groups: %+v, %v", role, p, err)
		}
		if _, err := role.Policy("no such name!\x00"); !errors.Is(err, as.ErrPolicy) {
			t.Errorf("%s: %v", role, err)
		}
	}
	for _, word := range []as.Role{"", "boss", "Admin"} {
		if _, err := word.Policy(); !errors.Is(err, as.ErrPolicy) {
			t.Errorf("role %q: %v", word, err)
		}
	}
	s := newSite(t)
	viewer, err := as.RoleViewer.Policy("hall")
	if err != nil {
		t.Fatal(err)
	}
	p := s.enrolled("vera", viewer)
	p.denied(ace.TokenRequest{Scope: scope("hall", req)}, ace.ErrorInvalidScope)
	if _, claims := p.token(ace.TokenRequest{Scope: scope("hall", req|mon)}); string(claims.Scope.Scope) != string(scope("hall", mon)) {
		t.Errorf("a viewer got %s", describe(claims.Scope.Scope))
	}
}

// TestPeople: who is invited and who is enrolled, each once, with the role; an
// invitation that was revoked or has expired is neither.
func TestPeople(t *testing.T) {
	list := &bridgeList{state: map[string]string{}}
	s := newSite(t, func(c *as.Config) { c.Access = list })
	admin, _ := as.RoleAdmin.Policy()
	inv, err := s.as.InviteFor(t.Context(), "Zoe", admin, time.Hour)
	if err != nil || !inv.Expires.Equal(s.clock.Now().Add(time.Hour)) {
		t.Fatal(inv, err)
	}
	ann := s.enrolled("Ann", as.Policy{}) // she never came back, so her invitation is on record too
	people := func(want ...string) []as.Person {
		t.Helper()
		all, err := s.as.People(t.Context())
		if err != nil || len(all) != len(want) {
			t.Fatalf("%+v, %v", all, err)
		}
		for i, p := range all {
			if p.Name != want[i] {
				t.Errorf("%d: %s, want %s", i, p.Name, want[i])
			}
		}
		return all
	}
	all := people("Ann", "Zoe")
	if p := all[0]; p.Pending || p.Role != as.RoleInstaller || !p.Since.Equal(s.clock.Now()) || string(p.Credential) != string(ann.cred) || len(p.ID) != 32 {
		t.Errorf("Ann: %+v", p)
	}
	if p := all[1]; !p.Pending || p.Role != as.RoleAdmin || p.ID != inv.ID || !p.Expires.Equal(inv.Expires) {
		t.Errorf("Zoe: %+v", p)
	}
	s.start()
	people("Ann", "Zoe")
	list.fail = errors.New("no space")
	if err := s.as.Revoke(t.Context(), inv.ID); !errors.Is(err, list.fail) {
		t.Error("revoked, and still at the bridge:", err)
	}
	people("Ann", "Zoe")
	list.fail = nil
	if err := s.as.Revoke(t.Context(), inv.ID); err != nil || list.state[inv.ID] != "revoked" {
		t.Error(err, list.state)
	}
	people("Ann")
	zoe := s.party("zoe")
	zoe.accept(inv)
	zoe.closed(zoe.guest, "/enroll")
	for _, id := range []string{inv.ID, ann.inv.ID, "", "nobody"} {
		if err := s.as.Revoke(t.Context(), id); !errors.Is(err, as.ErrAbsent) {
			t.Errorf("revoking %q: %v", id, err)
		}
	}
	if _, err := s.as.InviteFor(t.Context(), "Bob", admin, time.Minute); err != nil {
		t.Fatal(err)
	}
	people("Ann", "Bob")
	s.clock.advance(time.Minute)
	people("Ann")
}

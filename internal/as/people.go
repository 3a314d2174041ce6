package as

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/store"
)

// Role is what a person is for a site, in one word.
type Role string

// Roles of people.
const (
	RoleAdmin      Role = "admin"      // everything, people too
	RoleInstaller  Role = "installer"  // equips groups with devices, and commands them
	RoleMaintainer Role = "maintainer" // commands groups
	RoleViewer     Role = "viewer"     // looks on
)

// Roles are all of them, the mightiest first.
var Roles = []Role{RoleAdmin, RoleInstaller, RoleMaintainer, RoleViewer}

// Policy gives the policy of a role in groups with these names; without any, in
// every group there is or will be. An admin's are all in any case: names only
// make a default scope.
func (r Role) Policy(groups ...string) (Policy, error) {
	if r == RoleAdmin && len(groups) > 0 && !slices.Contains(groups, "*") {
		groups = append(slices.Clone(groups), "*")
	}
	p := AllGroups(groups...)
	p.Role = r
	switch r {
	case RoleAdmin, RoleInstaller:
	case RoleMaintainer:
		p.restrict(ace.RoleRequester | ace.RoleMonitor)
	case RoleViewer:
		p.restrict(ace.RoleMonitor)
	default:
		return Policy{}, fmt.Errorf("%w: %q is no role of a person", ErrPolicy, string(r))
	}
	return p, p.Check()
}

// restrict leaves no more than these roles, and none for devices.
func (p *Policy) restrict(self ace.Role) {
	for i := range p.Rules {
		p.Rules[i].Self, p.Rules[i].Devices = self, 0
	}
}

// Person is somebody who was invited, as the operator sees it.
type Person struct {
	ID         string // of the installer, 32 hex digits; of the invitation, 16, while that is open
	Name       string
	Role       Role
	Since      time.Time // of the enrolment; zero while the invitation is open
	Expires    time.Time // of the invitation, while that is open
	Pending    bool      // nobody enrolled with the invitation yet
	Credential []byte
}

// People returns all who are invited or enrolled, by name and then by id.
func (s *Server) People(ctx context.Context) ([]Person, error) {
	var list []Person
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		list = nil
		installers, err := scan[installerRecord](tx, prefixInstaller)
		if err != nil {
			return err
		}
		for id, i := range installers {
			list = append(list, Person{ID: id, Name: i.Name, Role: i.Policy.role(), Since: time.Unix(int64(i.Since), 0), Credential: i.Cred})
		}
		invitations, err := scan[invitationRecord](tx, prefixInvitation)
		for id, inv := range invitations {
			if inv.open(s.cfg.Now()) {
				list = append(list, Person{ID: id, Name: inv.Name, Role: inv.Policy.role(), Expires: time.Unix(int64(inv.Expires), 0), Pending: true})
			}
		}
		return err
	})
	slices.SortFunc(list, func(a, b Person) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return list, err
}

// open reports whether somebody may still enrol with the invitation.
func (r *invitationRecord) open(now time.Time) bool { return r.Cred == nil && !expired(r.Expires, now) }

// role is the role of a policy; one that was made without is an installer's.
func (p Policy) role() Role {
	if p.Role == "" {
		return RoleInstaller
	}
	return p.Role
}

// revokeInvitation ends an invitation that nobody enrolled with, the access to the
// bridge first: after a crash between, the invitation can be revoked again. The
// caller holds s.sessions.
func (s *Server) revokeInvitation(ctx context.Context, id string) error {
	var inv *invitationRecord
	err := s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		inv, err = load[invitationRecord](tx, prefixInvitation+id)
		return err
	})
	if err != nil {
		return err
	}
	if inv == nil || inv.Cred != nil {
		return ErrAbsent
	}
	if err := s.revokeAccess([]string{id}); err != nil {
		return err
	}
	err = s.commit(ctx, "revoke invitation", func(tx store.Tx) error { return tx.Delete(prefixInvitation + id) })
	if err != nil {
		return err
	}
	s.psk.Remove(sessionInvitation + id)
	s.log.Info("revoked an invitation", "invitation", id)
	return nil
}

package as

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lamplighter/internal/store"
)

// Person is somebody who is invited, or enrolled, or whose access was revoked.
type Person struct {
	ID         string // of a person 32 hex digits, the beginning of the credential's thumbprint; of an invitation 16
	Name       string
	Role       Role
	Since      time.Time // of the enrolment; while it is pending, of the invitation
	Expires    time.Time // of the invitation while it is pending, then of the person's access; zero: no end
	Pending    bool      // invited, and not enrolled yet
	Revoked    bool      // what is left is the record of who it was
	Credential []byte    // the site credential; none while pending
}

// InviteParams describes an invitation.
type InviteParams struct {
	Name    string
	Role    Role          // empty: installer
	Expires time.Duration // how long the invitation opens; 0: [Config.InvitationLife]
	Groups  []string      // that the role is for; none: every group
	Site    string        // whose devices the person acts for; see [Policy]
	With    string        // without Site: the id of the person whose own site it is
	Until   time.Time     // the end of the person's access; zero: none
	By      string        // the id of the person who invites; empty: an operator
}

// maxInvitation is how long an invitation may open.
const maxInvitation = 365 * 24 * time.Hour

// InvitePerson makes an invitation that works once. It returns when it is durable.
func (s *Server) InvitePerson(ctx context.Context, p InviteParams) (Invitation, error) {
	policy, err := cmp.Or(p.Role, RoleInstaller).Policy(p.Groups...)
	if err != nil {
		return Invitation{}, err
	}
	policy.Site, policy.With = p.Site, p.With
	if !p.Until.IsZero() {
		policy.Until = seconds(p.Until)
	}
	if p.Expires < 0 || p.Expires > maxInvitation {
		return Invitation{}, fmt.Errorf("%w: an invitation opens for at most %v", ErrPolicy, maxInvitation)
	}
	return s.invite(ctx, p.By, p.Name, policy, orDefault(p.Expires, s.cfg.InvitationLife))
}

// People returns all who are invited, enrolled or revoked, by name.
func (s *Server) People(ctx context.Context) ([]Person, error) {
	var people []Person
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		people = nil
		enrolled, err := scan[installerRecord](tx, prefixInstaller)
		if err != nil {
			return err
		}
		invited, err := scan[invitationRecord](tx, prefixInvitation)
		if err != nil {
			return err
		}
		for id, i := range enrolled {
			people = append(people, i.person(id))
		}
		for id, inv := range invited {
			if inv.open(s.cfg.Now()) {
				people = append(people, inv.person(id))
			}
		}
		return nil
	})
	slices.SortFunc(people, func(a, b Person) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return people, err
}

func (i *installerRecord) person(id string) Person {
	return Person{ID: id, Name: i.Name, Role: i.Policy.role(), Since: at(i.Since), Expires: at(i.Policy.Until), Revoked: i.Revoked != 0, Credential: i.Cred}
}

func (inv *invitationRecord) person(id string) Person {
	return Person{ID: id, Name: inv.Name, Role: inv.Policy.role(), Since: at(inv.Since), Expires: at(inv.Expires), Pending: true}
}

// open reports whether somebody may still enrol with the invitation.
func (r *invitationRecord) open(now time.Time) bool { return r.Cred == nil && !expired(r.Expires, now) }

// at is a time in seconds since 1970; zero for 0.
func at(t uint64) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(int64(t), 0)
}

// RevokeByName revokes everybody of that name, invitations too, and returns the
// ids of the people who had enrolled. It fails with [ErrAbsent] when there is
// nobody.
func (s *Server) RevokeByName(ctx context.Context, name string) (ids []string, err error) {
	people, err := s.People(ctx)
	if err != nil {
		return nil, err
	}
	found := false
	for _, p := range people {
		if p.Name != name || p.Revoked {
			continue
		}
		found = true
		if err := s.Revoke(ctx, p.ID); err != nil && !errors.Is(err, ErrAbsent) {
			return ids, err
		}
		if !p.Pending {
			ids = append(ids, p.ID)
		}
	}
	if !found {
		return nil, ErrAbsent
	}
	return ids, nil
}

// Revoke ends a person's access, and takes an invitation back: sessions, access to
// the bridge, invitations to the same name, and the person's own tokens, which go
// on the token revocation list. The devices stay with their site, and the tokens
// that the person obtained for them stay valid; resource servers are told who it
// was. A record of the person stays. It fails with [ErrAbsent] for an unknown id,
// and for somebody who was revoked before.
func (s *Server) Revoke(ctx context.Context, id string) error {
	s.sessions.Lock()
	defer s.sessions.Unlock()
	// Access to the bridge ends before the person is forgotten: should it fail, or
	// should there be a crash between, the person is still listed and can be revoked
	// again.
	if err := s.endAccess(ctx, id); err != nil {
		return err
	}
	var r revocation
	s.lists.Lock()
	err := s.commit(ctx, "revoke", func(tx store.Tx) error {
		r = revocation{id: id}
		return r.write(tx, s.cfg.Now())
	})
	s.lists.Unlock()
	if err != nil {
		return err
	}
	s.tell(ctx, r.told, r.person) // while the person's sessions can hear it
	if r.person {
		s.psk.Remove(sessionInstaller + id)
	}
	for _, invitation := range r.invitations {
		s.psk.Remove(sessionInvitation + invitation)
	}
	s.count(EventRevoked)
	s.log.Info("revoked access", "id", id, "name", r.name, "person", r.person, "invitations", len(r.invitations), "tokens", r.tokens)
	return nil
}

// revocation is what revoking comes to.
type revocation struct {
	id          string
	name        string
	person      bool     // somebody who had enrolled
	invitations []string // that are taken back
	tokens      int
	told        []string // whom the update of the token revocation list concerns
}

// write revokes in a transaction.
func (r *revocation) write(tx store.Tx, now time.Time) error {
	i, err := load[installerRecord](tx, prefixInstaller+r.id)
	if err != nil {
		return err
	}
	if i == nil {
		return r.takeBack(tx, r.id)
	}
	if i.Revoked != 0 {
		return ErrAbsent
	}
	r.name, r.person = i.Name, true
	if err := r.takeBackAll(tx, i); err != nil {
		return err
	}
	var c change
	if err := revokeTokens(tx, subjectOf(r.id), now, &c); err != nil {
		return err
	}
	r.tokens = len(c.added)
	if r.told, err = c.save(tx); err != nil {
		return err
	}
	i.Key, i.Invitation, i.Access, i.Revoked = nil, "", nil, seconds(now)
	return save(tx, prefixInstaller+r.id, i)
}

// takeBack takes back one invitation.
func (r *revocation) takeBack(tx store.Tx, id string) error {
	inv, err := load[invitationRecord](tx, prefixInvitation+id)
	if err != nil {
		return err
	}
	if inv == nil || inv.Cred != nil && !r.person { // it is used: its person is to be revoked
		return ErrAbsent
	}
	r.name = inv.Name
	r.invitations = append(r.invitations, id)
	return tx.Delete(prefixInvitation + id)
}

// takeBackAll takes back a person's invitations: the one that it came by, those to
// the same name and those that it made itself, with which it could come back.
func (r *revocation) takeBackAll(tx store.Tx, i *installerRecord) error {
	ids, err := invitationsOf(tx, r.id, i)
	for _, id := range ids {
		err = errors.Join(err, r.takeBack(tx, id))
	}
	return err
}

func invitationsOf(tx store.Tx, id string, i *installerRecord) (ids []string, err error) {
	all, err := scan[invitationRecord](tx, prefixInvitation)
	for invitation, inv := range all {
		if invitation == i.Invitation || inv.Cred == nil && (inv.Name == i.Name || inv.By == id) {
			ids = append(ids, invitation)
		}
	}
	return ids, err
}

// RevokeDevice puts a device's tokens on the token revocation list: it loses its
// memberships. Its registration stays.
func (s *Server) RevokeDevice(ctx context.Context, device string) error {
	if !validDeviceID(device) {
		return fmt.Errorf("%w: %q is no device's id", ErrAbsent, device)
	}
	return s.changeList(ctx, "revoke device", func(tx store.Tx, c *change) error {
		return revokeTokens(tx, device, s.cfg.Now(), c)
	})
}

// changeList changes the token revocation list and tells the observers.
func (s *Server) changeList(ctx context.Context, what string, fn func(store.Tx, *change) error) error {
	var told []string
	s.lists.Lock()
	err := s.commit(ctx, what, func(tx store.Tx) (err error) {
		var c change
		if err := fn(tx, &c); err != nil {
			return err
		}
		told, err = c.save(tx)
		return err
	})
	s.lists.Unlock()
	if err == nil {
		s.tell(ctx, told, false)
	}
	return err
}

package as

import (
	"context"
	"fmt"
	"time"

	"lamplighter/internal/store"
)

// Access is the list of who may use the bridge. Every invitation has an access
// of its own, under the invitation's id. Each call returns when it is durable,
// and may be repeated.
type Access interface {
	// Grant makes an access code, which opens the bridge until expires.
	Grant(id, name string, expires time.Time) (code string, err error)
	// Keep gives an access another end, none with the zero time: its holder has
	// enrolled, and what counts is the person's.
	Keep(id string, until time.Time) error
	// Revoke ends an access and what is open with it.
	Revoke(id string) error
}

// maxAccess is how many accesses one person has, by enrolling again with a new
// invitation. The oldest ends when there are more.
const maxAccess = 8

// grantAccess gives an invitation its access code, an empty one when there is
// no bridge to be let in.
func (s *Server) grantAccess(inv *Invitation, name string) (err error) {
	if s.cfg.Access == nil {
		return nil
	}
	if inv.Code, err = s.cfg.Access.Grant(inv.ID, name, inv.Expires); err != nil {
		return fmt.Errorf("granting access to the bridge: %w", err)
	}
	return nil
}

// keepAccess makes the access of a used invitation last as long as the person's. It
// comes after the enrolment is durable and before that is answered: a client that
// gets no answer enrols again, and so what a crash left out is done.
func (s *Server) keepAccess(ids []string, until uint64, superseded []string) error {
	if err := s.endAccessAt(ids, until); err != nil {
		return err
	}
	return s.revokeAccess(superseded)
}

// endAccessAt gives the accesses of a person the person's end, in seconds since
// 1970; 0 is none.
func (s *Server) endAccessAt(ids []string, until uint64) error {
	if s.cfg.Access == nil {
		return nil
	}
	for _, id := range ids {
		if err := s.cfg.Access.Keep(id, at(until)); err != nil {
			return fmt.Errorf("keeping access to the bridge: %w", err)
		}
	}
	return nil
}

func (s *Server) revokeAccess(ids []string) error {
	if s.cfg.Access == nil {
		return nil
	}
	for _, id := range ids {
		if err := s.cfg.Access.Revoke(id); err != nil {
			return fmt.Errorf("revoking access to the bridge: %w", err)
		}
	}
	return nil
}

// endAccess ends the access to the bridge of a person, with that of invitations to
// the same name, or of one invitation.
func (s *Server) endAccess(ctx context.Context, id string) error {
	var ids []string
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		i, err := load[installerRecord](tx, prefixInstaller+id)
		if err != nil {
			return err
		}
		if i != nil {
			ids, err = invitationsOf(tx, id, i)
			ids = append(ids, i.Access...)
			return err
		}
		inv, err := load[invitationRecord](tx, prefixInvitation+id)
		if inv != nil && inv.Cred == nil {
			ids = []string{id}
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.revokeAccess(ids)
}

package as

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// Invitation lets whoever holds its secret enrol once as an installer.
type Invitation struct {
	ID      string      // the name of the PSK session, as bytes
	Secret  cose.Secret // 16 bytes
	Expires time.Time
	Code    string // access code of the bridge; empty without [Config.Access]
}

// Errors of the operator's calls.
var (
	ErrName   = errors.New("unusable name")
	ErrAbsent = errors.New("there is no such installer")
	ErrFull   = errors.New("too many invitations are open")
)

const (
	invitationIDSize     = 8  // bytes, twice as many hex digits
	invitationSecretSize = 16 // bytes
	maxName              = 64 // bytes: of installers, sites and models
	maxInvitations       = 1024
)

func checkName(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, isControl) {
		return fmt.Errorf("%w: 1 to %d bytes without control characters", ErrName, maxName)
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// Invite makes an invitation for the installer called name. A policy without
// rules stands for the one of the configuration. It returns when the invitation
// is durable.
func (s *Server) Invite(ctx context.Context, name string, policy Policy) (Invitation, error) {
	return s.InviteFor(ctx, name, policy, s.cfg.InvitationLife)
}

// InviteFor is Invite with a life of the invitation's own.
func (s *Server) InviteFor(ctx context.Context, name string, policy Policy, life time.Duration) (Invitation, error) {
	return s.invite(ctx, "", name, policy, life)
}

func (s *Server) invite(ctx context.Context, by, name string, policy Policy, life time.Duration) (Invitation, error) {
	if err := checkName(name); err != nil {
		return Invitation{}, err
	}
	if len(policy.Rules) == 0 {
		policy.Rules = s.cfg.Policy.Rules
	}
	if err := policy.Check(); err != nil {
		return Invitation{}, err
	}
	random, err := s.random(invitationIDSize + invitationSecretSize)
	if err != nil {
		return Invitation{}, err
	}
	inv := Invitation{
		ID:      hex.EncodeToString(random[:invitationIDSize]),
		Secret:  random[invitationIDSize:],
		Expires: s.cfg.Now().Add(life).Truncate(time.Second),
	}
	s.sessions.Lock()
	defer s.sessions.Unlock()
	if err := s.sweepInvitations(ctx); err != nil {
		return Invitation{}, err
	}
	if err := s.grantAccess(&inv, name); err != nil {
		return Invitation{}, err
	}
	err = s.commit(ctx, "invite", func(tx store.Tx) error {
		open := 0
		err := tx.Scan(prefixInvitation, func(string, []byte) bool { open++; return open < maxInvitations })
		if err != nil || open >= maxInvitations {
			return cmp.Or(err, ErrFull)
		}
		return save(tx, prefixInvitation+inv.ID, invitationRecord{
			Secret: inv.Secret, Name: name, Policy: policy, Expires: seconds(inv.Expires), Since: seconds(s.cfg.Now()), By: by,
		})
	})
	if err != nil {
		return Invitation{}, errors.Join(fmt.Errorf("keeping the invitation: %w", err), s.revokeAccess([]string{inv.ID}))
	}
	s.openInvitation(inv.ID, inv.Secret)
	s.log.Info("invited an installer", "name", name, "role", string(policy.role()), "invitation", inv.ID, "until", inv.Expires)
	return inv, nil
}

// sweepInvitations forgets the expired invitations. One that somebody enrolled
// with but never came back after is over, too; the installer stays.
func (s *Server) sweepInvitations(ctx context.Context) error {
	now := s.cfg.Now()
	var gone []string
	err := s.commit(ctx, "sweep", func(tx store.Tx) error {
		gone = gone[:0]
		all, err := scan[invitationRecord](tx, prefixInvitation)
		for id, inv := range all {
			if expired(inv.Expires, now) {
				gone = append(gone, id)
				err = errors.Join(err, tx.Delete(prefixInvitation+id))
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("sweeping invitations: %w", err)
	}
	for _, id := range gone {
		s.psk.Remove(sessionInvitation + id)
	}
	return nil
}

// scan reads all records under a prefix, by what stands behind it.
func scan[T any](tx store.Tx, prefix string) (map[string]*T, error) {
	all := make(map[string]*T)
	var keys []string
	if err := tx.Scan(prefix, func(key string, _ []byte) bool { keys = append(keys, key); return true }); err != nil {
		return nil, err
	}
	for _, key := range keys {
		r, err := load[T](tx, key)
		if err != nil {
			return nil, err
		}
		all[strings.TrimPrefix(key, prefix)] = r
	}
	return all, nil
}

// Installer is an enrolled installer as the operator sees it.
type Installer struct {
	ID         string // 32 hex digits: the beginning of the credential's thumbprint
	Name       string
	Credential []byte
	Policy     Policy
	Since      time.Time
}

// Installers returns all who enrolled and were not revoked, by id.
func (s *Server) Installers(ctx context.Context) (map[string]Installer, error) {
	found := make(map[string]Installer)
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		all, err := scan[installerRecord](tx, prefixInstaller)
		for id, i := range all {
			if i.Revoked != 0 {
				continue
			}
			found[id] = Installer{ID: id, Name: i.Name, Credential: i.Cred, Policy: i.Policy, Since: time.Unix(int64(i.Since), 0)}
		}
		return err
	})
	return found, err
}

// PolicyOf returns the policy of an enrolled person, or of an open invitation. It
// fails with [ErrAbsent] for an unknown id.
func (s *Server) PolicyOf(ctx context.Context, id string) (p Policy, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		i, inv, err := s.holder(tx, id)
		if i != nil {
			p = i.Policy
		} else if inv != nil {
			p = inv.Policy
		}
		return err
	})
	return p, err
}

// SetPolicy replaces the policy of an enrolled person, or of an open invitation.
// Tokens that were issued stay what they are; access to the bridge ends with the
// person's. It fails with [ErrAbsent] for an unknown id.
func (s *Server) SetPolicy(ctx context.Context, id string, policy Policy) error {
	if err := policy.Check(); err != nil {
		return err
	}
	s.sessions.Lock()
	defer s.sessions.Unlock()
	var access []string
	err := s.commit(ctx, "policy", func(tx store.Tx) error {
		i, inv, err := s.holder(tx, id)
		if err != nil {
			return err
		}
		if i == nil {
			inv.Policy = policy
			return save(tx, prefixInvitation+id, inv)
		}
		i.Policy, access = policy, i.Access
		return save(tx, prefixInstaller+id, i)
	})
	if err != nil {
		return err
	}
	s.log.Info("replaced a policy", "id", id, "role", string(policy.role()), "rules", len(policy.Rules))
	return s.endAccessAt(access, policy.Until)
}

// holder loads who has a policy: an enrolled person, or an invitation that is open.
func (s *Server) holder(tx store.Tx, id string) (*installerRecord, *invitationRecord, error) {
	i, err := load[installerRecord](tx, prefixInstaller+id)
	if err != nil || i != nil && i.Revoked == 0 {
		return i, nil, err
	}
	inv, err := load[invitationRecord](tx, prefixInvitation+id)
	if err == nil && (inv == nil || !inv.open(s.cfg.Now())) {
		err = ErrAbsent
	}
	return nil, inv, err
}

// lookup finds an installer; nil when there is none.
func (s *Server) lookup(ctx context.Context, id string) (i *installerRecord, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		i, err = load[installerRecord](tx, prefixInstaller+id)
		return err
	})
	return i, err
}

// Names of PSK sessions.
const (
	sessionInvitation = "invitation/"
	sessionInstaller  = "installer/"
)

// Who a session's peer is, as [coap.Peer.Data].
type (
	invitee   struct{ id string }
	installer struct{ id string }
)

func (s *Server) openInvitation(id string, secret cose.Secret) {
	s.psk.Set(sessionInvitation+id, oscore.NewPSK([]byte(id), secret, oscore.SaltInvitation), invitee{id})
}

func (s *Server) openInstaller(id string, i *installerRecord) {
	s.psk.Set(sessionInstaller+id, oscore.NewPSK(i.Cred, i.Key, oscore.SaltInstaller), installer{id})
}

// restore opens the sessions of all who may have one.
func (s *Server) restore(ctx context.Context) error {
	var invitations map[string]*invitationRecord
	var installers map[string]*installerRecord
	err := s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		if invitations, err = scan[invitationRecord](tx, prefixInvitation); err != nil {
			return err
		}
		installers, err = scan[installerRecord](tx, prefixInstaller)
		return err
	})
	if err != nil {
		return err
	}
	for id, inv := range invitations {
		if !expired(inv.Expires, s.cfg.Now()) {
			s.openInvitation(id, inv.Secret)
		}
	}
	for id, i := range installers {
		if i.Revoked == 0 {
			s.openInstaller(id, i)
		}
	}
	return nil
}

package gm

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/store"
)

// Errors of the operator's calls.
var (
	ErrNoGroup   = errors.New("no such group")
	ErrNoMember  = errors.New("no such member")
	ErrAlgorithm = errors.New("algorithms that are not built")
)

// Defaults. KGO, Section 14.
const (
	defaultCheckInterval = 3600
	defaultMaxStaleSets  = 3
	defaultKeyLifetime   = 30 * 24 * time.Hour
	defaultLifetime      = uint64(defaultKeyLifetime / time.Second)
)

// withDefaults fills in what is zero and refuses what cannot be.
func (c GroupConfig) withDefaults() (GroupConfig, error) {
	if !ace.ValidGroupName(c.Name) {
		return c, fmt.Errorf("%q cannot be a group's name", c.Name)
	}
	c, err := c.withKind()
	if err != nil {
		return c, err
	}
	if c.Policies.CheckInterval == 0 && !c.Policies.None {
		c.Policies.CheckInterval = defaultCheckInterval
	}
	if c.MaxStaleSets == 0 {
		c.MaxStaleSets = defaultMaxStaleSets
	}
	if c.MaxStaleSets < 2 {
		return c, errors.New("fewer than two stale sets")
	}
	if c.KeyLifetime == 0 {
		c.KeyLifetime = defaultKeyLifetime
	}
	if c.KeyLifetime < time.Second {
		return c, errors.New("keys that live less than a second")
	}
	if c.GIDReuse == 1 {
		return c, errors.New("one Gid for all versions of the keys")
	}
	if c.SenderIDs == 0 {
		c.SenderIDs = min(defaultSenderIDs, senderIDs(c.Algs))
	}
	if c.SenderIDs > senderIDs(c.Algs) {
		return c, errors.New("more Sender IDs than the nonces have room for")
	}
	return c, nil
}

// CreateGroup creates a group with version 0 of its keys; a group of that name
// stays as it is.
func (s *Server) CreateGroup(ctx context.Context, cfg GroupConfig) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return fmt.Errorf("creating a group: %w", err)
	}
	if s.identity(cfg.Algs, cfg.Curve) == nil {
		return fmt.Errorf("creating a group: %w: %w", ErrAlgorithm, errNoIdentity)
	}
	return s.commit(ctx, "create", func(tx store.Tx) error {
		if old, err := tx.Get(groupKey(cfg.Name)); err != nil || old != nil {
			return err
		}
		g := &groupRecord{
			Name: cfg.Name, Algs: cfg.Algs, Curve: cfg.Curve, Inactive: cfg.Inactive, Multicast: cfg.MulticastAddr,
			Lifetime: uint64(cfg.KeyLifetime / time.Second), CheckInterval: cfg.Policies.CheckInterval,
			ExpirationDelta: cfg.Policies.ExpirationDelta, SenderIDs: cfg.SenderIDs,
			MaxStaleSets: cfg.MaxStaleSets, Stale: []staleSet{{}},
			RekeyOnJoin: cfg.RekeyOnJoin, Period: uint64(cfg.RekeyPeriod / time.Second), GIDs: cfg.GIDReuse,
			ControlGroupURI: cfg.ControlGroupURI,
		}
		if cfg.OneToMany {
			g.Scheme = ace.RekeyingCompleteSubtree
			if g.ControlGroupURI == "" && g.Multicast != "" {
				g.ControlGroupURI = controlGroupURI(g.Multicast, g.Name)
			}
		}
		if g.Prefix, err = s.newPrefix(tx, g.Name); err != nil {
			return err
		}
		if err := g.newMaterial(s.rand, s.cfg.Now()); err != nil {
			return err
		}
		if err := tx.Put(gidKey(g.GID), []byte(g.Name)); err != nil {
			return err
		}
		s.logAfter(tx, "created a group", "group", g.Name, "num", g.Num, "gid", hex.EncodeToString(g.GID))
		return save(tx, groupKey(g.Name), g)
	})
}

// newPrefix takes a Gid prefix that no group ever had.
func (s *Server) newPrefix(tx store.Tx, name string) ([]byte, error) {
	for range 16 {
		prefix, err := s.random(gidPrefixLen)
		if err != nil {
			return nil, err
		}
		taken, err := tx.Get(prefixKey(prefix))
		if err != nil {
			return nil, err
		}
		if taken == nil {
			return prefix, tx.Put(prefixKey(prefix), []byte(name))
		}
	}
	return nil, errors.New("no Gid prefix is free")
}

// changeGroup edits a group's record.
func (s *Server) changeGroup(ctx context.Context, what, name string, edit func(store.Tx, *groupRecord) error) error {
	return s.commit(ctx, what, func(tx store.Tx) error {
		g, err := load[groupRecord](tx, groupKey(name))
		if err != nil {
			return err
		}
		if g == nil {
			return ErrNoGroup
		}
		if err := edit(tx, g); err != nil {
			return err
		}
		return save(tx, groupKey(name), g)
	})
}

// SetActive activates or deactivates a group.
func (s *Server) SetActive(ctx context.Context, name string, active bool) error {
	return s.changeGroup(ctx, "active", name, func(tx store.Tx, g *groupRecord) error {
		if g.Inactive != active {
			return nil // it is so already
		}
		g.Inactive = !active
		s.logAfter(tx, "set a group's status", "group", name, "active", active)
		return s.tellActive(tx, g)
	})
}

// Members lists a group's members, by NODENAME.
func (s *Server) Members(ctx context.Context, name string) ([]Member, error) {
	var members []Member
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		members = nil
		if g, err := tx.Get(groupKey(name)); err != nil || g == nil {
			return errors.Join(err, ErrNoGroup)
		}
		return eachMember(tx, name, func(m *memberRecord) bool {
			members = append(members, Member{
				Node: m.Node, Subject: m.Subject, SenderID: m.SenderID, Credential: m.Cred,
				Roles: m.Roles, Obtainer: m.Actor, Joined: time.Unix(m.Joined, 0),
			})
			return true
		})
	})
	slices.SortFunc(members, func(a, b Member) int {
		if len(a.Node) != len(b.Node) {
			return len(a.Node) - len(b.Node)
		}
		return strings.Compare(a.Node, b.Node)
	})
	return members, err
}

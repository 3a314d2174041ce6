package join

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// Purge says which Recipient Contexts a member deletes.
type Purge struct {
	All  bool     // every one
	SIDs [][]byte // these
}

// Has reports whether the Recipient Context of kid goes.
func (p Purge) Has(kid []byte) bool { return p.All || hasID(p.SIDs, kid) }

// Update brings a membership up to date. It asks for the keys (one message when
// nothing changed) and, when they are newer, for what became stale (two). It
// returns the new membership without the purged peers, and what was purged so that
// the caller drops contexts and windows. changed is false when old was current.
//
// A Sender ID that the member did not get itself may be in use by somebody who has
// the same credential, and a lost answer leaves no trace of who got it: the member
// takes a fresh one instead (one message more), so that no two ever count
// sequence numbers under one. KGO, Section 11.3.
func (m *Member) Update(ctx context.Context, old *Membership) (cur *Membership, purged Purge, changed bool, err error) {
	if cur, err = m.Keys(ctx, old); err != nil {
		return nil, Purge{}, false, err
	}
	if cur.Num > old.Num {
		if purged, err = m.StaleSIDs(ctx, old.Num); err != nil {
			return nil, Purge{}, false, err
		}
		cur, changed = cur.Without(purged), true
	}
	if !bytes.Equal(cur.SenderID, old.SenderID) {
		if cur.SenderID, err = m.Renew(ctx); err != nil {
			return nil, Purge{}, false, err
		}
		changed = true
	}
	return cur, purged, changed, nil
}

// isGone reports whether err says that there is no such membership.
func isGone(err error) bool {
	var gm *GMError
	return errors.Is(err, ErrNotMember) || errors.As(err, &gm) && gm.Code == coap.NotFound
}

func asChallenge(err error) (*ChallengeError, bool) {
	var c *ChallengeError
	return c, errors.As(err, &c)
}

// SelfParams are what a node that joins by itself brings along.
type SelfParams struct {
	Group    string
	Roles    ace.Role
	Cred     []byte // its authentication credential
	Key      ed25519.PrivateKey
	GMCred   []byte // the Group Manager's credential, known in advance
	GetCreds bool
	NS       []byte // from [Transfer]; nil: the Group Manager is asked for one
	Rand     io.Reader
}

// Self runs the Join Request for a node that holds its own key: offer, proof,
// request, once more when the Group Manager wants another challenge, and [Accept].
// Group and NodePath are filled in.
func Self(ctx context.Context, gm coap.Caller, p SelfParams) (*Membership, *Answer, error) {
	if p.NS == nil {
		c, err := Challenge(ctx, gm, p.Group)
		if err != nil {
			return nil, nil, err
		}
		p.NS = c.NS
	}
	offer, answer, err := p.try(ctx, gm)
	if c, ok := asChallenge(err); ok {
		p.NS = c.NS
		offer, answer, err = p.try(ctx, gm)
	}
	if err != nil {
		return nil, nil, err
	}
	m, err := Accept(answer.Raw, offer.NC, p.GMCred)
	if err != nil {
		return nil, nil, fmt.Errorf("joining %s: %w", p.Group, err)
	}
	m.Group, m.NodePath = p.Group, answer.NodePath
	return m, answer, nil
}

// try makes one Join Request with a fresh N_C. KGO, Section 6.2.1.
func (p *SelfParams) try(ctx context.Context, gm coap.Caller) (Offer, *Answer, error) {
	offer := NewOffer(p.Group, p.Roles, p.Cred, p.Rand)
	answer, err := Join(ctx, gm, p.Group, offer.Request(offer.Prove(p.Key, p.NS), p.GetCreds))
	return offer, answer, err
}

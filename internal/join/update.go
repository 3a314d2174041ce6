package join

import (
	"bytes"
	"context"
	"errors"

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
// the caller drops contexts and windows. changed is false when old was current; with
// the same version it is true when the group uses its keys otherwise, by other
// algorithms.
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
	if cur.Algs != old.Algs || cur.credentials() != old.credentials() {
		changed = true
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

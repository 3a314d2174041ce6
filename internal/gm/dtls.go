package gm

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// maxPSK bounds a pre-shared key, in bytes; minSecret is the least.
const maxPSK = 64

// Errors of tokens for the DTLS profile.
var (
	errNoKey    = errors.New("the token has no key to prove")
	errOldToken = errors.New("a newer token of the same key is known")
	errOthers   = errors.New("the key is somebody else's")
)

// upload answers a token of the DTLS profile that is posted without protection.
// The same token again changes nothing: who recorded it may post it, too. RFC 9202,
// Section 3.3.2.
func (s *Server) upload(ctx context.Context, body *ace.AuthzInfoRequest, claims *ace.CWTClaims) *coap.Message {
	if key := keyOf(claims); key.Symmetric() && !s.transfers.allow(sessionID(key.KID), s.cfg.Now()) {
		return coap.Problem(coap.TooManyRequests, "This token was transferred too often; wait a minute.")
	}
	var resp *ace.AuthzInfoResponse
	a, err := s.admitToken(ctx, claims, body.AccessToken, false, func(tx store.Tx, a *associationRecord) (err error) {
		resp, err = s.transferred(tx, a, body)
		return err
	})
	switch {
	case errors.Is(err, errNoKey):
		return coap.Problem(coap.BadRequest, "The token has no symmetric key of 16 to 64 bytes with an identifier.")
	case errors.Is(err, errOldToken), errors.Is(err, errOthers):
		return coap.Problem(coap.Unauthorized, "The token's key is in use with a newer token.")
	case err != nil:
		return s.broken("authz-info", err)
	}
	s.count(EventToken)
	s.log.Info("accepted a token", "subject", a.Subject, "actor", a.Actor, "association", a.ID)
	return coap.Respond(coap.Created, ace.FormatACE, ace.Encode(resp))
}

// keyOf is the key that a token confirms. One that only updates rights may name a
// known key by its identifier alone. RFC 8747, Section 3.4; RFC 9202, Section 4.
func keyOf(c *ace.CWTClaims) *ace.COSEKey {
	if c.CNF.COSEKey == nil && c.CNF.OSCORE == nil && c.CNF.KID != nil {
		return ace.SymmetricKey(c.CNF.KID, nil)
	}
	return c.CNF.COSEKey
}

// admitToken stores a token of the DTLS profile and returns its association as it
// is then; also does more in the same transaction, before the association is
// written.
func (s *Server) admitToken(ctx context.Context, claims *ace.CWTClaims, token []byte, proven bool, also func(store.Tx, *associationRecord) error) (a *associationRecord, err error) {
	key := keyOf(claims)
	if !key.Symmetric() {
		return nil, errNoKey
	}
	var dropped []*associationRecord
	var ended bool
	err = s.commit(ctx, "authz-info", func(tx store.Tx) error {
		dropped, ended = nil, false
		old, err := load[associationRecord](tx, associationKey(sessionID(key.KID)))
		if err != nil {
			return err
		}
		if a, err = s.revise(old, claims, token, proven); err != nil {
			return err
		}
		if err := also(tx, a); err != nil {
			return err
		}
		if old != nil && old.Serial == a.Serial {
			return s.revised(tx, a, old)
		}
		if old != nil { // its subject and its key are others
			ended = true
			if err := old.delete(tx); err != nil {
				return err
			}
		}
		dropped, err = s.enter(tx, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	if ended {
		s.sessions.end(a.ID)
	}
	s.drop(dropped)
	return a, nil
}

// revise is what a token makes of the association of its key, old, which may be
// nil. The identical token changes nothing. Another one of the same key replaces
// the rights, if it is newer: of the same second, too, when the client proves the
// key, which who recorded the token cannot. A newer token with another key under the same identifier
// comes from an Authorization Server that has lost its state, and makes a new
// association. RFC 9202, Sections 3.4 and 4.
func (s *Server) revise(old *associationRecord, claims *ace.CWTClaims, token []byte, proven bool) (*associationRecord, error) {
	key := keyOf(claims)
	if !key.Symmetric() || key.K != nil && (len(key.K) < minSecret || len(key.K) > maxPSK) || old == nil && key.K == nil {
		return nil, errNoKey
	}
	hash := ace.TokenHash(token)
	if old != nil && bytes.Equal(hash, old.Hash) {
		same := *old
		return &same, nil
	}
	if old != nil && (claims.IAT < old.Issued || claims.IAT == old.Issued && !proven) {
		return nil, errOldToken
	}
	a := &associationRecord{
		ID: sessionID(key.KID), Token: key.KID, Profile: ace.ProfileDTLS, PSK: key.K, Subject: claims.SUB,
	}
	if a.Subject == "" { // every key then stands for a client of its own
		a.Subject = "key " + hex.EncodeToString(key.KID)
	}
	if old != nil && (key.K == nil || subtle.ConstantTimeCompare(key.K, old.PSK) == 1) {
		if a.Subject != old.Subject {
			return nil, errOthers
		}
		same := *old
		a = &same
	}
	a.Hash, a.Issued, a.Revoked = hash, claims.IAT, false
	a.Thumbprint, a.Actor, a.Scope, a.Expires = claims.CredThumbprint, claims.Actor, claims.Scope.Scope, claims.EXP
	if a.NS == nil && needsChallenge(a) {
		var err error
		if a.NS, err = s.random(challengeLen); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// updateSession replaces the token of a session's association by one of the same
// key. RFC 9202, Section 4.
func (s *Server) updateSession(ctx context.Context, id string, body *ace.AuthzInfoRequest) *coap.Message {
	denied := coap.Problem(coap.Unauthorized, "The token does not update this association.")
	claims, refusal := s.verify(ctx, body.AccessToken)
	if refusal != nil {
		return denied
	}
	var resp *ace.AuthzInfoResponse
	err := s.commit(ctx, "update rights", func(tx store.Tx) error {
		resp = nil
		old, err := load[associationRecord](tx, associationKey(id))
		if err != nil || old == nil || !keyOf(claims).Symmetric() || sessionID(keyOf(claims).KID) != id {
			return err
		}
		a, err := s.revise(old, claims, body.AccessToken, true)
		if errors.Is(err, errNoKey) || errors.Is(err, errOldToken) || errors.Is(err, errOthers) {
			return nil
		}
		if err != nil || a.Serial != old.Serial { // another key is no update
			return err
		}
		if resp, err = s.transferred(tx, a, body); err != nil {
			return err
		}
		return s.revised(tx, a, old)
	})
	switch {
	case err != nil:
		return s.broken("authz-info", err)
	case resp == nil:
		return denied
	case !bool(body.SignInfo) && !bool(body.ECDHInfo) && !bool(body.KDCDHCreds):
		return coap.Respond(coap.Created, coap.NoFormat, nil)
	}
	return coap.Respond(coap.Created, ace.FormatACE, ace.Encode(resp))
}

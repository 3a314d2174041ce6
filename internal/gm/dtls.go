package gm

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

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

// sessionID is the id of the association of a key. An Authorization Server gives
// each key of a resource server an identifier of its own (RFC 9202, Section
// 3.3.1). Ids of OSCORE associations are hex alone.
func sessionID(kid []byte) string { return "dtls-" + hex.EncodeToString(kid) }

// sessions are the DTLS sessions of associations, one each.
type sessions struct {
	mu   sync.Mutex
	byID map[string]coap.Session
}

// put makes a session that of its association; an older one ends.
func (t *sessions) put(id string, s coap.Session) {
	t.mu.Lock()
	if t.byID == nil {
		t.byID = make(map[string]coap.Session)
	}
	old := t.byID[id]
	t.byID[id] = s
	t.mu.Unlock()
	if old != nil {
		old.End()
	}
}

// get returns the session of an association, nil when it has none.
func (t *sessions) get(id string) coap.Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// gone notes that a session is over.
func (t *sessions) gone(id string, s coap.Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[id] == s {
		delete(t.byID, id)
	}
}

// end ends the session of an association, after the response under way.
func (t *sessions) end(id string) {
	if s := t.get(id); s != nil {
		t.gone(id, s)
		s.End()
	}
}

// SessionHandler serves the Group Manager's resources to DTLS sessions, whose
// peers the listener has from [Server.Identify].
func (s *Server) SessionHandler() coap.Handler {
	blocks := coap.NewBlockServer(coap.BlockLimits{}, s.cfg.Now)
	return blocks.Wrap(understanding(s.serveSession))
}

// serveSession answers a request that came over a DTLS session. When the token has
// expired the answer is 4.01 and the session ends. RFC 9202, Sections 3.4 and 5.
func (s *Server) serveSession(ctx context.Context, req *coap.Request) *coap.Message {
	if req.Peer.Kind != coap.PeerDTLS {
		return s.unauthorized()
	}
	a, err := s.association(ctx, req.Peer.Name)
	if err != nil {
		return s.broken("association", err)
	}
	if a == nil || s.expired(a) {
		s.sessions.end(req.Peer.Name)
		return s.unauthorized()
	}
	return s.serve(ctx, req)
}

func (s *Server) expired(a *associationRecord) bool { return uint64(s.cfg.Now().Unix()) >= a.Expires }

// Identify implements [coap.Identities]: the psk_identity is the identifier of a
// key whose token was uploaded, or a token. It writes nothing: a token is stored
// when the handshake has proven its key. RFC 9202, Section 3.3.2.
func (s *Server) Identify(ctx context.Context, identity []byte) (*coap.Identity, error) {
	kid, token, err := ace.ParsePSKIdentity(identity)
	if err != nil {
		return nil, refused(err)
	}
	var claims *ace.CWTClaims
	if token != nil {
		var refusal *coap.Message
		if claims, refusal = s.verify(token); refusal != nil || profileOf(claims) != ace.ProfileDTLS || claims.CNF.COSEKey == nil {
			return nil, refused(errNoKey)
		}
		kid = claims.CNF.COSEKey.KID
	}
	var a *associationRecord
	err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		a, err = load[associationRecord](tx, associationKey(sessionID(kid)))
		return err
	})
	if err != nil {
		return nil, err
	}
	if token != nil {
		a, err = s.revise(a, claims, token, true)
	} else if a == nil || s.expired(a) {
		err = errExpired
	}
	if err != nil {
		return nil, refused(err)
	}
	id := a.ID
	return &coap.Identity{
		Key:   a.PSK,
		Begin: func(ctx context.Context, sess coap.Session) (coap.Peer, error) { return s.begin(ctx, id, token, sess) },
		Ended: func(sess coap.Session) { s.sessions.gone(id, sess) },
	}, nil
}

func refused(err error) error { return fmt.Errorf("%w: %w", coap.ErrIdentity, err) }

// begin takes a session over, and stores the token that came as psk_identity: then
// N_S is exported from the session. KGO, Section 6.1.1.
func (s *Server) begin(ctx context.Context, id string, token []byte, sess coap.Session) (coap.Peer, error) {
	if token != nil {
		ns, err := sess.Export(ace.ExporterPoPInput, ace.ExporterPoPLen)
		if err != nil {
			return coap.Peer{}, err
		}
		claims, refusal := s.verify(token)
		if refusal != nil {
			return coap.Peer{}, errExpired
		}
		if _, err := s.admitToken(ctx, claims, token, true, func(_ store.Tx, a *associationRecord) error {
			a.NS = ns
			return nil
		}); err != nil {
			return coap.Peer{}, err
		}
	}
	s.sessions.put(id, sess)
	if a, err := s.association(ctx, id); err != nil || a == nil || s.expired(a) { // it ended during the handshake
		s.sessions.gone(id, sess)
		return coap.Peer{}, cmp.Or(err, errExpired)
	}
	s.log.Info("a DTLS session has begun", "association", id)
	return coap.Peer{Kind: coap.PeerDTLS, Name: id}, nil
}

// upload answers a token of the DTLS profile that is posted without protection.
// The same token again changes nothing: who recorded it may post it, too. RFC 9202,
// Section 3.3.2.
func (s *Server) upload(ctx context.Context, body *ace.AuthzInfoRequest, claims *ace.CWTClaims) *coap.Message {
	if claims.CNF.COSEKey.Symmetric() && !s.transfers.allow(sessionID(claims.CNF.COSEKey.KID), s.cfg.Now()) {
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
	s.log.Info("accepted a token", "subject", a.Subject, "actor", a.Actor, "association", a.ID)
	return coap.Respond(coap.Created, ace.FormatACE, ace.Encode(resp))
}

// admitToken stores a token of the DTLS profile and returns its association as it
// is then; also does more in the same transaction, before the association is
// written.
func (s *Server) admitToken(ctx context.Context, claims *ace.CWTClaims, token []byte, proven bool, also func(store.Tx, *associationRecord) error) (a *associationRecord, err error) {
	if !claims.CNF.COSEKey.Symmetric() {
		return nil, errNoKey
	}
	var dropped []*associationRecord
	var ended bool
	err = s.commit(ctx, "authz-info", func(tx store.Tx) error {
		dropped, ended = nil, false
		old, err := load[associationRecord](tx, associationKey(sessionID(claims.CNF.COSEKey.KID)))
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
			return a.save(tx)
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
	key := claims.CNF.COSEKey
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
	a.Hash, a.Issued = hash, claims.IAT
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
	claims, refusal := s.verify(body.AccessToken)
	if refusal != nil {
		return denied
	}
	if claims.CNF.COSEKey == nil && claims.CNF.KID != nil { // names the key, too
		claims.CNF.COSEKey = ace.SymmetricKey(claims.CNF.KID, nil)
	}
	var resp *ace.AuthzInfoResponse
	err := s.commit(ctx, "update rights", func(tx store.Tx) error {
		resp = nil
		old, err := load[associationRecord](tx, associationKey(id))
		if err != nil || old == nil || claims.CNF.COSEKey == nil || sessionID(claims.CNF.COSEKey.KID) != id {
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
		return a.save(tx)
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

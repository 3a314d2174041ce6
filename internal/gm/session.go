package gm

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"sync"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/store"
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
	if a == nil || a.Revoked || s.expired(a) {
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
		if claims, refusal = s.verify(ctx, token); refusal != nil || profileOf(claims) != ace.ProfileDTLS || !keyOf(claims).Symmetric() {
			return nil, refused(errNoKey)
		}
		kid = keyOf(claims).KID
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
	} else if a == nil || a.Revoked || s.expired(a) {
		err = errExpired
	}
	if err != nil {
		return nil, refused(err)
	}
	id := a.ID
	return &coap.Identity{
		Key: a.PSK,
		Begin: func(ctx context.Context, sess coap.Session) (coap.Peer, error) {
			return s.begin(ctx, id, a.PSK, token, sess)
		},
		Ended: func(sess coap.Session) { s.sessions.gone(id, sess) },
	}, nil
}

func refused(err error) error { return fmt.Errorf("%w: %w", coap.ErrIdentity, err) }

// stands checks that an association has not ended during a handshake, nor got
// another key than the one that was proven.
func (s *Server) stands(ctx context.Context, id string, proven cose.Secret) error {
	a, err := s.association(ctx, id)
	if err != nil || a == nil || a.Revoked || s.expired(a) || subtle.ConstantTimeCompare(a.PSK, proven) != 1 {
		return cmp.Or(err, errExpired)
	}
	return nil
}

// begin takes a session over, and stores the token that came as psk_identity: then
// N_S is exported from the session. KGO, Section 6.1.1.
func (s *Server) begin(ctx context.Context, id string, proven cose.Secret, token []byte, sess coap.Session) (coap.Peer, error) {
	if token != nil {
		ns, err := sess.Export(ace.ExporterPoPInput, ace.ExporterPoPLen)
		if err != nil {
			return coap.Peer{}, err
		}
		claims, refusal := s.verify(ctx, token)
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
	if err := s.stands(ctx, id, proven); err != nil {
		return coap.Peer{}, err
	}
	s.sessions.put(id, sess)
	if err := s.stands(ctx, id, proven); err != nil { // who ends it from now on finds the session
		s.sessions.gone(id, sess)
		return coap.Peer{}, err
	}
	s.log.Info("a DTLS session has begun", "association", id)
	return coap.Peer{Kind: coap.PeerDTLS, Name: id}, nil
}

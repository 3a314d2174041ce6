package gm

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

const (
	challengeLen = 8 // N2, N_S, N_KDC

	minNonce, maxNonce = 8, 32 // N1 and N_C of clients
	maxRecipientID     = 7     // ID1: nonce length 13 less 6
	maxTransfer        = 8192  // of a token with what goes with it; bytes
	maxSubject         = 200
	maxInputID         = 64
	minSecret, maxBin  = 16, 64 // ms; salt, contextId
)

// authzInfo answers /authz-info, the one resource that takes unprotected
// requests: it checks a token, makes an association of it and says what the
// token's groups use. RFC 9200, Section 5.10.1; RFC 9202, Section 3.3.2; RFC 9203,
// Section 4.2; RFC 9594, Section 3.3.
func (s *Server) authzInfo(ctx context.Context, req *coap.Request) *coap.Message {
	if req.Code != coap.POST {
		return coap.Problem(coap.MethodNotAllowed, "Tokens are posted here.")
	}
	if len(req.Payload) > maxTransfer { // before anybody looks into it
		return coap.Problem(coap.RequestEntityTooLarge, "A token transfer has at most 8192 bytes.")
	}
	body, refusal := transferOf(req)
	if refusal != nil {
		return refusal
	}
	if associated(req.Peer) {
		return s.update(ctx, req.Peer, body)
	}
	claims, refusal := s.verify(ctx, body.AccessToken)
	if refusal != nil {
		return refusal
	}
	if profileOf(claims) == ace.ProfileDTLS {
		return s.upload(ctx, body, claims)
	}
	if refusal := checkTransfer(body, claims); refusal != nil {
		return refusal
	}
	if !s.transfers.allow(string(claims.CNF.OSCORE.ID), s.cfg.Now()) {
		return coap.Problem(coap.TooManyRequests, "This token was transferred too often; wait a minute.")
	}
	return s.accept(ctx, body, claims)
}

// verify checks a token in the order of RFC 9200, Section 5.10.1.1.
func (s *Server) verify(ctx context.Context, token []byte) (*ace.CWTClaims, *coap.Message) {
	claims, err := ace.OpenToken(s.cfg.TokenKey, token)
	switch {
	case errors.Is(err, ace.ErrDecode):
		return nil, coap.Problem(coap.BadRequest, "The token is malformed.")
	case err != nil:
		return nil, coap.Problem(coap.Unauthorized, "The token is not from an Authorization Server that is trusted here.")
	case s.cfg.Issuer != "" && claims.ISS != s.cfg.Issuer:
		return nil, coap.Problem(coap.Unauthorized, "The token's issuer is not trusted here.")
	case claims.Expired(s.cfg.Now()):
		return nil, coap.Problem(coap.Unauthorized, "The token has expired or is not valid yet.")
	case claims.AUD != s.cfg.Audience:
		return nil, coap.Problem(coap.Forbidden, "The token is for another audience.")
	}
	if _, err := ace.ParseScope(claims.Scope.Scope); err != nil {
		return nil, coap.Problem(coap.BadRequest, "The token's scope is not understood here.")
	}
	if claims.CNF == nil || len(claims.SUB) > maxSubject {
		return nil, coap.Problem(coap.BadRequest, "The token has no confirmation or too long a subject.")
	}
	revoked, err := s.isRevoked(ctx, ace.TokenHash(token), claims.EXP)
	if err == nil && !revoked {
		err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
			revoked, err = isOut(tx, claims.SUB)
			return err
		})
	}
	switch {
	case err != nil:
		return nil, s.broken("authz-info", err)
	case revoked:
		return nil, coap.Problem(coap.Unauthorized, "The token was revoked.")
	}
	return claims, nil
}

// checkTransfer checks what the OSCORE profile needs. RFC 9203, Section 4.2.
func checkTransfer(body *ace.AuthzInfoRequest, claims *ace.CWTClaims) *coap.Message {
	m := claims.CNF.OSCORE
	switch {
	case m == nil:
		return coap.Problem(coap.BadRequest, "The token has no OSCORE input material.")
	case len(m.ID) > maxInputID, len(m.MasterSecret) < minSecret, len(m.MasterSecret) > maxBin,
		len(m.Salt) > maxBin, len(m.ContextID) > maxBin:
		return coap.Problem(coap.BadRequest, "The token's OSCORE input material is out of bounds.")
	case m.HKDF != 0 && m.HKDF != cose.HMAC256, m.Alg != 0 && m.Alg != cose.AESCCM16_64_128:
		return coap.Problem(coap.BadRequest, "The token's algorithms are not built here.")
	case len(body.Nonce1) < minNonce || len(body.Nonce1) > maxNonce:
		return coap.Problem(coap.BadRequest, "The token transfer needs a nonce of 8 to 32 bytes.")
	case body.ID1 == nil || len(body.ID1) > maxRecipientID:
		return coap.Problem(coap.BadRequest, "The token transfer needs a Recipient ID of at most 7 bytes.")
	}
	return nil
}

// accept makes the association, durably, and answers.
func (s *Server) accept(ctx context.Context, body *ace.AuthzInfoRequest, claims *ace.CWTClaims) *coap.Message {
	n2, err := s.random(challengeLen)
	if err != nil {
		return s.broken("authz-info", err)
	}
	a, err := s.newAssociation(body, claims, n2)
	if err != nil {
		return s.broken("authz-info", err)
	}
	var resp *ace.AuthzInfoResponse
	var dropped []*associationRecord
	err = s.commit(ctx, "authz-info", func(tx store.Tx) error {
		if dropped, err = s.insert(tx, a); err != nil {
			return err
		}
		resp, err = s.transferred(tx, a, body)
		return err
	})
	if err != nil {
		return s.broken("authz-info", err)
	}
	s.drop(dropped)
	if err := s.addContext(a, oscore.NewSequence(0, &reserver{s: s, id: a.ID}), false); err != nil {
		return s.broken("authz-info", err)
	}
	s.count(EventToken)
	s.log.Info("accepted a token", "subject", a.Subject, "actor", a.Actor, "association", a.ID)
	resp.Nonce2, resp.ID2 = n2, a.RecipientID
	return coap.Respond(coap.Created, ace.FormatACE, ace.Encode(resp))
}

func (s *Server) newAssociation(body *ace.AuthzInfoRequest, claims *ace.CWTClaims, n2 []byte) (*associationRecord, error) {
	m := claims.CNF.OSCORE
	a := &associationRecord{
		Token: m.ID, Subject: claims.SUB, Thumbprint: claims.CredThumbprint, Actor: claims.Actor,
		Scope: claims.Scope.Scope, Expires: claims.EXP, Hash: ace.TokenHash(body.AccessToken), Issued: claims.IAT,
		MasterSecret: m.MasterSecret, MasterSalt: ace.MasterSalt(m.Salt, body.Nonce1, n2),
		IDContext: m.ContextID, SenderID: body.ID1,
	}
	if a.Subject == "" { // every token then stands for a client of its own
		a.Subject = "token " + hex.EncodeToString(m.ID)
	}
	if !needsChallenge(a) {
		return a, nil
	}
	ns, err := s.random(challengeLen)
	a.NS = ns
	return a, err
}

// needsChallenge reports whether any role that the token grants takes a proof of
// possession. KGO, Section 5.3.
func needsChallenge(a *associationRecord) bool {
	scope, err := ace.ParseScope(a.Scope)
	for _, e := range scope.Users {
		if e.Roles.NeedsCredential() {
			return true
		}
	}
	return err != nil
}

// updateRights replaces the token of an association by one that confirms the same
// input material. RFC 9203, Section 4.2.
func (s *Server) updateRights(ctx context.Context, id string, token []byte) *coap.Message {
	denied := coap.Problem(coap.Unauthorized, "The token does not update this association.")
	claims, refusal := s.verify(ctx, token)
	if refusal != nil || claims.CNF.KID == nil {
		return denied
	}
	updated := false
	err := s.commit(ctx, "update rights", func(tx store.Tx) error {
		updated = false
		a, err := load[associationRecord](tx, associationKey(id))
		if err != nil || a == nil || !bytes.Equal(claims.CNF.KID, a.Token) {
			return err
		}
		if claims.SUB != "" && claims.SUB != a.Subject || claims.IAT < a.Issued { // what was taken away does not come back
			return nil
		}
		old := *a
		a.Thumbprint, a.Actor = claims.CredThumbprint, claims.Actor
		a.Scope, a.Expires, a.Hash, a.Issued = claims.Scope.Scope, claims.EXP, ace.TokenHash(token), claims.IAT
		if a.NS == nil && needsChallenge(a) {
			if a.NS, err = s.random(challengeLen); err != nil {
				return err
			}
		}
		updated = true
		return s.revised(tx, a, &old)
	})
	if err != nil {
		return s.broken("authz-info", err)
	}
	if !updated {
		return denied
	}
	return coap.Respond(coap.Created, coap.NoFormat, nil)
}

// broken is the answer when the Group Manager itself fails. What failed is
// logged, not told.
func (s *Server) broken(what string, err error) *coap.Message {
	s.log.Error("cannot serve a request", "resource", what, "err", err)
	return coap.Problem(coap.InternalServerError, "The Group Manager cannot do this now.")
}

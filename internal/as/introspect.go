package as

import (
	"context"
	"errors"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// resourceServer is the peer of a Group Manager's session, as [coap.Peer.Data].
type resourceServer struct{ audience string }

// openResourceServers opens the sessions of the Group Managers.
func (s *Server) openResourceServers() {
	for audience, key := range s.cfg.GMs {
		s.psk.Set(requesterRS+audience, ace.RSSession(key, audience), resourceServer{audience})
	}
}

// maxToken bounds a token that is looked at, in bytes.
const maxToken = 8192

// introspect answers POST /introspect for a Group Manager about tokens of its own
// audience, and for an administrator about all: 2.01 with what the token grants,
// or that it is not active. An administrator is not told the key, with which it could
// act as somebody else. Somebody else who is known here gets 4.03 without payload.
// RFC 9200, Section 5.9.
func (s *Server) introspect(ctx context.Context, req *coap.Request) *coap.Message {
	who, err := s.requester(ctx, req)
	switch {
	case err != nil:
		return s.broken("introspect", err)
	case who == "":
		return s.refuse(coap.Unauthorized, ace.ErrorInvalidClient)
	}
	rs, isRS := req.Peer.Data.(resourceServer)
	if !isRS && who != requesterAdmin {
		return coap.Respond(coap.Forbidden, coap.NoFormat, nil)
	}
	format, has := coap.ContentFormat(req.Message)
	body, err := ace.Decode[ace.IntrospectionRequest](req.Payload)
	if err != nil || has && format != ace.FormatACE || len(body.Token) > maxToken {
		return s.refuse(coap.BadRequest, ace.ErrorInvalidRequest)
	}
	claims := s.open(body.Token)
	if claims != nil && isRS && claims.AUD != rs.audience {
		return coap.Respond(coap.Forbidden, coap.NoFormat, nil)
	}
	revoked, err := s.isRevoked(ctx, body.Token)
	if err != nil {
		return s.broken("introspect", err)
	}
	answer := ace.IntrospectionResponse{}
	if claims != nil && !revoked && !claims.Expired(s.cfg.Now()) {
		answer = ace.Introspection(claims)
		if !isRS {
			answer.CNF = nil
		}
	}
	return coap.Respond(coap.Created, ace.FormatACE, ace.Encode(answer))
}

// open opens a token that was issued here; nil for anything else.
func (s *Server) open(token []byte) *ace.CWTClaims {
	for audience, key := range s.cfg.GMs {
		claims, err := ace.OpenToken(key, token)
		if errors.Is(err, ace.ErrDecode) {
			return nil
		}
		if err == nil && claims.ISS == s.cfg.Issuer && claims.AUD == audience {
			return claims
		}
	}
	return nil
}

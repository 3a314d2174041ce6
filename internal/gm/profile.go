package gm

import (
	"context"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// A token becomes an association by one of the profiles of ACE. What comes over
// it is served the same way, whatever the profile is: the two differ in how a
// request proves whose it is, and in how the Group Manager reaches the peer.
//
//	OSCORE  RFC 9203  kid → context (contexts.go), opened by opener.go
//	DTLS    RFC 9202  session → peer (dtls.go), opened below the handler

// understanding is a handler of the Group Manager's resources with the critical
// options that they know.
func understanding(serve coap.HandlerFunc) coap.Handler {
	return coap.Understanding(serve, coap.OptionIfMatch)
}

// associated reports whether a request came over an association, and Peer.Name is
// the association's id.
func associated(p coap.Peer) bool { return p.Kind == coap.PeerACE || p.Kind == coap.PeerDTLS }

// profileOf says by which profile a token is meant to be used: the one that it
// names, or else the one that its confirmation fits.
func profileOf(c *ace.CWTClaims) int {
	if c.Profile == 0 && c.CNF.OSCORE == nil && c.CNF.COSEKey != nil {
		return ace.ProfileDTLS
	}
	if c.Profile == 0 {
		return ace.ProfileOSCORE
	}
	return c.Profile
}

// transferOf reads a Token Transfer Request: a map, or where the profile needs
// nothing else the token itself. RFC 9200, Section 5.10.1.
func transferOf(req *coap.Request) (*ace.AuthzInfoRequest, *coap.Message) {
	switch format, _ := coap.ContentFormat(req.Message); format {
	case ace.FormatCWT:
		if len(req.Payload) == 0 {
			return nil, coap.Problem(coap.BadRequest, "There is no token.")
		}
		return &ace.AuthzInfoRequest{AccessToken: req.Payload}, nil
	case ace.FormatACE:
		body, err := ace.Decode[ace.AuthzInfoRequest](req.Payload)
		if err != nil || body.AccessToken == nil {
			return nil, coap.Problem(coap.BadRequest, "The token transfer is malformed.")
		}
		return body, nil
	}
	return nil, coap.Problem(coap.BadRequest, "A token comes in application/ace+cbor or application/cwt.")
}

// update replaces the token of the association that a request came over.
func (s *Server) update(ctx context.Context, peer coap.Peer, body *ace.AuthzInfoRequest) *coap.Message {
	if peer.Kind == coap.PeerDTLS {
		return s.updateSession(ctx, peer.Name, body)
	}
	return s.updateRights(ctx, peer.Name, body.AccessToken)
}

// transferred answers a token transfer with the challenge and with what the
// client asked about the token's groups. RFC 9594, Section 3.3.
func (s *Server) transferred(tx store.Tx, a *associationRecord, body *ace.AuthzInfoRequest) (*ace.AuthzInfoResponse, error) {
	resp := &ace.AuthzInfoResponse{KDCChallenge: a.NS}
	about, err := s.groupInfo(tx, a.groups())
	about.tell(resp, body)
	return resp, err
}

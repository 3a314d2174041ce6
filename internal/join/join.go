// Package join is the client's side of joining an OSCORE group: the token from
// the Authorization Server, its transfer to the Group Manager, the proof of
// possession, the Join Request and the checks on its answer, and afterwards the
// small client with which a member keeps its keys current.
//
// Documents: RFC 9200, RFC 9202 (pre-shared keys), RFC 9203, RFC 9594 and
// draft-ietf-ace-key-groupcomm-oscore-21 ("KGO"). Handled are groups with either
// mode or both and all algorithms and formats of credentials that packages group
// and cose have, as a requester, responder, monitor or signature verifier.
//
// The steps come apart because an assisted join spreads them over two machines:
// a device offers and proves, the installer's browser carries. [Self] runs all of
// them for a node that joins by itself. It does not know how its requests are
// protected: a [Profile] makes a token an association.
package join

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// Answer is a Join Response with what its headers said.
type Answer struct {
	Raw      []byte            // the payload as the Group Manager sent it
	NodePath string            // "/ace-group/hall/nodes/n3"
	Rejoined bool              // 2.04: the node was a member already
	Response *ace.JoinResponse // Raw, decoded but not verified: see [Accept]
}

// Token asks the Authorization Server for a token. It fails with an
// [*ASError] when the server refuses. RFC 9200, Section 5.8.
func Token(ctx context.Context, as coap.Caller, req ace.TokenRequest) (*ace.TokenResponse, error) {
	m := coap.NewRequest(coap.POST, "/token", ace.Encode(req))
	coap.AddUint(m, coap.OptionContentFormat, ace.FormatACE)
	resp, err := as.Call(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("asking for a token: %w", err)
	}
	if err := checkAS(resp); err != nil {
		return nil, fmt.Errorf("asking for a token: %w", err)
	}
	tok, err := decode[ace.TokenResponse](resp, ace.FormatACE)
	if err != nil {
		return nil, fmt.Errorf("reading a token: %w", err)
	}
	if want := cmp.Or(req.Profile.Profile, ace.ProfileOSCORE); tok.ExpiresIn == 0 || tok.Profile != 0 && tok.Profile != want {
		return nil, fmt.Errorf("reading a token: %w: without a lifetime or of another profile", ErrDecode)
	}
	return tok, nil
}

// Join sends a Join Request over the association with the Group Manager. It
// fails with a [*ChallengeError] when the Group Manager wants the proof over
// another challenge, and with a [*GMError] when it refuses. KGO, Sections 6.1
// and 6.2.1.
func Join(ctx context.Context, gm coap.Caller, group string, req ace.JoinRequest) (*Answer, error) {
	if !ace.ValidGroupName(group) {
		return nil, fmt.Errorf("joining: %q cannot be a group's name", group)
	}
	return post(ctx, gm, group, ace.Encode(req))
}

// Challenge asks the Group Manager for a new challenge and for what the group
// uses, by an empty Join Request. KGO, Section 6.2.
func Challenge(ctx context.Context, gm coap.Caller, group string) (*ChallengeError, error) {
	_, err := post(ctx, gm, group, nil)
	if c, ok := asChallenge(err); ok {
		return c, nil
	}
	if err == nil {
		err = fmt.Errorf("asking for a challenge: %w", ErrDecode)
	}
	return nil, err
}

func post(ctx context.Context, gm coap.Caller, group string, payload []byte) (*Answer, error) {
	m := coap.NewRequest(coap.POST, "/ace-group/"+group, payload)
	if payload != nil {
		coap.AddUint(m, coap.OptionContentFormat, ace.FormatACEGroupcomm)
	}
	resp, err := gm.Call(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("joining %s: %w", group, err)
	}
	if c := challengeOf(resp); c != nil {
		return nil, fmt.Errorf("joining %s: %w", group, c)
	}
	if err := checkGM(resp); err != nil {
		return nil, fmt.Errorf("joining %s: %w", group, err)
	}
	return readAnswer(resp, group)
}

// challengeOf reads the 4.00 that carries a new challenge; nil for any other
// answer.
func challengeOf(m *coap.Message) *ChallengeError {
	if m.Code != coap.BadRequest {
		return nil
	}
	hints, err := decode[ace.JoinHints](m, ace.FormatACEGroupcomm)
	if err != nil || len(hints.KDCChallenge) == 0 {
		return nil
	}
	return &ChallengeError{NS: hints.KDCChallenge, SignInfo: hints.SignInfo, ECDHInfo: hints.ECDHInfo, DHCreds: hints.KDCDHCreds}
}

// readAnswer reads a success: 2.01 for a new member, 2.04 for one that was a
// member, each with the path of its node. RFC 9594, Section 4.3.1.
func readAnswer(m *coap.Message, group string) (*Answer, error) {
	if m.Code != coap.Created && m.Code != coap.Changed {
		return nil, fmt.Errorf("joining %s: %w: answer %s", group, ErrDecode, coap.CodeString(m.Code))
	}
	r, err := decode[ace.JoinResponse](m, ace.FormatACEGroupcomm)
	if err != nil {
		return nil, fmt.Errorf("joining %s: %w", group, err)
	}
	path := ""
	for segment := range coap.Each(m, coap.OptionLocationPath) {
		path += "/" + string(segment)
	}
	if !ValidNodePath(group, path) {
		return nil, fmt.Errorf("joining %s: %w: Location-Path", group, ErrDecode)
	}
	return &Answer{Raw: m.Payload, NodePath: path, Rejoined: m.Code == coap.Changed, Response: r}, nil
}

// ValidNodePath reports whether path is that of a node of the group at a Group
// Manager with the default root, "/ace-group/hall/nodes/n3".
func ValidNodePath(group, path string) bool {
	node, ok := strings.CutPrefix(path, "/ace-group/"+group+"/nodes/")
	return ok && ace.ValidGroupName(group) && ace.ValidGroupName(node) // a segment like any other
}

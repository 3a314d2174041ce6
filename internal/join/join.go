// Package join is the client's side of joining an OSCORE group: the token from
// the Authorization Server, its transfer to the Group Manager, the proof of
// possession, the Join Request and the checks on its answer, and afterwards the
// small client with which a member keeps its keys current.
//
// Documents: RFC 9200, RFC 9203, RFC 9594 and
// draft-ietf-ace-key-groupcomm-oscore-21 ("KGO"). Groups whose credentials are
// CCS with Ed25519 keys are handled; pairwise-only groups, monitors' special
// rights and the resources of signature verifiers are not built.
//
// The steps come apart because an assisted join spreads them over two machines:
// a device offers and proves, the installer's browser carries. [Self] runs all of
// them for a node that joins by itself.
package join

import (
	"context"

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
	panic("not built yet")
}

// Join sends a Join Request over the association with the Group Manager. It
// fails with a [*ChallengeError] when the Group Manager wants the proof over
// another challenge, and with a [*GMError] when it refuses. KGO, Sections 6.1
// and 6.2.1.
func Join(ctx context.Context, gm coap.Caller, group string, req ace.JoinRequest) (*Answer, error) {
	panic("not built yet")
}

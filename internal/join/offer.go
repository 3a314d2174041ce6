package join

import (
	"crypto/ed25519"
	"io"

	"lamplighter/internal/ace"
)

// Offer is what a joining node commits to before it knows the Group Manager's
// challenge. In an assisted join the device makes it and keeps it until it is
// asked for the proof, so that nobody else chooses what it signs.
type Offer struct {
	Scope []byte `cbor:"1,keyasint"` // the Join Request's scope: [group, roles]
	NC    []byte `cbor:"2,keyasint"` // N_C, 8 random bytes
	Cred  []byte `cbor:"3,keyasint"` // the authentication credential, as distributed
}

// NewOffer makes an offer with a fresh N_C. It panics when rand fails.
func NewOffer(group string, roles ace.Role, cred []byte, rand io.Reader) Offer {
	nc := make([]byte, nonceLen)
	if _, err := io.ReadFull(rand, nc); err != nil {
		panic("no randomness: " + err.Error())
	}
	return Offer{Scope: ace.EncodeJoinScope(ace.ScopeEntry{Group: group, Roles: roles}), NC: nc, Cred: cred}
}

// Prove signs the PoP input over the offer and the Group Manager's challenge N_S:
// the value of client_cred_verify. KGO, Section 6.1.
func (o Offer) Prove(key ed25519.PrivateKey, ns []byte) []byte {
	return ed25519.Sign(key, ace.PoPInput(o.Scope, ns, o.NC))
}

// Request makes the Join Request of the offer. proof is what Prove returned; nil
// leaves it out. getCreds asks for the credentials of all members that matter to
// the roles.
func (o Offer) Request(proof []byte, getCreds bool) ace.JoinRequest {
	return ace.JoinRequest{
		Scope: o.Scope, CNonce: o.NC, ClientCred: o.Cred, ClientCredVerify: proof,
		GetCreds: ace.GetCreds{Relevant: getCreds},
	}
}

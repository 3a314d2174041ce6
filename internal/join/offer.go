package join

import (
	"crypto/ed25519"
	"fmt"
	"io"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
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
// the value of client_cred_verify in a group that signs with Ed25519. KGO, Section
// 6.1.
func (o Offer) Prove(key ed25519.PrivateKey, ns []byte) []byte {
	return ed25519.Sign(key, ace.PoPInput(o.Scope, ns, o.NC))
}

// ProveWith makes the proof with a key of any kind. dhCred is nil where the group
// has signatures; else it is the Group Manager's credential that [Info.DHCred]
// gives, a CCS, and the proof is a MAC under the secret of both keys. That credential need
// not be trusted yet: the secret is of no use for anything else. It fails with
// [ErrAlgorithm] when the two keys do not agree. KGO, Section 6.1.
func (o Offer) ProveWith(key cose.PrivateKey, ns, dhCred []byte) ([]byte, error) {
	return o.prove(key, ns, dhCred, cose.KCCS)
}

// proveIn is ProveWith by what the Group Manager said about a group.
func (o Offer) proveIn(name string, key cose.PrivateKey, ns []byte, info Info) ([]byte, error) {
	dhCred, format := info.dhCred(name)
	return o.prove(key, ns, dhCred, format)
}

func (o Offer) prove(key cose.PrivateKey, ns, dhCred []byte, format cose.Format) ([]byte, error) {
	input := ace.PoPInput(o.Scope, ns, o.NC)
	if dhCred == nil {
		proof, err := key.Sign(input)
		if err != nil {
			return nil, fmt.Errorf("%w: the own key makes no signatures", ErrAlgorithm)
		}
		return proof, nil
	}
	mac, err := macOf(key, format, dhCred, input)
	if err != nil {
		return nil, fmt.Errorf("%w: the own key and the Group Manager's do not agree", ErrAlgorithm)
	}
	return mac, nil
}

// macOf is the proof of both sides in a pairwise-only group.
func macOf(key cose.PrivateKey, format cose.Format, gmCred, input []byte) ([]byte, error) {
	cred, err := format.Parse(gmCred)
	if err != nil {
		return nil, err
	}
	shared, err := key.SharedSecret(cred.Public)
	if err != nil {
		return nil, err
	}
	return ace.PoPMAC(shared, input), nil
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

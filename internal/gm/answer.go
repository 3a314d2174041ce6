package gm

import (
	"crypto/ed25519"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore/group"
)

// COSE capabilities of the algorithms that are built. RFC 9053, Section 8.
const (
	ktyOKP     = 1
	crvX25519  = 4
	crvEd25519 = 6
)

func signInfo(algs group.Algorithms, names ...string) ace.SignInfo {
	return ace.SignInfo{
		Groups: names, Alg: int(algs.Sign), Params: []int{ktyOKP},
		KeyParams: []int{ktyOKP, crvEd25519}, CredFmt: ace.CredFormatCCS,
	}
}

func ecdhInfo(algs group.Algorithms, names ...string) ace.ECDHInfo {
	return ace.ECDHInfo{
		Groups: names, Alg: int(algs.Pairwise), Params: []int{ktyOKP},
		KeyParams: []int{ktyOKP, crvX25519}, CredFmt: ace.CredFormatCCS,
	}
}

// keyMaterial is the `key` of a group with both modes; sid is nil where it must
// not be. KGO, Section 6.3.
func (g *groupRecord) keyMaterial(sid []byte) ace.KeyMaterial {
	return ace.KeyMaterial{
		MasterSecret: g.MasterSecret, Salt: g.MasterSalt, GID: g.GID, SenderID: sid,
		CredFmt:  ace.CredFormatCCS,
		Alg:      g.Algs.AEAD,
		GpEncAlg: g.Algs.GroupEnc, SignAlg: g.Algs.Sign, SignParams: [][]int{{ktyOKP}, {ktyOKP, crvEd25519}},
		ECDHAlg: g.Algs.Pairwise, ECDHParams: [][]int{{ktyOKP}, {ktyOKP, crvX25519}},
	}
}

// keyResponse answers a Key Distribution Request. KGO, Section 9.1.
func (x *exchange) keyResponse(sid []byte) *coap.Message {
	return groupcomm(coap.Content, ace.KeyResponse{
		GKTY: ace.GKTYGroupOSCORE, Key: x.group.keyMaterial(sid), Num: x.group.Num,
		Profile: ace.ProfileCoAPGroupOSCOREApp, EXP: x.group.Expires, EXI: x.secondsLeft(),
	})
}

// joinResponse is the answer to a Join Request, with the Group Manager's proof of
// possession over the joining node's N_C. KGO, Section 6.3.
func (x *exchange) joinResponse(m *memberRecord) (*ace.JoinResponse, error) {
	proof, err := x.prove(m.NC)
	if err != nil {
		return nil, err
	}
	g := x.group
	return &ace.JoinResponse{
		GKTY: ace.GKTYGroupOSCORE, Key: g.keyMaterial(m.SenderID), Num: g.Num,
		Profile: ace.ProfileCoAPGroupOSCOREApp, EXP: g.Expires, EXI: x.secondsLeft(),
		Policies: x.policies(),
		KDCCred:  proof.KDCCred, KDCNonce: proof.KDCNonce, KDCCredVerify: proof.KDCCredVerify,
	}, nil
}

// prove signs a client's nonce and a fresh one. KGO, Section 6.3.
func (x *exchange) prove(nc []byte) (*ace.KDCCredResponse, error) {
	nonce, err := x.s.random(challengeLen)
	if err != nil {
		return nil, err
	}
	return &ace.KDCCredResponse{
		KDCCred: x.s.cfg.Credential, KDCNonce: nonce,
		KDCCredVerify: ed25519.Sign(x.s.cfg.Key, ace.KDCPoPInput(nc, nonce)),
	}, nil
}

func (x *exchange) policies() ace.GroupPolicies {
	return ace.GroupPolicies{CheckInterval: x.group.CheckInterval, ExpirationDelta: x.group.ExpirationDelta}
}

// secondsLeft is exi: how long the keys still live.
func (x *exchange) secondsLeft() uint64 {
	now := uint64(x.now.Unix())
	if now >= x.group.Expires {
		return 0
	}
	return x.group.Expires - now
}

// joinHints is the 4.00 that tells a joining node what to send. fresh, when not
// nil, is the new N_S. KGO, Section 6.2.
func (x *exchange) joinHints(fresh []byte) *coap.Message {
	return groupcomm(coap.BadRequest, ace.JoinHints{
		SignInfo:     []ace.SignInfo{signInfo(x.group.Algs, x.group.Name)},
		ECDHInfo:     []ace.ECDHInfo{ecdhInfo(x.group.Algs, x.group.Name)},
		KDCChallenge: fresh,
	})
}

func groupcomm(code coap.Code, v any) *coap.Message {
	return coap.Respond(code, ace.FormatACEGroupcomm, ace.Encode(v))
}

// bare answers with one CBOR item that is not a map.
func bare(v any) *coap.Message {
	return coap.Respond(coap.Content, ace.FormatCBOR, ace.Encode(v))
}

// nothing is the answer where a filter finds nobody. RFC 9594, Section 4.4.1.
func nothing() *coap.Message { return bare([]byte{}) }

func notMember() *coap.Message {
	return ace.Problem(coap.Forbidden, ace.ErrorMembersOnly, "")
}

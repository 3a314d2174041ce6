package gm

import (
	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// keyMaterial is the `key` of the group; sid is nil where it must not be. What
// belongs to a mode that the group does not use is absent. KGO, Section 6.3.
func (g *groupRecord) keyMaterial(sid []byte) ace.KeyMaterial {
	key := ace.KeyMaterial{
		MasterSecret: g.MasterSecret, Salt: g.MasterSalt, GID: g.GID, SenderID: sid, CredFmt: ace.CredFormatCCS,
	}
	if g.Algs.HKDF != cose.HMAC256 {
		key.HKDF = g.Algs.HKDF
	}
	if g.Algs.HasGroupMode() {
		key.GpEncAlg, key.SignAlg, key.SignParams = g.Algs.GroupEnc, g.Algs.Sign, ace.SignParams(g.Algs.Sign)
	}
	if g.Algs.HasPairwiseMode() {
		key.Alg, key.ECDHAlg, key.ECDHParams = g.Algs.AEAD, g.Algs.Pairwise, ace.ECDHParams(g.Curve)
	}
	return key
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
	proof, err := x.prove(m.NC, m.Cred)
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

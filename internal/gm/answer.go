package gm

import (
	"time"

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
func (x *exchange) keyResponse(sid []byte) (*coap.Message, error) {
	r := x.group.keyAnswer(sid, x.now)
	var err error
	if r.MgtKeyMaterial, err = x.treeKeys(x.me); err != nil {
		return nil, err
	}
	name, node, num := x.group.Name, x.me.Node, x.group.Num
	x.after = append(x.after, func() { x.s.hasAsked(name, node, num) })
	return groupcomm(coap.Content, r), nil
}

// keyAnswer is a group's keys as members ask for them, but for those of the tree.
func (g *groupRecord) keyAnswer(sid []byte, now time.Time) ace.KeyResponse {
	return ace.KeyResponse{
		GKTY: ace.GKTYGroupOSCORE, Key: g.keyMaterial(sid), Num: g.Num,
		Profile: ace.ProfileCoAPGroupOSCOREApp, EXP: g.Expires, EXI: g.secondsLeft(now),
		RekeyingScheme: g.Scheme,
	}
}

// treeKeys is the mgt_key_material of a member, which gets a leaf if it has none.
func (x *exchange) treeKeys(m *memberRecord) ([]byte, error) {
	if x.group.Scheme != ace.RekeyingCompleteSubtree {
		return nil, nil
	}
	leaf, err := x.group.leafOf(x.tx, m.Node)
	if err != nil {
		return nil, err
	}
	if leaf == nil {
		if !x.writes {
			return nil, errStale
		}
		if leaf, err = x.s.newLeaf(x.tx, x.group, m.Node); err != nil {
			return nil, err
		}
		if err := x.saveGroup(); err != nil {
			return nil, err
		}
	}
	return x.s.material(x.group, leaf, m)
}

// joinResponse is the answer to a Join Request, with the Group Manager's proof of
// possession over the joining node's N_C. KGO, Section 6.3.
func (x *exchange) joinResponse(m *memberRecord) (*ace.JoinResponse, error) {
	proof, err := x.prove(m.NC, m.Cred)
	if err != nil {
		return nil, err
	}
	g := x.group
	tree, err := x.treeKeys(m)
	if err != nil {
		return nil, err
	}
	return &ace.JoinResponse{
		GKTY: ace.GKTYGroupOSCORE, Key: g.keyMaterial(m.SenderID), Num: g.Num,
		Profile: ace.ProfileCoAPGroupOSCOREApp, EXP: g.Expires, EXI: x.secondsLeft(),
		Policies: x.policies(),
		KDCCred:  proof.KDCCred, KDCNonce: proof.KDCNonce, KDCCredVerify: proof.KDCCredVerify,
		RekeyingScheme: g.Scheme, MgtKeyMaterial: tree, ControlGroupURI: g.ControlGroupURI,
	}, nil
}

func (x *exchange) policies() ace.GroupPolicies {
	return ace.GroupPolicies{CheckInterval: x.group.CheckInterval, ExpirationDelta: x.group.ExpirationDelta}
}

// secondsLeft is exi: how long the keys still live.
func (x *exchange) secondsLeft() uint64 { return x.group.secondsLeft(x.now) }

func (g *groupRecord) secondsLeft(now time.Time) uint64 {
	seconds := uint64(now.Unix())
	return g.Expires - min(seconds, g.Expires)
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

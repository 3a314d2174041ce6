package join

import (
	"bytes"
	"fmt"
	"slices"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// Info is what the Group Manager says, before a join, about what groups use. KGO,
// Sections 5.3 and 6.2.
type Info struct {
	Sign    []ace.SignInfo  // groups with the group mode
	ECDH    []ace.ECDHInfo  // groups with the pairwise mode
	DHCreds []ace.KDCDHCred // pairwise-only groups
}

// Info returns what the Token Transfer Response said.
func (a *Association) Info() Info { return Info{a.SignInfo, a.ECDHInfo, a.DHCreds} }

// Info returns what the refusal said.
func (e *ChallengeError) Info() Info { return Info{e.SignInfo, e.ECDHInfo, e.DHCreds} }

// DHCred is the Group Manager's credential that the proof of possession in a
// pairwise-only group is made with, nil for other groups.
func (i Info) DHCred(name string) []byte {
	cred, _ := i.dhCred(name)
	return cred
}

// dhCred is [Info.DHCred] with its format.
func (i Info) dhCred(name string) ([]byte, cose.Format) {
	for _, d := range i.DHCreds {
		if slices.Contains(d.Groups, name) {
			return d.Cred, cose.Format(d.CredFmt)
		}
	}
	return nil, cose.KCCS
}

// Check fails with [ErrAlgorithm] and the reason when a key is of no use in the
// group. It passes a group that nothing was said about.
func (i Info) Check(name string, key cose.PublicKey) error {
	for _, s := range i.Sign {
		if !slices.Contains(s.Groups, name) {
			continue
		}
		alg := cose.Algorithm(s.Alg)
		if !equalParams([][]int{s.Params, s.KeyParams}, ace.SignParams(alg)) {
			return fmt.Errorf("%w: signature algorithm %d", ErrAlgorithm, s.Alg)
		}
		return checkKey(group.Algorithms{GroupEnc: cose.AESCCM16_64_128, Sign: alg}, 0, key)
	}
	for _, e := range i.ECDH {
		if !slices.Contains(e.Groups, name) {
			continue
		}
		curve, ok := curveOf([][]int{e.Params, e.KeyParams})
		if !ok {
			return fmt.Errorf("%w: key agreement %d", ErrAlgorithm, e.Alg)
		}
		return checkKey(group.Algorithms{}, curve, key)
	}
	return nil
}

// checkKey refuses an own key that does not fit the group: with the group mode it
// is one of the Signature Algorithm, else one on the curve of key agreement.
func checkKey(algs group.Algorithms, curve cose.Curve, key cose.PublicKey) error {
	switch {
	case algs.HasGroupMode() && key.SignatureAlgorithm() != algs.Sign:
		return fmt.Errorf("%w: the group signs with algorithm %d, the own key is on %v", ErrAlgorithm, algs.Sign, key.Curve())
	case !algs.HasGroupMode() && agreement(key.Curve()) != curve:
		return fmt.Errorf("%w: the group's keys are on %v, the own is on %v", ErrAlgorithm, curve, key.Curve())
	}
	return nil
}

// Fits fails with [ErrAlgorithm] and the reason when an own key is of no use in the
// group: after a join only a change of the group's configuration can bring that
// about.
func (m *Membership) Fits(key cose.PublicKey) error { return checkKey(m.Algs, m.Curve, key) }

// agreement is the curve on which a key agrees. RFC 10021, Section 2.5.2.
func agreement(c cose.Curve) cose.Curve {
	if c == cose.Ed25519 {
		return cose.X25519
	}
	return c
}

// curveOf reads ecdh_params.
func curveOf(params [][]int) (cose.Curve, bool) {
	for _, curve := range []cose.Curve{cose.X25519, cose.P256} {
		if equalParams(params, ace.ECDHParams(curve)) {
			return curve, true
		}
	}
	return 0, false
}

func equalParams(a, b [][]int) bool {
	return b != nil && bytes.Equal(ace.Encode(a), ace.Encode(b))
}

// Trusts is how far a member trusts the Group Manager whose first credential it
// knows, from its claim or its invitation: in that credential and in those that
// its key endorsed, for groups of other algorithms. Whoever carries a Join Response
// could have made up any other.
func Trusts(gmCred []byte) func(cred []byte) bool {
	return func(cred []byte) bool {
		return len(gmCred) > 0 && (bytes.Equal(cred, gmCred) || cose.Endorsed(gmCred, cred))
	}
}

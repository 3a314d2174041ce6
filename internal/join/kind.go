package join

import (
	"bytes"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// kind is what a group uses.
type kind struct {
	algs   group.Algorithms
	curve  cose.Curve  // of key agreement; 0 without the pairwise mode
	format cose.Format // of credentials; 0: CCS
}

// readKind reads what the `key` of a group says. A mode whose parameters are all
// absent is not used; one by halves is malformed. It fails with [ErrAlgorithm] for
// what is not built. KGO, Sections 6.3 and 6.4.
func readKind(key ace.KeyMaterial) (kind, error) {
	k := kind{
		algs: group.Algorithms{
			AEAD: key.Alg, GroupEnc: key.GpEncAlg, Sign: key.SignAlg, Pairwise: key.ECDHAlg, HKDF: key.HKDF,
		},
		format: cose.Format(key.CredFmt),
	}
	if k.algs.HKDF == cose.Null {
		k.algs.HKDF = cose.HMAC256
	}
	groupMode, pairwise := k.algs.HasGroupMode(), k.algs.HasPairwiseMode()
	if groupMode != (key.GpEncAlg != cose.Null || key.SignAlg != cose.Null || key.SignParams != nil) ||
		pairwise != (key.Alg != cose.Null || key.ECDHAlg != cose.Null || key.ECDHParams != nil) {
		return k, fmt.Errorf("%w: a mode by halves", ErrDecode)
	}
	if err := k.algs.Check(); err != nil {
		return k, fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	if groupMode && !equalParams(key.SignParams, ace.SignParams(k.algs.Sign)) {
		return k, fmt.Errorf("%w: keys for signatures", ErrAlgorithm)
	}
	if pairwise {
		var ok bool
		if k.curve, ok = curveOf(key.ECDHParams); !ok || groupMode && k.curve != ace.ECDHCurve(k.algs.Sign) {
			return k, fmt.Errorf("%w: keys for key agreement", ErrAlgorithm)
		}
	}
	switch k.format {
	case cose.KCCS, cose.KCWT, cose.C5B, cose.C5C, cose.X5Bag, cose.X5Chain:
		return k, nil
	}
	return k, fmt.Errorf("%w: credentials of format %d", ErrAlgorithm, key.CredFmt)
}

// credentials is the format of the group's credentials: memberships of earlier versions do not
// say it.
func (m *Membership) credentials() cose.Format { return kind{format: m.CredFmt}.credentials() }

func (k kind) credentials() cose.Format {
	if k.format == 0 {
		return cose.KCCS
	}
	return k.format
}

// peersOf pairs up the three parallel arrays. It leaves out the own entry and
// whatever is no credential that the group can use, so that one bad credential
// does not cost the others.
func (k kind) peersOf(creds [][]byte, roles []ace.Role, ids [][]byte, own []byte) ([]group.Peer, error) {
	if len(creds) != len(ids) || len(roles) != len(creds) {
		return nil, fmt.Errorf("%w: credentials without roles or identifiers", ErrDecode)
	}
	peers := make([]group.Peer, 0, len(creds))
	for i, cred := range creds {
		if len(ids[i]) > maxIDLen || own != nil && bytes.Equal(ids[i], own) {
			continue
		}
		if _, err := k.credentials().Parse(cred); err != nil {
			continue
		}
		peers = append(peers, group.Peer{KID: ids[i], Cred: cred, Roles: uint(roles[i])})
	}
	return peers, nil
}

package ace

import (
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// RekeyingCompleteSubtree is the group rekeying scheme of this project, from the
// range for private use of the ACE Groupcomm Rekeying Schemes.
const RekeyingCompleteSubtree = -65537

const (
	treeKeySize = 16

	// MaxTreeSteps bounds how far a member's tree keys may be behind the group's:
	// each version's are derived from those of the version before.
	MaxTreeSteps = 1024
)

// MgtKeyMaterial is the content of mgt_key_material (27) under the scheme
// complete subtree: what one member needs to open rekeying messages that go to
// many. RFC 9594, Section 6.2.1.
//
//	{ 1: alg: int, 2: generation: uint, 3: base_iv: bstr, 4: num: uint, 5: leaf: uint,
//	  6: keys: [ + bstr .size 16 ],  ; of the leaf, its parent, … up to the root
//	  ? 17: kdc_cred: bstr, ? 18: kdc_nonce: bstr, ? 19: kdc_cred_verify: bstr }
//
// The last three are there in groups without signatures, whose kdc_cred makes
// none.
type MgtKeyMaterial struct {
	Alg           cose.Algorithm `cbor:"1,keyasint"` // of the messages' content
	Generation    uint32         `cbor:"2,keyasint"` // of the tree
	BaseIV        []byte         `cbor:"3,keyasint"`
	Num           uint64         `cbor:"4,keyasint"` // the version of the group's keys that Keys go with
	Leaf          uint32         `cbor:"5,keyasint"`
	Keys          []cose.Secret  `cbor:"6,keyasint"`
	KDCCred       []byte         `cbor:"17,keyasint,omitzero"`
	KDCNonce      []byte         `cbor:"18,keyasint,omitzero"`
	KDCCredVerify []byte         `cbor:"19,keyasint,omitzero"`
}

func (m *MgtKeyMaterial) check() error {
	switch {
	case cose.KeySize(m.Alg) == 0:
		return fmt.Errorf("%w: algorithm %d is not built", ErrDecode, m.Alg)
	case len(m.BaseIV) != cose.NonceSize(m.Alg):
		return fmt.Errorf("%w: a Base IV of %d bytes", ErrDecode, len(m.BaseIV))
	case len(m.Keys) == 0 || len(m.Keys) > MaxTreeHeight+1 || uint64(m.Leaf) >= 1<<MaxTreeHeight:
		return fmt.Errorf("%w: leaf %d with %d keys", ErrDecode, m.Leaf, len(m.Keys))
	}
	for _, k := range m.Keys {
		if len(k) != treeKeySize {
			return fmt.Errorf("%w: a tree key of %d bytes", ErrDecode, len(k))
		}
	}
	return nil
}

// Format keeps the keys out.
func (m MgtKeyMaterial) Format(w fmt.State, _ rune) {
	type plain MgtKeyMaterial
	fmt.Fprintf(w, "%+v", plain(m))
}

// Advance returns what goes with a later version of the group's keys. What can be
// derived from its keys opens nothing that was sent for an earlier version: who
// joins later cannot read what was recorded before.
func (m MgtKeyMaterial) Advance(num uint64) (*MgtKeyMaterial, error) {
	if num < m.Num || num-m.Num > MaxTreeSteps {
		return nil, fmt.Errorf("tree keys of version %d for version %d: %w", m.Num, num, ErrStale)
	}
	keys := make([]cose.Secret, len(m.Keys))
	for i, k := range m.Keys {
		keys[i] = advance(k, num-m.Num)
	}
	m.Keys, m.Num = keys, num
	return &m, nil
}

// advance derives a tree key of a later version.
func advance(key cose.Secret, steps uint64) cose.Secret {
	for range steps {
		key = cose.HKDF(key, nil, treeInfo("next"), treeKeySize)
	}
	return key
}

// treeInfo is the info of the derivations here: [ "lamplighter complete subtree",
// what, numbers… ].
func treeInfo(what string, numbers ...uint64) []byte {
	info := cbor.AppendHead(nil, cbor.Array, uint64(2+len(numbers)))
	info = cbor.AppendText(info, "lamplighter complete subtree")
	info = cbor.AppendText(info, what)
	for _, n := range numbers {
		info = cbor.AppendHead(info, cbor.Uint, n)
	}
	return info
}

// KeyTree is one generation of a group's tree as the Group Manager has it: all
// keys follow from its secret.
type KeyTree struct {
	Secret     cose.Secret
	Alg        cose.Algorithm // of the messages' content
	Generation uint32
	Base       uint64 // the version of the group's keys that it began with
}

// Material is what a member with a leaf gets at a version of the group's keys:
// the keys up to a root of that height.
func (t KeyTree) Material(leaf uint32, height int, num uint64) (*MgtKeyMaterial, error) {
	m := &MgtKeyMaterial{Alg: t.Alg, Generation: t.Generation, BaseIV: t.baseIV(), Num: num, Leaf: leaf}
	for h := range height + 1 {
		k, err := t.key(TreeNode(leaf, h), num)
		if err != nil {
			return nil, err
		}
		m.Keys = append(m.Keys, k)
	}
	return m, m.check()
}

// key is the key of a node at a version of the group's keys.
func (t KeyTree) key(node, num uint64) (cose.Secret, error) {
	if num < t.Base || num-t.Base > MaxTreeSteps {
		return nil, fmt.Errorf("a tree that began at version %d, for version %d: %w", t.Base, num, ErrStale)
	}
	first := cose.HKDF(t.Secret, nil, treeInfo("node", uint64(t.Generation), node), treeKeySize)
	return advance(first, num-t.Base), nil
}

func (t KeyTree) baseIV() []byte {
	return cose.HKDF(t.Secret, nil, treeInfo("base iv", uint64(t.Generation)), cose.NonceSize(t.Alg))
}

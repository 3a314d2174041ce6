package ace

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// Errors of opening a rekeying message that went to many. With each but [ErrStale]
// of an old message the member asks the Group Manager for the keys.
var (
	ErrStale      = errors.New("not for this version of the keys")   // an old message, or too many versions were missed
	ErrGeneration = errors.New("the tree of keys was renewed")       // other keys are needed to open it
	ErrNotCovered = errors.New("the message leaves this member out") // authentic, and not for it
)

const (
	maxWrapped  = 24 // keys in one message: it fits into one datagram
	maxMessages = 1 << 16
	kidSize     = 8
)

// OneToManyParts is how many messages [KeyTree.Seal] makes for that many subtrees.
func OneToManyParts(subtrees int) int { return (subtrees + maxWrapped - 1) / maxWrapped }

// oneToMany is [protected, unprotected, ciphertext] of a COSE_Encrypt0.
type oneToMany struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected treeUnprotected
	Ciphertext  []byte
}

// treeProtected has one parameter from the range for private use: the
// content-encryption key, wrapped under keys of the tree, by their nodes.
type treeProtected struct {
	Alg     cose.Algorithm    `cbor:"1,keyasint"`
	KID     []byte            `cbor:"4,keyasint"`
	Wrapped map[uint64][]byte `cbor:"-65537,keyasint"`
}

type treeUnprotected struct {
	PartialIV []byte `cbor:"6,keyasint"`
	Signature []byte `cbor:"12,keyasint"` // Countersignature0 version 2
}

// Seal makes the messages that bring the rekeying message of version num of a
// group's keys to all who have the key of a node in cover. There are as many as it
// takes to stay below the size of a datagram; a member needs the one that names a
// node of its own. sign makes a signature with the private key of the Group
// Manager's credential of that algorithm.
//
// Equal input makes equal messages, if sign does; the encryption key depends on
// all input, so no key and nonce ever meet two plaintexts. RFC 9594, Section
// 6.2.1.
func (t KeyTree) Seal(group string, num uint64, rekeying []byte, cover []uint64, signAlg cose.Algorithm, sign func([]byte) ([]byte, error)) ([][]byte, error) {
	if len(cover) > maxWrapped*maxMessages || len(rekeying) > cose.MaxPlaintext {
		return nil, fmt.Errorf("sealing for %d subtrees: too large", len(cover))
	}
	input := sha256.Sum256(cbor.MustMarshal([]any{group, rekeying, cover}))
	kek := cose.HKDF(t.Secret, input[:], treeInfo("content", uint64(t.Generation), num), cose.KeySize(t.Alg))
	kid := binary.BigEndian.AppendUint32(nil, t.Generation)
	kid = append(kid, cose.HKDF(kek, nil, treeInfo("kid"), kidSize-len(kid))...)
	var messages [][]byte
	for count := 0; count*maxWrapped < len(cover); count++ {
		nodes := cover[count*maxWrapped : min(len(cover), (count+1)*maxWrapped)]
		header := treeProtected{Alg: t.Alg, KID: kid, Wrapped: make(map[uint64][]byte, len(nodes))}
		for _, node := range nodes {
			k, err := t.key(node, num)
			if err != nil {
				return nil, err
			}
			if header.Wrapped[node], err = cose.WrapKey(k, kek); err != nil {
				return nil, err
			}
		}
		m, err := sealOne(header, group, kek, t.baseIV(), uint16(count), num, rekeying, signAlg, sign)
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}

func sealOne(header treeProtected, group string, kek, baseIV []byte, count uint16, num uint64, rekeying []byte, signAlg cose.Algorithm, sign func([]byte) ([]byte, error)) ([]byte, error) {
	aead, err := cose.NewAEAD(header.Alg, kek)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	piv, err := treePartialIV(count, num, len(baseIV))
	if err != nil {
		return nil, err
	}
	protected := cbor.MustMarshal(header)
	obj := oneToMany{Protected: protected, Unprotected: treeUnprotected{PartialIV: piv}}
	obj.Ciphertext = aead.Seal(nil, xor(baseIV, piv), rekeying, treeEncStructure(protected, group))
	if obj.Unprotected.Signature, err = sign(treeSigned(protected, group, obj.Ciphertext, signAlg)); err != nil {
		return nil, fmt.Errorf("signing a rekeying message: %w", err)
	}
	return append(cbor.AppendHead(nil, cbor.Tagged, 16), cbor.MustMarshal(obj)...), nil
}

// treePartialIV is COUNT | NEW_NUM. RFC 9594, Section 6.2.1.
func treePartialIV(count uint16, num uint64, size int) ([]byte, error) {
	full := make([]byte, 16)
	binary.BigEndian.PutUint64(full[8:], num)
	cut := len(full) - (size - 2)
	if bytes.Count(full[:cut], []byte{0}) != cut {
		return nil, fmt.Errorf("version %d in a nonce of %d bytes", num, size)
	}
	return append(binary.BigEndian.AppendUint16(nil, count), full[cut:]...), nil
}

// treeNum is the NEW_NUM of a Partial IV.
func treeNum(piv []byte) (num uint64, ok bool) {
	for _, b := range piv[2:] {
		if num>>56 != 0 {
			return 0, false
		}
		num = num<<8 | uint64(b)
	}
	return num, true
}

func xor(a, b []byte) []byte {
	out := bytes.Clone(a)
	for i := range out {
		out[i] ^= b[i]
	}
	return out
}

// treeEncStructure is the Enc_structure, with the group's name as external_aad.
// RFC 9052, Section 5.3.
func treeEncStructure(protected []byte, group string) []byte {
	out := cbor.AppendText([]byte{0x83}, "Encrypt0")
	out = cbor.AppendBytes(out, protected)
	return cbor.AppendBytes(out, []byte(group))
}

// treeSigned is what the Group Manager countersigns: five elements, as in groups
// (see [cose.AppendCounterSignature0]), with the algorithm in the third, as RFC
// 9594, Section 6.2.1 wants it signed.
//
//	[ "CounterSignature0", body_protected, << {1: alg} >>, bstr(group name), ciphertext ]
func treeSigned(protected []byte, group string, ciphertext []byte, alg cose.Algorithm) []byte {
	out := cbor.AppendText([]byte{0x85}, "CounterSignature0")
	out = cbor.AppendBytes(out, protected)
	out = cbor.AppendBytes(out, cbor.AppendInt([]byte{0xa1, 1}, int64(alg)))
	out = cbor.AppendBytes(out, []byte(group))
	return cbor.AppendBytes(out, ciphertext)
}

// OpenOneToMany opens a message of [KeyTree.Seal] for a member of a group and
// returns the version of the group's keys and the rekeying message. The Group
// Manager's signature is verified under gm before any key is used. It fails with
// [ErrDecode], [ErrStale], [ErrGeneration], [cose.ErrVerify] and [ErrNotCovered].
func (m *MgtKeyMaterial) OpenOneToMany(group string, data []byte, gm *cose.Credential) (num uint64, rekeying []byte, err error) {
	obj, h, err := parseOneToMany(data)
	if err != nil {
		return 0, nil, err
	}
	if h.Alg != m.Alg || binary.BigEndian.Uint32(h.KID) != m.Generation {
		return 0, nil, fmt.Errorf("opening a rekeying message: %w", ErrGeneration)
	}
	if len(obj.Unprotected.PartialIV) != len(m.BaseIV) {
		return 0, nil, fmt.Errorf("%w: a Partial IV of %d bytes", ErrDecode, len(obj.Unprotected.PartialIV))
	}
	num, ok := treeNum(obj.Unprotected.PartialIV)
	if !ok || num <= m.Num || num-m.Num > MaxTreeSteps {
		return 0, nil, fmt.Errorf("opening a rekeying message: %w", ErrStale)
	}
	if !gm.Verify(treeSigned(obj.Protected, group, obj.Ciphertext, gm.Alg), obj.Unprotected.Signature) {
		return 0, nil, fmt.Errorf("opening a rekeying message: %w", cose.ErrVerify)
	}
	rekeying, err = m.decrypt(group, num, obj, h)
	return num, rekeying, err
}

func (m *MgtKeyMaterial) decrypt(group string, num uint64, obj *oneToMany, h *treeProtected) ([]byte, error) {
	for height, key := range m.Keys {
		wrapped, ok := h.Wrapped[TreeNode(m.Leaf, height)]
		if !ok {
			continue
		}
		kek, err := cose.UnwrapKey(advance(key, num-m.Num), wrapped)
		if err != nil {
			return nil, fmt.Errorf("opening a rekeying message: %w", err)
		}
		aead, err := cose.NewAEAD(h.Alg, kek)
		if err != nil {
			return nil, fmt.Errorf("opening a rekeying message: %w", cose.ErrVerify)
		}
		nonce := xor(m.BaseIV, obj.Unprotected.PartialIV)
		plain, err := aead.Open(nil, nonce, obj.Ciphertext, treeEncStructure(obj.Protected, group))
		if err != nil {
			return nil, fmt.Errorf("opening a rekeying message: %w", err)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("opening a rekeying message: %w", ErrNotCovered)
}

func parseOneToMany(data []byte) (*oneToMany, *treeProtected, error) {
	body, ok := bytes.CutPrefix(data, cbor.AppendHead(nil, cbor.Tagged, 16))
	if !ok {
		return nil, nil, fmt.Errorf("%w: no COSE_Encrypt0", ErrDecode)
	}
	obj, h := new(oneToMany), new(treeProtected)
	if err := cbor.Unmarshal(body, obj); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	if err := cbor.Unmarshal(obj.Protected, h); err != nil {
		return nil, nil, fmt.Errorf("%w: protected header: %w", ErrDecode, err)
	}
	switch {
	case len(h.KID) != kidSize || len(h.Wrapped) == 0 || len(h.Wrapped) > maxWrapped || len(obj.Unprotected.PartialIV) < 2:
		return nil, nil, fmt.Errorf("%w: header parameters", ErrDecode)
	case !bytes.Equal(cbor.MustMarshal(obj), body), !bytes.Equal(cbor.MustMarshal(h), obj.Protected):
		return nil, nil, fmt.Errorf("%w: header parameters that are unknown or not in shortest form", ErrDecode)
	}
	return obj, h, nil
}

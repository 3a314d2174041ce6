package group

import (
	"bytes"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// The keystream is what crypto/hkdf makes of the same input.
func TestKeystream(t *testing.T) {
	for _, alg := range []cose.Algorithm{cose.HMAC256, cose.HKDFSHA256, cose.HMAC512, cose.HKDFSHA512} {
		kdf, err := cose.NewKDF(alg)
		if err != nil {
			t.Fatal(err)
		}
		k := newKeystream(alg)
		for i, size := range []int{1, 31, 32, 33, 63, 64, 65, 128, 200} {
			m := &message{isRequest: i%2 == 0, nonceID: randomBytes(i % 8), noncePIV: randomBytes(1 + i%5)}
			seKey, gid := randomBytes(16+i), randomBytes(i*30)
			info := cbor.AppendBytes(cbor.AppendBytes([]byte{0x84}, m.nonceID), gid)
			info = append(info, map[bool]byte{true: 0xf5, false: 0xf4}[m.isRequest])
			info = cbor.AppendHead(info, cbor.Uint, uint64(size))
			want := kdf(seKey, m.noncePIV, info, size)
			got := make([]byte, size)
			k.hide(got, seKey, gid, m)
			if !bytes.Equal(got, want) {
				t.Errorf("HKDF %d, %d bytes:\n got %x\nwant %x", alg, size, got, want)
			}
			if k.hide(got, seKey, gid, m); !bytes.Equal(got, make([]byte, size)) {
				t.Errorf("hidden twice it is not what it was")
			}
		}
	}
}

// The structures are those of package cose, in either order.
func TestStructures(t *testing.T) {
	w := newWorld(t, 1)
	for _, size := range []int{0, 23, 24, 255, 256, 70000} {
		w.gmCred = randomBytes(size)
		c := w.member(0)
		m := &message{
			request: request{kid: []byte{1}, piv: []byte{2, 3}, kidContext: c.gid}, option: randomBytes(9), cred: randomBytes(size),
		}
		aad := c.appendExternalAAD(nil, m)
		c.structures.set(&c.common, m)
		for range 2 {
			equal(t, "Enc_structure", c.structures.encrypt(), cose.AppendEncrypt0(nil, aad))
			equal(t, "Countersign_structure", c.structures.countersign(m.cred), cose.AppendCounterSignature0(nil, aad, m.cred))
		}
	}
}

package trl

import (
	"bytes"
	"testing"

	"lamplighter/internal/cbor"
)

func FuzzActors(f *testing.F) {
	f.Add([]byte{0x80})
	f.Add(cbor.MustMarshal([]string{"29725e30b91add43ddbca2a2ecac3b04"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, err := decodeActors(data)
		if err != nil {
			return
		}
		once := cbor.MustMarshal(ids)
		again, err := decodeActors(once)
		if err != nil || !bytes.Equal(cbor.MustMarshal(again), once) {
			t.Fatalf("%x reads as %q and then as %q (%v)", data, ids, again, err)
		}
	})
}

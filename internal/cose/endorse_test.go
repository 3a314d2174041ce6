package cose

import (
	"bytes"
	"crypto/ed25519"
	"testing"
)

func endorser(name byte) (PrivateKey, []byte) {
	key := NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{name}, 32)))
	return key, key.Public().CCS("gm")
}

// Whoever trusts one credential of the Group Manager trusts those that it signed.
func TestEndorse(t *testing.T) {
	key, by := endorser(1)
	other, otherCred := endorser(2)
	x, err := NewX25519(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for what, public := range map[string]PublicKey{"Ed25519": other.Public(), "X25519": x.Public()} {
		for _, subject := range []string{"gm", ""} {
			cred, err := Endorse(by, key, subject, public)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := ParseCCS(cred)
			if err != nil || !parsed.Public.Equal(public) || parsed.Subject != subject {
				t.Errorf("%s: %+v %v", what, parsed, err)
			}
			if !Endorsed(by, cred) {
				t.Errorf("%s, %q: not endorsed", what, subject)
			}
			if Endorsed(otherCred, cred) {
				t.Errorf("%s: endorsed by somebody else", what)
			}
			for i := range cred {
				bad := bytes.Clone(cred)
				if bad[i] ^= 1; Endorsed(by, bad) {
					t.Fatalf("%s: endorsed with byte %d changed", what, i)
				}
			}
			if Endorsed(by, append(bytes.Clone(cred), 0)) || Endorsed(by, cred[:len(cred)-1]) {
				t.Errorf("%s: endorsed in another length", what)
			}
		}
	}
	if Endorsed(by, by) || Endorsed(by, otherCred) || Endorsed(by, nil) || Endorsed(nil, otherCred) {
		t.Error("endorsed without a signature")
	}
	if _, err := Endorse(by, other, "gm", x.Public()); err == nil {
		t.Error("somebody else endorsed in the Group Manager's name")
	}
	if _, err := Endorse(x.Public().CCS("gm"), x, "gm", other.Public()); err == nil {
		t.Error("a key without signatures endorsed")
	}
}

func FuzzEndorsed(f *testing.F) {
	key, by := endorser(1)
	other, _ := endorser(2)
	cred, err := Endorse(by, key, "gm", other.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cred)
	f.Add(by)
	f.Fuzz(func(t *testing.T, data []byte) {
		if Endorsed(by, data) && !bytes.Equal(data, cred) {
			t.Errorf("nobody endorsed %x", data)
		}
	})
}

package ace

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// The bytes that RFC 9202, Section 3.3.2 prints.
const publishedIdentity = "a108a101a2010402483d027833fc6267ce"

func TestPSKIdentity(t *testing.T) {
	kid, _ := hex.DecodeString("3d027833fc6267ce")
	id := PSKIdentity(kid)
	if hex.EncodeToString(id) != publishedIdentity {
		t.Errorf("%x", id)
	}
	got, token, err := ParsePSKIdentity(id)
	if err != nil || token != nil || !bytes.Equal(got, kid) {
		t.Errorf("%x %x %v", got, token, err)
	}
}

func TestParsePSKIdentityRefuses(t *testing.T) {
	for what, s := range map[string]string{
		"nothing":              "",
		"truncated":            publishedIdentity[:len(publishedIdentity)-2],
		"a byte behind":        publishedIdentity + "00",
		"an empty map":         "a0",
		"not cnf":              "a109a101a20104024101",
		"a claim beside cnf":   "a208a101a201040241010401",
		"a kid alone":          "a108a1034101",
		"a method beside":      "a108a201a2010402410103" + "4101",
		"another type of key":  "a108a101a20101024101",
		"no kid":               "a108a101a10104",
		"an empty kid":         "a108a101a201040240",
		"a key beside kid":     "a108a101a30104024101204101",
		"a text kid":           "a108a101a201040261" + "61",
		"a long kid":           "a108a101a20104025841" + strings.Repeat("00", 65),
		"a byte string":        "4101",
		"an array":             "8401020304",
		"indefinite":           "bf08a101a20104024101ff",
		"twice the same label": "a208a101a2010402410108a101a20104024101",
		"a long one":           "d83d59ffff" + strings.Repeat("00", 65535),
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(what, err)
		}
		if kid, token, err := ParsePSKIdentity(b); !errors.Is(err, ErrIdentity) || kid != nil || token != nil {
			t.Errorf("%s: %x, %x, %v", what, kid, token, err)
		}
	}
}

func FuzzParsePSKIdentity(f *testing.F) {
	b, _ := hex.DecodeString(publishedIdentity)
	f.Add(b)
	f.Add([]byte{0xd8, 0x3d, 0xd0, 0x83, 0x40, 0xa0, 0x40})
	f.Fuzz(func(t *testing.T, identity []byte) {
		kid, token, err := ParsePSKIdentity(identity)
		switch {
		case err != nil:
			if kid != nil || token != nil {
				t.Error("refused and read")
			}
		case (kid == nil) == (token == nil):
			t.Errorf("%x and %x", kid, token)
		case token != nil && !bytes.Equal(token, identity):
			t.Error("the token was re-coded")
		case kid != nil:
			again, _, err := ParsePSKIdentity(PSKIdentity(kid))
			if err != nil || !bytes.Equal(again, kid) {
				t.Errorf("%x became %x", kid, again)
			}
		}
	})
}

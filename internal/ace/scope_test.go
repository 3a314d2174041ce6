package ace

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestScope(t *testing.T) {
	entries := []ScopeEntry{{Group: "hall", Roles: RoleRequester | RoleResponder}, {Group: "Flur 1. OG", Roles: RoleMonitor | RoleVerifier}}
	data := EncodeScope(entries)
	if want := unhex(t, "82 82 64 68616c6c 06 82 6a 466c757220312e204f47 18 18"); !bytes.Equal(data, want) {
		t.Errorf("got %x, want %x", data, want)
	}
	got, err := DecodeScope(data)
	if err != nil || !reflect.DeepEqual(got, entries) {
		t.Errorf("got %v, %v", got, err)
	}
	one := EncodeJoinScope(entries[0])
	if want := unhex(t, "82 64 68616c6c 06"); !bytes.Equal(one, want) {
		t.Errorf("got %x, want %x", one, want)
	}
	if e, err := DecodeJoinScope(one); err != nil || e != entries[0] {
		t.Errorf("got %v, %v", e, err)
	}
}

// The Tperm of a user entry is even: an odd one is no user entry. KGO, Section 3.
func TestStatement012_OddTpermIsNoUserEntry(t *testing.T) {
	for roles := Role(0); roles < 64; roles++ {
		_, err := DecodeScope(EncodeScope([]ScopeEntry{{Group: "g", Roles: roles}}))
		want := roles != 0 && roles%2 == 0 && roles < 32
		if (err == nil) != want || err != nil && !errors.Is(err, ErrScope) {
			t.Errorf("Tperm %d: %v", roles, err)
		}
	}
}

func TestScopeRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":           "",
		"no array":          "a0",
		"no entry":          "80",
		"an entry bare":     "82 61 67 02",
		"a group twice":     "82 82 61 67 02 82 61 67 04",
		"no name":           "81 82 60 02",
		"a slash":           "81 82 63 612f62 02",
		"a query":           "81 82 63 613f62 02",
		"a control":         "81 82 61 00 02",
		"a dot segment":     "81 82 62 2e2e 02",
		"a negative Tperm":  "81 82 61 67 21",
		"a text Tperm":      "81 82 61 67 61 32",
		"three elements":    "81 83 61 67 02 02",
		"any group (admin)": "81 82 f5 05",
		"a pattern (admin)": "81 82 d9 5249 63 672e2a 05",
		"a trailing byte":   "81 82 61 67 02 00",
		"a huge Tperm":      "81 82 61 67 1b ffffffffffffffff",
		"a null entry":      "81 f6",
	} {
		if got, err := DecodeScope(unhex(t, data)); !errors.Is(err, ErrScope) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if _, err := DecodeScope(EncodeScope([]ScopeEntry{{Group: strings.Repeat("g", 256), Roles: 2}})); !errors.Is(err, ErrScope) {
		t.Errorf("a long name: %v", err)
	}
	for name, data := range map[string]string{"an array of entries": "81 82 61 67 02", "odd": "82 61 67 03", "null": "f6"} {
		if got, err := DecodeJoinScope(unhex(t, data)); !errors.Is(err, ErrScope) {
			t.Errorf("join scope, %s: got %v, %v", name, got, err)
		}
	}
}

// {requester, monitor} and {responder, monitor} do not join, and
// nobody joins as a verifier. KGO, Sections 6.1 and 6.2.
func TestStatement046_JoinableRoles(t *testing.T) {
	joinable := map[Role]bool{2: true, 4: true, 6: true, 8: true}
	for r := range Role(64) {
		if r.Joinable() != joinable[r] {
			t.Errorf("roles %d (%v): joinable %v", r, r, r.Joinable())
		}
	}
	if s := Role(6).String(); s != "requester+responder" {
		t.Errorf("roles print as %q", s)
	}
	if !Role(2).NeedsCredential() || Role(24).NeedsCredential() {
		t.Error("who needs a credential")
	}
}

// An extended scope claim is tag 1668547113 around the same byte string, and reads
// like the plain one; a token response never has it. RFC 9594, Section 7.
func TestStatement015_ExtendedScopeClaim(t *testing.T) {
	scope := EncodeScope([]ScopeEntry{{Group: "g", Roles: 2}})
	plain, extended := Encode(ScopeClaim{Scope: scope}), Encode(ScopeClaim{Scope: scope, Extended: true})
	if TagExtendedScope != 1668547113 || !bytes.Equal(extended, append(unhex(t, "da63740229"), plain...)) {
		t.Errorf("got %x", extended)
	}
	for _, data := range [][]byte{plain, extended} {
		claims, err := Decode[CWTClaims](append([]byte{0xa1, ClaimScope}, data...))
		if err != nil || !bytes.Equal(claims.Scope.Scope, scope) {
			t.Errorf("%x: got %+v, %v", data, claims, err)
		}
	}
	if _, err := Decode[TokenResponse](append([]byte{0xa2, 1, 0x41, 0, 9}, extended...)); !errors.Is(err, ErrScope) {
		t.Errorf("a tagged scope in a token response: %v", err)
	}
}

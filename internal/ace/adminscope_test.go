package ace

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
)

var sampleBoth = Scope{
	Users:  []ScopeEntry{{Group: "hall", Roles: RoleRequester}},
	Admins: []AdminEntry{{Groups: AnyGroup, Perm: PermList | PermRead}, {Groups: NamedGroup("gp1"), Perm: PermAll}, {Groups: RegexpGroups("gp[0-9]*"), Perm: PermList}},
}

func TestParseScope(t *testing.T) {
	data := sampleBoth.Encode()
	// [["hall", 2], [true, 5], ["gp1", 31], [21065("gp[0-9]*"), 1]]
	want, err := hex.DecodeString("84826468616c6c0282f50582636770" + "31181f82d9524968" + hex.EncodeToString([]byte("gp[0-9]*")) + "01")
	if err != nil || !bytes.Equal(data, want) {
		t.Errorf("%x, want %x %v", data, want, err)
	}
	got, err := ParseScope(data)
	if err != nil || !slices.Equal(got.Users, sampleBoth.Users) || !slices.Equal(got.Admins, sampleBoth.Admins) {
		t.Errorf("%+v %v", got, err)
	}
	for what, bad := range map[string]Scope{
		"nothing":                 {},
		"an admin without List":   {Admins: []AdminEntry{{Groups: AnyGroup, Perm: PermRead}}},
		"unknown permissions":     {Admins: []AdminEntry{{Groups: AnyGroup, Perm: 33}}},
		"an unusable name":        {Admins: []AdminEntry{{Groups: NamedGroup("a/b"), Perm: 1}}},
		"an empty expression":     {Admins: []AdminEntry{{Groups: RegexpGroups(""), Perm: 1}}},
		"an expression too long":  {Admins: []AdminEntry{{Groups: RegexpGroups(string(bytes.Repeat([]byte{'a'}, 256))), Perm: 1}}},
		"a pattern twice":         {Admins: []AdminEntry{{Groups: AnyGroup, Perm: 1}, {Groups: AnyGroup, Perm: 3}}},
		"a group twice":           {Users: []ScopeEntry{{Group: "a", Roles: 2}, {Group: "a", Roles: 4}}},
		"roles that do not exist": {Users: []ScopeEntry{{Group: "a", Roles: 64}}},
	} {
		if _, err := ParseScope(bad.Encode()); !errors.Is(err, ErrScope) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, h := range []string{"", "a0", "80", "8182f502", "8182f402", "8182f401", "818201" + "01", "8182c06161" + "01"} {
		data, _ := hex.DecodeString(h)
		if _, err := ParseScope(data); !errors.Is(err, ErrScope) {
			t.Errorf("%s: %v", h, err)
		}
	}
	if _, err := ParseScope([]byte{0x81, 0x82, 0xd8, 0x23, 0x61, 'a', 1}); !errors.Is(err, ErrPattern) {
		t.Errorf("another tag: %v", err)
	}
}

func FuzzParseScope(f *testing.F) {
	f.Add(sampleBoth.Encode())
	f.Add([]byte{0x81, 0x82, 0xf5, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseScope(data)
		if err != nil {
			return
		}
		once := s.Encode()
		again, err := ParseScope(once)
		if err != nil || !bytes.Equal(again.Encode(), once) {
			t.Fatalf("%x encodes to %x: %v", data, once, err)
		}
	})
}

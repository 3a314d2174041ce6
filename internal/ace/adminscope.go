package ace

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"lamplighter/internal/cbor"
)

// Perm is a set of admin permissions, a sum of 2^permission. List is part of
// every admin entry and tells it from a user entry. GMA, Section 3.
type Perm uint

// Group OSCORE Admin Permissions.
const (
	PermList   Perm = 1
	PermCreate Perm = 2
	PermRead   Perm = 4
	PermWrite  Perm = 8
	PermDelete Perm = 16

	PermAll = PermList | PermCreate | PermRead | PermWrite | PermDelete
)

// Has reports whether all of want are in p.
func (p Perm) Has(want Perm) bool { return p&want == want }

// Valid reports whether p has List and known permissions only.
func (p Perm) Valid() bool { return p.Has(PermList) && p&^PermAll == 0 }

// String names the permissions, "list+read".
func (p Perm) String() string {
	var names []string
	for i, name := range []string{"list", "create", "read", "write", "delete"} {
		if p.Has(1 << i) {
			names = append(names, name)
		}
	}
	if len(names) == 0 || p&^PermAll != 0 {
		names = append(names, fmt.Sprintf("%#x", uint(p&^PermAll)))
	}
	return strings.Join(names, "+")
}

// PatternKind says how a [Pattern] names groups.
type PatternKind uint8

// Kinds of patterns. GMA, Section 3.
const (
	PatternName   PatternKind = iota // one name, literally
	PatternAny                       // every name, "true"
	PatternRegexp                    // an I-Regexp (RFC 9485), which matches whole names
)

// Pattern names the groups of an admin entry. Package iregexp says what it
// matches.
//
//	Toid = tstr / true / #6.21065(tstr)
type Pattern struct {
	Kind PatternKind
	Text string // the name or the expression; empty for PatternAny
}

// AnyGroup is the pattern of every group.
var AnyGroup = Pattern{Kind: PatternAny}

// NamedGroup is the pattern of one group.
func NamedGroup(name string) Pattern { return Pattern{PatternName, name} }

// RegexpGroups is the pattern of the groups whose whole name an I-Regexp matches.
func RegexpGroups(expr string) Pattern { return Pattern{PatternRegexp, expr} }

// String is the name, "*", or the expression between slashes.
func (p Pattern) String() string {
	switch p.Kind {
	case PatternAny:
		return "*"
	case PatternRegexp:
		return "/" + p.Text + "/"
	}
	return p.Text
}

// maxRegexp bounds an expression, in bytes.
const maxRegexp = 255

func (p Pattern) check() error {
	switch {
	case p.Kind == PatternName && !ValidGroupName(p.Text):
		return fmt.Errorf("%w: %q is no group name", ErrScope, p.Text)
	case p.Kind == PatternRegexp && !validRegexpText(p.Text):
		return fmt.Errorf("%w: an unusable pattern", ErrScope)
	}
	return nil
}

func validRegexpText(s string) bool {
	return s != "" && len(s) <= maxRegexp && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// MarshalCBOR writes the pattern.
func (p Pattern) MarshalCBOR() ([]byte, error) {
	switch p.Kind {
	case PatternAny:
		return []byte{cbor.True}, nil
	case PatternRegexp:
		return append(cbor.AppendHead(nil, cbor.Tagged, TagIRegexp), Encode(p.Text)...), nil
	}
	return cbor.Marshal(p.Text)
}

// UnmarshalCBOR reads the pattern. The error wraps [ErrScope].
func (p *Pattern) UnmarshalCBOR(data []byte) error {
	var item any
	if err := cbor.Unmarshal(data, &item); err != nil {
		return fmt.Errorf("%w: %v", ErrScope, err)
	}
	switch v := item.(type) {
	case bool:
		if v {
			*p = AnyGroup
			return nil
		}
	case string:
		*p = NamedGroup(v)
		return p.check()
	case cbor.Tag:
		if text, ok := v.Content.(string); ok && v.Number == TagIRegexp {
			*p = RegexpGroups(text)
			return p.check()
		}
		return fmt.Errorf("%w: patterns with tag %d are not known here", ErrPattern, v.Number)
	}
	return fmt.Errorf("%w: neither a group name nor a pattern", ErrScope)
}

// AdminEntry is one admin entry of a scope.
//
//	admin_entry = [ Toid, Tperm: uint ]  ; GMA, Section 3
type AdminEntry struct {
	_      struct{} `cbor:",toarray"`
	Groups Pattern
	Perm   Perm
}

// Scope is a whole scope: entries for users of groups and for administrators of
// them. GMA, Section 3.
//
//	AIF-OSCORE-GROUPCOMM = [ * ( scope_entry / admin_entry ) ]
type Scope struct {
	Users  []ScopeEntry
	Admins []AdminEntry
}

// Encode returns what goes into the byte string of a scope parameter or claim:
// the user entries, then the admin entries.
func (s Scope) Encode() []byte {
	all := []any{}
	for _, e := range s.Users {
		all = append(all, e)
	}
	for _, e := range s.Admins {
		all = append(all, e)
	}
	return Encode(all)
}

// Empty reports whether there is no entry.
func (s Scope) Empty() bool { return len(s.Users) == 0 && len(s.Admins) == 0 }

// rawEntry is an entry of which nothing but its form is known. The lowest bit of
// Tperm says which kind it is. GMA, Section 3.
type rawEntry struct {
	_     struct{} `cbor:",toarray"`
	Toid  cbor.RawMessage
	Tperm uint
}

// ParseScope reads the content of a scope parameter or claim with entries of both
// kinds: at least one, no group and no pattern twice. The error wraps [ErrScope],
// and [ErrPattern] for a pattern of semantics that are not supported.
func ParseScope(data []byte) (Scope, error) {
	var raw []rawEntry
	if err := cbor.Unmarshal(data, &raw); err != nil {
		return Scope{}, fmt.Errorf("%w: %v", ErrScope, err)
	}
	if len(raw) == 0 || len(raw) > maxScopeEntries {
		return Scope{}, fmt.Errorf("%w: %d entries", ErrScope, len(raw))
	}
	var s Scope
	seenGroups, seenPatterns := map[string]bool{}, map[Pattern]bool{}
	for _, r := range raw {
		if r.Tperm&uint(PermList) == 0 {
			e := ScopeEntry{Roles: Role(r.Tperm)}
			if err := cbor.Unmarshal(r.Toid, &e.Group); err != nil {
				return Scope{}, fmt.Errorf("%w: a user entry without a group name", ErrScope)
			}
			if err := e.check(); err != nil {
				return Scope{}, err
			}
			if seenGroups[e.Group] {
				return Scope{}, fmt.Errorf("%w: %q stands twice", ErrScope, e.Group)
			}
			seenGroups[e.Group] = true
			s.Users = append(s.Users, e)
			continue
		}
		e := AdminEntry{Perm: Perm(r.Tperm)}
		if err := e.Groups.UnmarshalCBOR(r.Toid); err != nil {
			return Scope{}, err
		}
		if !e.Perm.Valid() || seenPatterns[e.Groups] {
			return Scope{}, fmt.Errorf("%w: admin entry for %s: unknown permissions, or it stands twice", ErrScope, e.Groups)
		}
		seenPatterns[e.Groups] = true
		s.Admins = append(s.Admins, e)
	}
	return s, nil
}

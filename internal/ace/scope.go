package ace

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"lamplighter/internal/cbor"
)

// Role is a set of roles in a group, a sum of 2^role (KGO, Section 3).
type Role uint

// Group OSCORE Roles. Bit 0 marks an admin entry and is never set in a Role.
const (
	RoleRequester Role = 2
	RoleResponder Role = 4
	RoleMonitor   Role = 8
	RoleVerifier  Role = 16

	roleMask = RoleRequester | RoleResponder | RoleMonitor | RoleVerifier
)

// Has reports whether all of want are in r.
func (r Role) Has(want Role) bool { return r&want == want }

// Valid reports whether r is not empty and holds known roles only.
func (r Role) Valid() bool { return r != 0 && r&^roleMask == 0 }

// Joinable reports whether a node may ask for r in a Join Request: neither
// requester nor responder goes together with monitor, and nobody joins as a
// verifier (KGO, Sections 3 and 6.1).
func (r Role) Joinable() bool {
	return r == RoleMonitor || (r != 0 && r&^(RoleRequester|RoleResponder) == 0)
}

// NeedsCredential reports whether a member with these roles sends messages and
// so has a credential and a Sender ID (KGO, Section 6.1).
func (r Role) NeedsCredential() bool { return r&(RoleRequester|RoleResponder) != 0 }

// String names the roles, "requester+responder".
func (r Role) String() string {
	var names []string
	for _, n := range []struct {
		role Role
		name string
	}{{RoleRequester, "requester"}, {RoleResponder, "responder"}, {RoleMonitor, "monitor"}, {RoleVerifier, "verifier"}} {
		if r.Has(n.role) {
			names = append(names, n.name)
		}
	}
	if len(names) == 0 || r&^roleMask != 0 {
		names = append(names, fmt.Sprintf("%#x", uint(r&^roleMask)))
	}
	return strings.Join(names, "+")
}

// ScopeEntry is one user entry of a scope.
//
//	scope_entry = [ Toid: tstr, Tperm: uint ]  ; KGO, Section 3
type ScopeEntry struct {
	_     struct{} `cbor:",toarray"`
	Group string   // Toid, the group's name
	Roles Role     // Tperm
}

func (e ScopeEntry) check() error {
	switch {
	case !ValidGroupName(e.Group):
		return fmt.Errorf("%w: %q is no group name", ErrScope, e.Group)
	case e.Roles&1 != 0:
		return fmt.Errorf("%w: an admin entry", ErrScope)
	case !e.Roles.Valid():
		return fmt.Errorf("%w: unknown roles %#x", ErrScope, uint(e.Roles))
	}
	return nil
}

const (
	maxGroupName    = 255 // a Uri-Path option, RFC 7252, Section 5.10
	maxScopeEntries = 256
)

// ValidGroupName reports whether name can be one segment of a URI path: 1 to
// 255 bytes of UTF-8 without what divides or escapes a URI and without control
// characters, and not a dot segment (KGO, Section 3; RFC 3986, Section 3.3). It
// travels in a Uri-Path option, so that nothing in it is percent-encoded.
func ValidGroupName(name string) bool {
	if name == "" || len(name) > maxGroupName || name == "." || name == ".." || !utf8.ValidString(name) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return strings.ContainsRune("/?#%", r) || unicode.IsControl(r) })
}

// EncodeScope returns what goes into the byte string of a scope parameter or
// claim.
//
//	AIF-OSCORE-GROUPCOMM = [ * scope_entry ]
func EncodeScope(entries []ScopeEntry) []byte {
	if entries == nil {
		entries = []ScopeEntry{}
	}
	return Encode(entries)
}

// DecodeScope reads the content of a scope parameter or claim: at least one
// entry, no group twice. The error wraps [ErrScope].
func DecodeScope(data []byte) ([]ScopeEntry, error) {
	var entries []ScopeEntry
	if err := cbor.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrScope, err)
	}
	if len(entries) == 0 || len(entries) > maxScopeEntries {
		return nil, fmt.Errorf("%w: %d entries", ErrScope, len(entries))
	}
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		if err := e.check(); err != nil {
			return nil, err
		}
		if seen[e.Group] {
			return nil, fmt.Errorf("%w: %q stands twice", ErrScope, e.Group)
		}
		seen[e.Group] = true
	}
	return entries, nil
}

// EncodeJoinScope returns the content of the scope of a Join Request, which is
// one entry and not an array of them (RFC 9594, Section 4.3.1).
func EncodeJoinScope(entry ScopeEntry) []byte { return Encode(entry) }

// DecodeJoinScope reads the scope of a Join Request. That the roles go together
// is for [Role.Joinable] to say. The error wraps [ErrScope].
func DecodeJoinScope(data []byte) (ScopeEntry, error) {
	var e ScopeEntry
	if err := cbor.Unmarshal(data, &e); err != nil {
		return ScopeEntry{}, fmt.Errorf("%w: %v", ErrScope, err)
	}
	return e, e.check()
}

// ScopeParam is the scope of a token request, response or hint: the bytes of a
// scope. A text string, which OAuth allows too, is refused with [ErrScope].
type ScopeParam []byte

// UnmarshalCBOR reads the byte string.
func (s *ScopeParam) UnmarshalCBOR(data []byte) error {
	var b []byte
	if len(data) == 0 || data[0]>>5 != cbor.Bytes || cbor.Unmarshal(data, &b) != nil {
		return fmt.Errorf("%w: not a byte string", ErrScope)
	}
	*s = b
	return nil
}

// ScopeClaim is the scope claim of a token, in its plain or its extended form
// (RFC 9594, Section 7).
//
//	scope = bstr / #6.1668547113(bstr)
type ScopeClaim struct {
	Scope    []byte
	Extended bool // with the tag that names the scope's semantics
}

// IsZero reports whether the claim is absent.
func (s ScopeClaim) IsZero() bool { return s.Scope == nil }

// MarshalCBOR writes the claim.
func (s ScopeClaim) MarshalCBOR() ([]byte, error) {
	out := cbor.AppendBytes(nil, s.Scope)
	if s.Extended {
		return append(cbor.AppendHead(nil, cbor.Tagged, TagExtendedScope), out...), nil
	}
	return out, nil
}

// UnmarshalCBOR reads both forms.
func (s *ScopeClaim) UnmarshalCBOR(data []byte) error {
	s.Extended = false
	if len(data) > 0 && data[0]>>5 == cbor.Tagged {
		var tag cbor.Tag
		if err := cbor.Unmarshal(data, &tag); err != nil {
			return err
		}
		b, ok := tag.Content.([]byte)
		if !ok || tag.Number != TagExtendedScope {
			return fmt.Errorf("%w: tag %d", ErrScope, tag.Number)
		}
		s.Scope, s.Extended = b, true
		return nil
	}
	return (*ScopeParam)(&s.Scope).UnmarshalCBOR(data)
}

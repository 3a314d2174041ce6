package ace

import (
	"fmt"

	"lamplighter/internal/cbor"
)

func isNull(data []byte) bool { return len(data) == 1 && data[0] == cbor.Null }

// Ask is a parameter whose only value in a request is null, "tell me". Its zero
// value is absent.
type Ask bool

// IsZero reports whether the parameter is absent.
func (a Ask) IsZero() bool { return !bool(a) }

// MarshalCBOR writes null.
func (a Ask) MarshalCBOR() ([]byte, error) { return []byte{cbor.Null}, nil }

// UnmarshalCBOR reads null.
func (a *Ask) UnmarshalCBOR(data []byte) error {
	if !isNull(data) {
		return fmt.Errorf("%w: a value where null stands", ErrDecode)
	}
	*a = true
	return nil
}

// ProfileParam is ace_profile in a token request: absent, null ("tell me",
// RFC 9200, Section 5.8.1) or a profile that the client names. Its zero value is
// absent.
type ProfileParam struct {
	Asked   bool // null
	Profile int  // one of the ACE Profiles
}

// IsZero reports whether the parameter is absent.
func (p ProfileParam) IsZero() bool { return p == ProfileParam{} }

// MarshalCBOR writes null or the profile.
func (p ProfileParam) MarshalCBOR() ([]byte, error) {
	if p.Asked {
		return []byte{cbor.Null}, nil
	}
	return cbor.Marshal(p.Profile)
}

// UnmarshalCBOR reads null or the profile.
func (p *ProfileParam) UnmarshalCBOR(data []byte) error {
	*p = ProfileParam{Asked: isNull(data)}
	if p.Asked {
		return nil
	}
	if err := cbor.Unmarshal(data, &p.Profile); err != nil {
		return err
	}
	if p.Profile == 0 { // reserved; would read as absent
		return fmt.Errorf("%w: profile 0", ErrDecode)
	}
	return nil
}

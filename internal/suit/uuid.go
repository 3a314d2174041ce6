package suit

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
)

// UUID is a vendor, class or device identifier. RFC 9562.
type UUID [16]byte

// namespaceDNS is the name space of domain names. RFC 9562, Section 6.6.
var namespaceDNS = UUID{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

// String returns the usual text form.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseUUID reads what [UUID.String] makes, in either case.
func ParseUUID(s string) (u UUID, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(u) || !strings.EqualFold(UUID(b).String(), s) {
		return u, fmt.Errorf("%q is no UUID, which looks like %v", s, namespaceDNS)
	}
	return UUID(b), nil
}

// VendorID makes a vendor id of a domain name. Section 8.4.8.2.
func VendorID(domain string) UUID { return named5(namespaceDNS, domain) }

// ClassID makes a class id of class-specific information, such as a model's name
// and hardware revision. Section 8.4.8.2.
func ClassID(vendor UUID, class string) UUID { return named5(vendor, class) }

// named5 is a UUID of version 5. RFC 9562, Section 5.5; SHA-1 secures nothing here.
func named5(space UUID, name string) (u UUID) {
	sum := sha1.Sum(append(space[:], name...))
	copy(u[:], sum[:])
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

package commission

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// Invitation is what stands behind "#i=" in an invitation link, base64url of
//
//	invitation = { 1: tstr,            ; access code, for the bridge alone
//	               2: bstr,            ; invitation id
//	               3: bstr .size 16,   ; invitation secret
//	               4: tstr, 5: bstr,   ; the Authorization Server: "ip:port", credential (CCS)
//	               6: tstr, 7: bstr,   ; the Group Manager: the same
//	               8: tstr,            ; the groups' multicast address, "224.0.1.187:5683"
//	               9: tstr,            ; name of the site
//	               10: tstr }          ; name of the installer
//
// A browser does not send the fragment of a link to any server.
type Invitation struct {
	AccessCode string      `cbor:"1,keyasint"`
	ID         []byte      `cbor:"2,keyasint"`
	Secret     cose.Secret `cbor:"3,keyasint"`
	ASAddress  string      `cbor:"4,keyasint"`
	ASCred     []byte      `cbor:"5,keyasint"`
	GMAddress  string      `cbor:"6,keyasint"`
	GMCred     []byte      `cbor:"7,keyasint"`
	Multicast  string      `cbor:"8,keyasint"`
	Site       string      `cbor:"9,keyasint"`
	Installer  string      `cbor:"10,keyasint"`
}

// String names the invitation without its secrets.
func (i Invitation) String() string {
	return fmt.Sprintf("invitation of %s to %s [redacted]", i.Installer, i.Site)
}

// GoString is String, for %#v.
func (i Invitation) GoString() string { return i.String() }

const (
	invitationPrefix = "i="
	maxInvitation    = 4096
	invitationSecret = 16
)

// Encode gives the fragment, "i=" and all.
func (i Invitation) Encode() string {
	return invitationPrefix + base64.RawURLEncoding.EncodeToString(
		cbor.MustMarshal(i))
}

// ParseInvitation takes a fragment ("i=…", with or without "#") or a whole link.
func ParseInvitation(text string) (Invitation, error) {
	text = strings.TrimSpace(text)
	if _, fragment, ok := strings.Cut(text, "#"); ok {
		text = fragment
	}
	text, ok := strings.CutPrefix(text, invitationPrefix)
	if !ok || len(text) > maxInvitation {
		return Invitation{}, errInvitation
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return Invitation{}, errInvitation
	}
	var i Invitation
	if err := cbor.Unmarshal(data, &i); err != nil {
		return Invitation{}, errInvitation // err could quote the secret
	}
	return i, i.check()
}

func (i Invitation) check() error {
	if len(i.ID) == 0 || len(i.Secret) != invitationSecret || i.Site == "" {
		return errInvitation
	}
	for _, addr := range []string{i.ASAddress, i.GMAddress, i.Multicast} {
		if _, err := netip.ParseAddrPort(addr); err != nil {
			return errInvitation
		}
	}
	for _, cred := range [][]byte{i.ASCred, i.GMCred} {
		if _, err := cose.ParseCCS(cred); err != nil {
			return errInvitation
		}
	}
	return nil
}

package commission

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
	AccessCode string `cbor:"1,keyasint"`
	ID         []byte `cbor:"2,keyasint"`
	Secret     []byte `cbor:"3,keyasint"`
	ASAddress  string `cbor:"4,keyasint"`
	ASCred     []byte `cbor:"5,keyasint"`
	GMAddress  string `cbor:"6,keyasint"`
	GMCred     []byte `cbor:"7,keyasint"`
	Multicast  string `cbor:"8,keyasint"`
	Site       string `cbor:"9,keyasint"`
	Installer  string `cbor:"10,keyasint"`
}

// Encode gives the fragment, "i=" and all.
func (i Invitation) Encode() string { panic("not built yet") }

// ParseInvitation takes a fragment ("i=…", with or without "#") or a whole link.
func ParseInvitation(fragment string) (Invitation, error) { panic("not built yet") }

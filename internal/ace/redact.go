package ace

import "fmt"

// A message that holds a secret prints as %+v whatever the verb is: a verb that
// does not fit a field, as %s on a pointer, would pass by the secret's own
// redaction. Nothing else is left out.

// Format keeps the Master Secret out.
func (m OSCOREMaterial) Format(w fmt.State, _ rune) {
	type plain OSCOREMaterial
	fmt.Fprintf(w, "%+v", plain(m))
}

// Format keeps the Master Secret out.
func (m KeyMaterial) Format(w fmt.State, _ rune) {
	type plain KeyMaterial
	fmt.Fprintf(w, "%+v", plain(m))
}

// Format keeps the Master Secret out.
func (c Confirmation) Format(w fmt.State, _ rune) {
	type plain Confirmation
	fmt.Fprintf(w, "%+v", plain(c))
}

// Format keeps the Master Secret out.
func (r TokenResponse) Format(w fmt.State, _ rune) {
	type plain TokenResponse
	fmt.Fprintf(w, "%+v", plain(r))
}

// Format keeps the Master Secret out.
func (c CWTClaims) Format(w fmt.State, _ rune) {
	type plain CWTClaims
	fmt.Fprintf(w, "%+v", plain(c))
}

// Format keeps the Master Secret out.
func (r JoinResponse) Format(w fmt.State, _ rune) {
	type plain JoinResponse
	fmt.Fprintf(w, "%+v", plain(r))
}

// Format keeps the Master Secret out.
func (r KeyResponse) Format(w fmt.State, _ rune) {
	type plain KeyResponse
	fmt.Fprintf(w, "%+v", plain(r))
}

// Format keeps the Master Secret out.
func (m RekeyingMessage) Format(w fmt.State, _ rune) {
	type plain RekeyingMessage
	fmt.Fprintf(w, "%+v", plain(m))
}

// Format keeps the Signature Encryption Key out.
func (r VerifDataResponse) Format(w fmt.State, _ rune) {
	type plain VerifDataResponse
	fmt.Fprintf(w, "%+v", plain(r))
}

// Format keeps the key out.
func (k TokenKey) Format(w fmt.State, _ rune) {
	type plain TokenKey
	fmt.Fprintf(w, "%+v", plain(k))
}

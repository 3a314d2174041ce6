// Package oscore protects CoAP messages end to end (RFC 8613): security
// contexts, the OSCORE Option, requests, responses and notifications, replay
// windows, sequence numbers that survive a crash (Appendix B.1.1), Echo after a
// lost window (Appendix B.1.2), and sessions on a pre-shared secret (Appendix
// B.2, [PSKClient] and [PSKServer]).
//
// A [Context] protects a message and hands out a [Binding], which ties the
// responses to their request. [Client] and [Server] put contexts behind the
// interfaces of package coap; a Client observes too. The functions on which Group
// OSCORE builds (nonce, option, plaintext, window) are exported for package
// group.
//
// The AEAD is AES-CCM in all eight variants, AES-GCM with any key or
// ChaCha20/Poly1305, the key derivation HKDF with SHA-256 or SHA-512. Sessions
// use the default ones. Inner block-wise transfer is for the layer above, and
// outer blocks are for who hands messages in: package coap. Not built are
// protected signalling messages (Section 4.3), the mapping to HTTP (Section 11),
// and outer instances of options that an endpoint may add for proxies (Max-Age
// in notifications, No-Response).
package oscore

import (
	"errors"
	"fmt"

	"lamplighter/internal/coap"
)

// Errors by consequence. A message for which there is no context gives
// [coap.ErrNoContext].
var (
	ErrDecode = errors.New("malformed OSCORE message")
	ErrReplay = errors.New("replay detected")
	ErrVerify = errors.New("cannot be verified") // opaque: why is not said
	ErrSpent  = errors.New("sender sequence numbers are used up")
)

// IsProtected says whether m carries the OSCORE Option.
func IsProtected(m *coap.Message) bool { return coap.HasOption(m, coap.OptionOSCORE) }

// ErrorResponse maps an error of unprotecting a request to the answer, which is
// not protected and not to be cached. RFC 8613, Sections 7.4 and 8.2.
func ErrorResponse(err error) *coap.Message {
	var resp *coap.Message
	switch {
	case errors.Is(err, ErrDecode):
		resp = coap.Problem(coap.BadOption, "Failed to decode COSE")
	case errors.Is(err, coap.ErrNoContext):
		resp = coap.Problem(coap.Unauthorized, "Security context not found")
	case errors.Is(err, ErrReplay):
		resp = coap.Problem(coap.Unauthorized, "Replay detected")
	case errors.Is(err, ErrVerify):
		resp = coap.Problem(coap.BadRequest, "Decryption failed")
	default:
		resp = coap.Problem(coap.ServiceUnavailable, "")
	}
	coap.AddUint(resp, coap.OptionMaxAge, 0)
	return resp
}

// EchoError says that a request is authentic but not known to be fresh.
// Challenge is the protected 4.01 with an Echo Option to answer with; a request
// that repeats the option is accepted. RFC 8613, Appendix B.1.2.
type EchoError struct{ Challenge *coap.Message }

// Error says that freshness must be proven.
func (e *EchoError) Error() string { return "freshness must be proven by Echo" }

// UnprotectedError is an answer without protection to a protected request: an
// error of the peer's OSCORE layer or of a proxy, or a forgery. It wraps
// [coap.ErrNoContext] when it is a 4.01.
type UnprotectedError struct{ Response *coap.Message }

// Error gives the code and the diagnostic text.
func (e *UnprotectedError) Error() string {
	if err := coap.CheckResponse(e.Response); err != nil {
		return fmt.Sprintf("answered without protection: %v", err)
	}
	return fmt.Sprintf("answered without protection (%v)", e.Response.Code)
}

// Unwrap makes the code available as a [*coap.ResponseError], and a 4.01 as
// [coap.ErrNoContext].
func (e *UnprotectedError) Unwrap() []error {
	errs := []error{}
	if err := coap.CheckResponse(e.Response); err != nil {
		errs = append(errs, err)
	}
	if e.Response.Code == coap.Unauthorized {
		errs = append(errs, coap.ErrNoContext)
	}
	return errs
}

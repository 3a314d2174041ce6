// Package suit reads, checks, makes and interprets SUIT manifests: the signed
// description of a firmware image, of whom it is for and how it is installed. It
// follows draft-ietf-suit-manifest-37 (18 June 2026), which all sections below are
// of; the registries are those of that revision.
//
// Built are: the envelope (tag 107) with severed elements and integrated payloads;
// COSE_Sign1 with ES256 (-7), ESP256 (-9), EdDSA (-8) and Ed25519 (-19); SHA-256;
// components, the shared sequence, payload-fetch, install, validate, load, invoke
// and text; of the commands those of the draft's examples and the check of a device
// identifier. Everything else (MACs, other digests, swap, write, run-sequence,
// custom commands, vendor ids that are enterprise numbers, extensions) is refused
// with [ErrUnsupported] by its name: a device must not skip what it does not know.
//
// Only deterministic encoding is accepted (RFC 8949, Section 4.2.1), as Section 8.1
// wants it of maps, so that nothing in an envelope can be changed without a
// signature or a digest failing. For the same reason unprotected header parameters
// are refused.
package suit

import "errors"

// Errors by consequence. What wraps them says in a sentence what is wrong.
var (
	ErrDecode      = errors.New("malformed SUIT envelope")
	ErrUnsupported = errors.New("not supported")            // by its name
	ErrDigest      = errors.New("digest does not match")    // manifest, severed element or image were changed
	ErrSigner      = errors.New("no trusted key signed it") // by its key id, or because no anchor's check succeeds
	ErrSignature   = errors.New("the signature is wrong")   // of a key that is trusted
	ErrRecipient   = errors.New("it is for other devices")  // vendor, class or device id
)

// Digest is SHA-256, the digest that all must have.
type Digest [32]byte

// ImageURI names the integrated payload in the envelopes that [Sign] makes.
const ImageURI = "#image"

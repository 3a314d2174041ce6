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

import (
	"encoding/hex"
	"errors"

	"lamplighter/internal/cose"
)

// Errors by consequence. What wraps them says in a sentence what is wrong.
var (
	ErrDecode      = errors.New("malformed SUIT envelope")
	ErrUnsupported = errors.New("not supported")            // by its name
	ErrDigest      = errors.New("digest does not match")    // manifest, severed element or image were changed
	ErrSigner      = errors.New("no trusted key signed it") // by its key id, or because no anchor's check succeeds
	ErrSignature   = errors.New("the signature is wrong")   // of a key that is trusted
	ErrRecipient   = errors.New("it is for other devices")  // vendor, class or device id
)

// UUID is a vendor, class or device identifier. RFC 9562.
type UUID [16]byte

// String returns the usual text form.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Digest is SHA-256, the digest that all must have.
type Digest [32]byte

// ImageURI names the integrated payload in the envelopes that [Sign] makes.
const ImageURI = "#image"

// Image is what a manifest says of the image of its first component.
type Image struct {
	Sequence  uint64 // the manifest's sequence number
	Vendor    UUID   // zero: any
	Class     UUID   // zero: any
	Device    UUID   // zero: any of the class
	Size      uint64 // bytes
	Digest    Digest // of the image
	URI       string // where it is fetched from; "#image": it came with the envelope
	Version   string // from the text, which devices do not get; empty: not said
	Invoke    bool   // it is started after the update
	Component [][]byte
}

// Recipient is a device that a manifest is applied to.
type Recipient struct {
	Vendor, Class UUID
	Device        UUID // zero: has none, and no manifest for one device fits
	Slot          uint // that the image would be written to
}

// KeyIDSize is the length of a [KeyID].
const KeyIDSize = 8

// KeyID is how our envelopes name the signer's key: the first 8 bytes of the key's
// thumbprint. RFC 9679.
func KeyID(key cose.PublicKey) []byte { return nil }

// Signer makes signatures: a key here, or a token elsewhere.
type Signer interface {
	Algorithm() cose.Algorithm
	Public() cose.PublicKey
	Sign(toBeSigned []byte) ([]byte, error) // R | S, or r | s
}

// Params is what an envelope is made of.
type Params struct {
	Sequence uint64
	Vendor   string // domain name; the vendor id is made of it
	Class    string // class-specific information, such as a model; the class id is made of it
	Device   UUID   // zero: all devices of the class
	Image    []byte
	URI      string // where else the image is; empty: [ImageURI]

	Integrate bool // put the image into the envelope

	// Text, of which Version and what is not empty are in the envelope.
	Version, VendorName, Model, Description string
}

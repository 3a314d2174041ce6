package suit

import (
	"lamplighter/internal/cose"
)

// Envelope is a SUIT envelope that has been read. Its bytes are not to be changed.
type Envelope struct {
	Manifest      Manifest
	ManifestBytes []byte // as signed
	Digest        Digest // of the manifest in its byte string; it names the manifest
	Signatures    []Signature
	Integrated    map[string][]byte // payloads by name
	Text          map[string]Text   // by language; nil: none, or severed
}

// Manifest is what is signed.
type Manifest struct {
	Sequence     uint64
	ReferenceURI string
}

// Text is what a manifest says to people, in one language.
type Text struct {
	Description, Update                            string
	VendorName, ModelName, VendorDomain, ModelInfo string // of the first component
	ComponentDescription, Version                  string
}

// Signature is one authentication block.
type Signature struct {
	Algorithm cose.Algorithm
	KeyID     []byte // nil: it names none
	Bytes     []byte
}

// Parse reads an envelope strictly, and checks all digests in it: of the manifest,
// of severed elements that are there and of integrated payloads. It does not look
// for signatures: that is [Envelope.Verify]. Errors wrap [ErrDecode],
// [ErrUnsupported] or [ErrDigest].
func Parse(data []byte) (*Envelope, error) { return nil, ErrUnsupported }

// Open is what a device does: it looks into the manifest only after the signature
// was verified (Section 6.2). It fails as [Parse] and [Envelope.Verify] do.
func Open(data []byte, anchors ...cose.PublicKey) (*Envelope, cose.PublicKey, error) {
	return nil, cose.PublicKey{}, ErrUnsupported
}

// Verify returns the first of the anchors that signed the envelope. It fails with
// [ErrSigner] or [ErrSignature].
func (e *Envelope) Verify(anchors ...cose.PublicKey) (cose.PublicKey, error) {
	return cose.PublicKey{}, ErrUnsupported
}

// Encode returns the envelope to the byte as it was read.
func (e *Envelope) Encode() []byte { return nil }

// Bare returns the envelope without integrated payloads and text, as it goes to
// devices. The signatures stay good.
func (e *Envelope) Bare() []byte { return nil }

// Image returns what the manifest says of the image of its first component, before
// it is known which device it is for: of alternatives it takes the first. It fails
// with [ErrUnsupported] where no size or digest is said.
func (e *Envelope) Image() (Image, error) { return Image{}, ErrUnsupported }

// Apply returns what the manifest asks of a device with one component. It fails
// with [ErrRecipient] for a device that the manifest is not for, and with
// [ErrUnsupported] for a manifest that does not check vendor and class, that does
// anything else than to fetch one image, to check its digest and to invoke it, or
// that does not do the first two.
func (e *Envelope) Apply(r Recipient) (Image, error) { return Image{}, ErrUnsupported }

// VendorID makes a vendor id of a domain name. Section 8.4.8.2.
func VendorID(domain string) UUID { return UUID{} }

// ClassID makes a class id of class-specific information. Section 8.4.8.2.
func ClassID(vendor UUID, class string) UUID { return UUID{} }

// NewSigner makes a signer of a key. alg may be [cose.Null] for the algorithm of
// the key: Ed25519 (-19) or ESP256 (-9).
func NewSigner(alg cose.Algorithm, key cose.PrivateKey) (Signer, error) { return nil, ErrUnsupported }

// Sign makes an envelope, deterministically but for the signature.
func Sign(p Params, signer Signer) ([]byte, error) { return nil, ErrUnsupported }

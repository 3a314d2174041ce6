package suit

import (
	"crypto/sha256"
	"fmt"
	"unicode/utf8"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// textLanguage is that of the texts that [Sign] makes.
const textLanguage = "en"

// report is the reporting policy of conditions and of directives in what we make, as
// in the draft's examples: everything, and a record of a failure. Section 8.4.7.
const (
	reportCondition = 15
	reportDirective = 2
)

// component is the one that our manifests speak of.
var component = [][]byte{{0}}

// Signer makes signatures: a key here, or a token elsewhere.
type Signer interface {
	Algorithm() cose.Algorithm
	Public() cose.PublicKey
	Sign(toBeSigned []byte) ([]byte, error) // R | S for Ed25519, r | s for P-256
}

type keySigner struct {
	cose.PrivateKey
	alg cose.Algorithm
}

func (s keySigner) Algorithm() cose.Algorithm { return s.alg }

// NewSigner makes a signer of a key. alg may be [cose.Null] for the fully specified
// algorithm of the key, which the profiles of draft-ietf-suit-mti ask for: Ed25519
// (-19) or ESP256 (-9). It fails with [ErrUnsupported] where both do not go together.
func NewSigner(alg cose.Algorithm, key cose.PrivateKey) (Signer, error) {
	alg, err := AlgorithmOf(alg, key.Public())
	if err != nil {
		return nil, err
	}
	return keySigner{key, alg}, nil
}

// AlgorithmOf returns alg if signatures of key can be of it, and for [cose.Null] the
// fully specified algorithm of key.
func AlgorithmOf(alg cose.Algorithm, key cose.PublicKey) (cose.Algorithm, error) {
	if alg == cose.Null {
		switch key.Curve() {
		case cose.Ed25519:
			alg = cose.AlgEd25519
		case cose.P256:
			alg = cose.ESP256
		}
	}
	if alg == cose.Null || curve(alg) != key.Curve() {
		return cose.Null, unsupported("signing with algorithm %d and a key on %v", int(alg), key.Curve())
	}
	return alg, nil
}

// Params is what an envelope is made of.
type Params struct {
	Sequence uint64
	Vendor   string // domain name; the vendor id is made of it
	Class    string // class-specific information, such as a model; the class id is made of it
	VendorID UUID   // zero: made of Vendor
	ClassID  UUID   // zero: made of Class
	Device   UUID   // zero: all devices of the class
	Image    []byte
	URI      string // where else the image is; empty: [ImageURI]

	Integrate bool // put the image into the envelope

	// The text; what is empty is left out.
	Version, VendorName, Model, Description string
}

// Sign makes an envelope, deterministically but for the signature. It has one
// component, checks vendor and class, and has its text severed:
//
//	manifest = {
//	  1: 1, 2: sequence,
//	  3: << { 2: [ [ h'00' ] ], 4: << [ 20, { 1: vendor, 2: class, 3: << digest >>, 14: size }, 1, 15, 2, 15 ] >> } >>,
//	  7: << [ 3, 15 ] >>, 9: << [ 23, 2 ] >>,
//	  20: << [ 20, { 21: "#image" }, 21, 2, 3, 15 ] >>,
//	  23: digest
//	}
//
// It checks that the signature is of the signer's key.
func Sign(p Params, signer Signer) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	e := &Envelope{Integrated: map[string][]byte{}, severed: map[Element][]byte{}}
	if p.Integrate {
		e.names, e.Integrated[p.URI] = []string{p.URI}, p.Image
	}
	if t := p.text(); t.Components[0] != (ComponentText{}) || t.Description != "" {
		e.severed[TextElement] = appendText(textLanguage, t, [][][]byte{component})
	}
	e.ManifestBytes = p.manifest(e.severed[TextElement])
	e.payload = appendDigest(nil, wrapped(e.ManifestBytes))
	s, err := newSignature("the manifest", e.payload, signer)
	if err != nil {
		return nil, err
	}
	e.authentication = cbor.AppendBytes(cbor.AppendBytes(cbor.AppendHead(nil, cbor.Array, 2), e.payload), s.encode())
	return e.Encode(), nil
}

// check completes what follows from the rest.
func (p *Params) check() error {
	for _, s := range []string{p.Vendor, p.Class, p.URI, p.Version, p.VendorName, p.Model, p.Description} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("making a manifest: %q is not UTF-8", s)
		}
	}
	if p.VendorID == (UUID{}) {
		if p.Vendor == "" {
			return fmt.Errorf("making a manifest: it needs a vendor, such as example.com")
		}
		p.VendorID = VendorID(p.Vendor)
	}
	if p.ClassID == (UUID{}) {
		if p.Class == "" {
			return fmt.Errorf("making a manifest: it needs a class, such as the name of the model")
		}
		p.ClassID = ClassID(p.VendorID, p.Class)
	}
	if len(p.Image) == 0 {
		return fmt.Errorf("making a manifest: the image is empty")
	}
	if p.URI == "" {
		p.URI = ImageURI
	}
	return nil
}

func (p *Params) text() Text {
	return Text{Description: p.Description, Components: []ComponentText{{
		VendorName: p.VendorName, ModelName: p.Model, VendorDomain: p.Vendor, ModelInfo: p.Class, Version: p.Version,
	}}}
}

func (p *Params) manifest(text []byte) []byte {
	n := uint64(6)
	if text != nil {
		n++
	}
	b := cbor.AppendHead(nil, cbor.Map, n)
	b = cbor.AppendInt(append(b, elementVersion), 1)
	b = cbor.AppendHead(append(b, elementSequence), cbor.Uint, p.Sequence)
	b = cbor.AppendBytes(append(b, elementCommon), p.common())
	b = cbor.AppendBytes(append(b, byte(Validate)), sequence(condition(CheckImage)))
	b = cbor.AppendBytes(append(b, byte(Invoke)), sequence(directive(DoInvoke)))
	uri := cbor.AppendText([]byte{0xa1, parameterURI}, p.URI)
	b = cbor.AppendBytes(append(b, byte(Install)), sequence(override(uri), directive(DoFetch), condition(CheckImage)))
	if text != nil {
		b = appendDigest(append(b, byte(TextElement)), wrapped(text))
	}
	return b
}

func (p *Params) common() []byte {
	checks := [][]byte{condition(CheckVendor), condition(CheckClass)}
	n := uint64(4)
	if p.Device != (UUID{}) {
		n, checks = n+1, append(checks, []byte{0x18, byte(CheckDevice), reportCondition})
	}
	set := cbor.AppendHead(nil, cbor.Map, n)
	set = cbor.AppendBytes(append(set, parameterVendor), p.VendorID[:])
	set = cbor.AppendBytes(append(set, parameterClass), p.ClassID[:])
	set = cbor.AppendBytes(append(set, parameterDigest), appendDigest(nil, sha256.Sum256(p.Image)))
	set = cbor.AppendHead(append(set, parameterSize), cbor.Uint, uint64(len(p.Image)))
	if p.Device != (UUID{}) {
		set = cbor.AppendBytes(cbor.AppendInt(set, parameterDevice), p.Device[:])
	}
	b := cbor.AppendHead(nil, cbor.Map, 2)
	b = appendComponent(append(b, commonComponents, 0x81), component)
	return cbor.AppendBytes(append(b, commonShared), sequence(append([][]byte{override(set)}, checks...)...))
}

// The numbers of these commands are below 24 and stand for themselves in CBOR.
func condition(c Code) []byte { return []byte{byte(c), reportCondition} }
func directive(c Code) []byte { return []byte{byte(c), reportDirective} }
func override(parameters []byte) []byte {
	return append([]byte{byte(OverrideParameters)}, parameters...)
}

// sequence joins pairs of command and argument.
func sequence(pairs ...[]byte) []byte {
	b := cbor.AppendHead(nil, cbor.Array, uint64(2*len(pairs)))
	for _, pair := range pairs {
		b = append(b, pair...)
	}
	return b
}

package suit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// maxSignatures bounds what one envelope makes others verify.
const maxSignatures = 4

// Envelope is a SUIT envelope that has been read. Its bytes are not to be changed.
// Section 8.2.
//
//	envelope = 107({
//	  2: << [ << digest >>, * << COSE_Sign1 >> ] >>,
//	  3: << manifest >>,
//	  ? 16: << sequence >>, ? 20: << sequence >>, ? 23: << text >>,   severed
//	  * tstr => bstr                                                  integrated
//	})
//	digest = [ -16, bstr .size 32 ]
type Envelope struct {
	Manifest      Manifest
	ManifestBytes []byte // as signed
	Digest        Digest // of the manifest in its byte string; it names the manifest
	Signatures    []Signature
	Integrated    map[string][]byte // payloads by name
	Text          map[string]Text   // by language; nil: none, or severed and not here

	authentication []byte             // as it was read
	payload        []byte             // what is signed: the encoded digest
	severed        map[Element][]byte // elements that stand beside the manifest, as they were read
	names          []string           // of the integrated payloads, in order
}

// Parse reads an envelope strictly, and checks all digests in it: of the manifest,
// of severed elements that are there and of integrated payloads. It does not look
// for signatures: that is [Envelope.Verify]. Errors wrap [ErrDecode],
// [ErrUnsupported] or [ErrDigest].
func Parse(data []byte) (*Envelope, error) {
	e, err := split(data)
	if err != nil {
		return nil, err
	}
	return e, e.open()
}

// Open is what a device does: it looks into the manifest only after the signature
// was verified (Section 6.2). It fails as [Parse] and [Envelope.Verify] do.
func Open(data []byte, anchors ...cose.PublicKey) (*Envelope, cose.PublicKey, error) {
	e, err := split(data)
	if err != nil {
		return nil, cose.PublicKey{}, err
	}
	signer, err := e.Verify(anchors...)
	if err != nil {
		return nil, cose.PublicKey{}, err
	}
	if err := e.open(); err != nil {
		return nil, cose.PublicKey{}, err
	}
	return e, signer, nil
}

// Verify returns the first of the anchors that signed the envelope. It fails with
// [ErrSignature] when a signature names an anchor's key and is not of it, with
// [ErrSigner] when none is of an anchor, as far as can be seen. Section 8.3.
func (e *Envelope) Verify(anchors ...cose.PublicKey) (cose.PublicKey, error) {
	if len(e.Signatures) == 0 {
		return cose.PublicKey{}, fmt.Errorf("%w: the envelope has no signature at all", ErrSigner)
	}
	err := ErrSigner
	for _, s := range e.Signatures {
		for _, key := range anchors {
			if s.verify(key, e.payload) {
				return key, nil
			}
			if bytes.Equal(s.KeyID, KeyID(key)) {
				err = ErrSignature
			}
		}
	}
	return cose.PublicKey{}, err
}

// split reads the envelope without looking into the manifest, and checks the digest
// of the manifest.
func split(data []byte) (*Envelope, error) {
	r := cbor.NewReader(data)
	switch tag := r.Tag(); {
	case r.Err() != nil:
		return nil, fmt.Errorf("%w: it does not begin with tag %d: %w", ErrDecode, tagEnvelope, r.Err())
	case tag == tagManifest:
		return nil, unsupported("a manifest without envelope (tag %d), which nobody signed,", tagManifest)
	case tag != tagEnvelope:
		return nil, fmt.Errorf("%w: tag %d instead of %d", ErrDecode, tag, tagEnvelope)
	}
	e := &Envelope{severed: map[Element][]byte{}, Integrated: map[string][]byte{}}
	var err error
	r.Map(func(key *cbor.Reader) {
		if key.Next() == cbor.Text {
			name := key.Text()
			e.Integrated[name] = r.Bytes()
			e.names = append(e.names, name)
			return
		}
		switch label := key.Int(); {
		case key.Err() != nil:
			err = fmt.Errorf("%w: a key of the envelope: %w", ErrDecode, key.Err())
			r.Item()
		case label == envelopeAuthentication:
			e.authentication = r.Bytes()
		case label == envelopeManifest:
			e.ManifestBytes = r.Bytes()
		case Element(label).severable():
			e.severed[Element(label)] = r.Bytes()
		default:
			err = unsupported("%s in the envelope", named("element", envelopeNames, label))
			r.Item()
		}
	})
	if err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	if e.authentication == nil || e.ManifestBytes == nil {
		return nil, fmt.Errorf("%w: an authentication wrapper and a manifest must be there", ErrDecode)
	}
	if err := e.readAuthentication(); err != nil {
		return nil, err
	}
	if e.Digest != wrapped(e.ManifestBytes) {
		return nil, fmt.Errorf("%w: the manifest is not the one that was signed", ErrDigest)
	}
	return e, nil
}

// readAuthentication reads SUIT_Authentication. Section 8.3.
func (e *Envelope) readAuthentication() error {
	r := cbor.NewReader(e.authentication)
	n := r.Array()
	e.payload = r.Bytes()
	if n > 1+maxSignatures {
		return unsupported("an envelope with %d signatures", n-1)
	}
	for range n - 1 {
		block := r.Bytes()
		if r.Err() != nil {
			break
		}
		s, err := parseSignature(block)
		if err != nil {
			return err
		}
		e.Signatures = append(e.Signatures, s)
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: authentication wrapper: %w", ErrDecode, err)
	}
	var err error
	e.Digest, err = parseDigest(e.payload)
	return err
}

// open reads the manifest and what was severed of it, and compares the digests.
func (e *Envelope) open() error {
	m, text, err := parseManifest(e.ManifestBytes)
	if err != nil {
		return err
	}
	e.Manifest = m
	for _, element := range slices.Sorted(maps.Keys(e.severed)) {
		item := e.severed[element]
		digest, ok := m.Severed[element]
		if !ok {
			return fmt.Errorf("%w: %v is in the envelope and was not severed", ErrDecode, element)
		}
		if digest != wrapped(item) {
			return fmt.Errorf("%w: %v is not the one that was signed", ErrDigest, element)
		}
		if element == TextElement {
			text = item
			continue
		}
		sequence, err := m.parseSection(element, item)
		if err != nil {
			return err
		}
		e.Manifest.Sequences[element] = sequence
	}
	if text != nil {
		if e.Text, err = parseText(text, m.Components); err != nil {
			return err
		}
	}
	return e.checkIntegrated()
}

// checkIntegrated holds integrated payloads to what the manifest says of them.
// Section 7.5.
func (e *Envelope) checkIntegrated() error {
	if len(e.names) == 0 {
		return nil
	}
	fetched, err := e.Manifest.fetches()
	if err != nil {
		return err
	}
	for _, name := range e.names {
		i := slices.IndexFunc(fetched, func(f event) bool { return *f.URI == name })
		if i < 0 {
			return unsupported("the integrated payload %q, which the manifest does not fetch,", name)
		}
		payload, want := e.Integrated[name], fetched[i]
		switch {
		case want.Parameters.Digest == nil:
			return unsupported("the integrated payload %q without a digest in the manifest", name)
		case want.Size != nil && *want.Size != uint64(len(payload)):
			return fmt.Errorf("%w: the image %s has %d bytes, the manifest says %d", ErrDigest, name, len(payload), *want.Size)
		case sha256.Sum256(payload) != *want.Parameters.Digest:
			return fmt.Errorf("%w: the image %s is not the one that was signed", ErrDigest, name)
		}
	}
	return nil
}

// Encode returns the envelope to the byte as it was read.
func (e *Envelope) Encode() []byte { return e.encode(e.names, true) }

// Bare returns the envelope without integrated payloads and severed text, as it goes
// to devices. The signatures stay good.
func (e *Envelope) Bare() []byte { return e.encode(nil, false) }

func (e *Envelope) encode(payloads []string, text bool) []byte {
	elements := []Element{}
	for _, element := range []Element{PayloadFetch, Install, TextElement} {
		if e.severed[element] != nil && (text || element != TextElement) {
			elements = append(elements, element)
		}
	}
	b := cbor.AppendHead(nil, cbor.Tagged, tagEnvelope)
	b = cbor.AppendHead(b, cbor.Map, uint64(2+len(elements)+len(payloads)))
	b = cbor.AppendBytes(append(b, envelopeAuthentication), e.authentication)
	b = cbor.AppendBytes(append(b, envelopeManifest), e.ManifestBytes)
	for _, element := range elements {
		b = cbor.AppendBytes(cbor.AppendInt(b, int64(element)), e.severed[element])
	}
	for _, name := range payloads {
		b = cbor.AppendBytes(cbor.AppendText(b, name), e.Integrated[name])
	}
	return b
}

// wrapped is the digest of an element together with the head of its byte string.
// Sections 8.3 and 8.4.12.
func wrapped(element []byte) Digest {
	h := sha256.New()
	h.Write(cbor.AppendHead(nil, cbor.Bytes, uint64(len(element))))
	h.Write(element)
	return Digest(h.Sum(nil))
}

// parseDigest reads a SUIT_Digest. Section 10.
func parseDigest(data []byte) (d Digest, err error) {
	r := cbor.NewReader(data)
	n := r.Array()
	alg := r.Int()
	if r.Err() == nil && alg != algSHA256 {
		return d, unsupported("digest algorithm %d", alg)
	}
	digest := r.Bytes()
	if err := r.End(); err != nil {
		return d, fmt.Errorf("%w: digest: %w", ErrDecode, err)
	}
	if n != 2 || len(digest) != len(d) {
		return d, fmt.Errorf("%w: a SHA-256 digest of %d bytes in %d elements", ErrDecode, len(digest), n)
	}
	return Digest(digest), nil
}

// appendDigest is the inverse of [parseDigest].
func appendDigest(dst []byte, d Digest) []byte {
	return cbor.AppendBytes(cbor.AppendInt(cbor.AppendHead(dst, cbor.Array, 2), algSHA256), d[:])
}

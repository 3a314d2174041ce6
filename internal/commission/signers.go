package commission

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

	"lamplighter/internal/cose"
	"lamplighter/internal/suit"
)

// trustAnchor is a key that devices of a class said they trust.
type trustAnchor struct {
	Vendor []byte `cbor:"1,keyasint"`
	Class  []byte `cbor:"2,keyasint"`
	Key    []byte `cbor:"3,keyasint"` // COSE_Key
}

// algorithmName names an algorithm as IANA's registry does.
func algorithmName(alg cose.Algorithm) string {
	switch alg {
	case cose.ES256:
		return "ES256"
	case cose.ESP256:
		return "ESP256"
	case cose.EdDSA:
		return "EdDSA"
	case cose.AlgEd25519:
		return "Ed25519"
	}
	return strconv.Itoa(int(alg))
}

// fromSUIT says in words why an envelope was refused.
func fromSUIT(err error) *Error {
	switch {
	case errors.Is(err, suit.ErrDigest):
		return errFwDigest.because(err)
	case errors.Is(err, suit.ErrSignature):
		return errFwSigned.because(err)
	case errors.Is(err, suit.ErrSigner):
		return errFwSigner.because(err)
	case errors.Is(err, suit.ErrUnsupported):
		return problem("fw-unsupported", "The firmware file asks for what this version does not know ("+err.Error()+").", "Update this program, or ask who made the file.").because(err)
	}
	return errFwFile.because(err)
}

// imageView is an image as it is shown: with who signed it, as far as the devices'
// trust anchors are known by now.
func (s *site) imageView(rec *imageRecord) FirmwareImage {
	v := rec.View
	envelope, err := suit.Parse(rec.Bare)
	if err != nil {
		v.Problem = &fromSUIT(err).Problem
		return v
	}
	all, own := s.anchors(v.Vendor, v.Class)
	key, err := envelope.Verify(all...)
	switch {
	case err == nil:
		v.Signer, v.Signed = hex.EncodeToString(suit.KeyID(key)), true
	case errors.Is(err, suit.ErrSigner) && !own: // its devices may trust a key that nobody asked them for yet
	default:
		v.Problem = &fromSUIT(err).Problem
	}
	return v
}

// anchors are the keys that devices said they trust, and whether there are some of
// this vendor and class.
func (s *site) anchors(vendor, class string) (keys []cose.PublicKey, own bool) {
	s.mu.Lock()
	list := s.trusted
	s.mu.Unlock()
	for _, a := range list {
		key, err := cose.ParseCOSEKey(a.Key)
		if err != nil {
			continue
		}
		keys = append(keys, key)
		own = own || uuidText(a.Vendor) == vendor && uuidText(a.Class) == class
	}
	return keys, own
}

func uuidText(b []byte) string {
	var u suit.UUID
	copy(u[:], b)
	return u.String()
}

// trust remembers trust anchors that a device told of.
func (s *site) trust(ctx context.Context, vendor, class []byte, keys [][]byte) {
	s.mu.Lock()
	list := slices.Clone(s.trusted)
	s.mu.Unlock()
	before := len(list)
	for _, key := range keys {
		known := slices.ContainsFunc(list, func(a trustAnchor) bool {
			return bytes.Equal(a.Key, key) && bytes.Equal(a.Vendor, vendor) && bytes.Equal(a.Class, class)
		})
		if _, err := cose.ParseCOSEKey(key); !known && err == nil && len(list) < maxAnchors {
			list = append(list, trustAnchor{vendor, class, key})
		}
	}
	if len(list) == before {
		return
	}
	if err := s.commit(ctx, write{keyAnchors, list}); err != nil {
		s.e.logProblem("", "saving which keys devices trust", err) // they are asked again
	}
	s.mu.Lock()
	s.trusted = list
	s.mu.Unlock()
}

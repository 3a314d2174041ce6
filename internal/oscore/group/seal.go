package group

import (
	"crypto/subtle"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// request is what of a request all its responses are bound to.
type request struct {
	kid, piv, kidContext []byte
}

// message is one protected message's part in the computations below.
type message struct {
	request          // of this message, or of the one that it responds to
	isRequest bool   // type in the keystream
	option    []byte // OSCORE Option, final
	nonceID   []byte // Sender ID of who made the Partial IV
	noncePIV  []byte // Partial IV of the nonce
	cred      []byte // credential of the sender of this message
}

// appendExternalAAD appends
//
//	[ 1, [alg_aead, alg_group_enc, alg_signature, alg_pairwise_key_agreement],
//	  request_kid, request_piv, options: h'', request_kid_context,
//	  OSCORE_option, sender_cred, gm_cred ]
//
// which is the same for encryption and signature, in both modes. RFC 10021,
// Section 3.4.
func (c *Context) appendExternalAAD(dst []byte, m *message) []byte {
	dst = append(dst, 0x89, 0x01)
	dst = append(dst, c.algsCBOR...)
	dst = cbor.AppendBytes(dst, m.kid)
	dst = cbor.AppendBytes(dst, m.piv)
	dst = append(dst, 0x40)
	dst = cbor.AppendBytes(dst, m.kidContext)
	dst = cbor.AppendBytes(dst, m.option)
	dst = cbor.AppendBytes(dst, m.cred)
	return cbor.AppendBytes(dst, c.gmCred)
}

func (c *Context) nonce(alg cose.Algorithm, m *message) []byte {
	size := cose.NonceSize(alg)
	return oscore.AppendNonce(make([]byte, 0, size), c.commonIV, m.nonceID, m.noncePIV, size)
}

// sealGroup encrypts plaintext, signs the ciphertext and returns ciphertext |
// encrypted countersignature. RFC 10021, Sections 3.1 and 4.1.
func (c *Context) sealGroup(plaintext []byte, m *message) ([]byte, error) {
	c.aad = c.appendExternalAAD(c.aad[:0], m)
	c.signed = cose.AppendEncrypt0(c.signed[:0], c.aad)
	size := cose.SignatureSize(c.algs.Sign)
	out := make([]byte, 0, len(plaintext)+c.sender.Overhead()+size)
	out = c.sender.Seal(out, c.nonce(c.algs.GroupEnc, m), plaintext, c.signed)
	c.signed = cose.AppendCounterSignature0(c.signed[:0], c.aad, out)
	sig, err := c.key.Sign(c.signed)
	if err != nil {
		return nil, err
	}
	subtle.XORBytes(sig, sig, c.keystream(m, size))
	return append(out, sig...), nil
}

// openGroup verifies the countersignature and only then decrypts. RFC 10021,
// Sections 7.2 and 7.4.
func (c *Context) openGroup(r *recipient, payload []byte, m *message) ([]byte, error) {
	aead, err := c.groupAEAD(r)
	if err != nil {
		return nil, err
	}
	size := cose.SignatureSize(c.algs.Sign)
	if len(payload) < size+aead.Overhead()+1 {
		return nil, oscore.ErrVerify
	}
	ciphertext, encrypted := payload[:len(payload)-size], payload[len(payload)-size:]
	sig := c.keystream(m, size)
	subtle.XORBytes(sig, sig, encrypted)
	c.aad = c.appendExternalAAD(c.aad[:0], m)
	c.signed = cose.AppendCounterSignature0(c.signed[:0], c.aad, ciphertext)
	if !c.verified(r, c.signed, sig) {
		return nil, oscore.ErrVerify
	}
	c.signed = cose.AppendEncrypt0(c.signed[:0], c.aad)
	plaintext, err := aead.Open(nil, c.nonce(c.algs.GroupEnc, m), ciphertext, c.signed)
	if err != nil {
		return nil, oscore.ErrVerify
	}
	return plaintext, nil
}

func (c *Context) verified(r *recipient, message, sig []byte) bool {
	if r.cred.Alg != c.algs.Sign {
		return false
	}
	if c.verify != nil {
		return c.verify(r.cred.Public, message, sig)
	}
	return r.cred.Verify(message, sig)
}

// keystream hides the countersignature:
//
//	HKDF(salt = Partial IV, IKM = Signature Encryption Key,
//	     info = [ id, id_context, type: bool, L ])
//
// id is the Sender ID of who made the Partial IV, not of who sends; id_context
// is the Gid under which this message is protected; type is true for a request.
// RFC 10021, Section 4.2.
func (c *Context) keystream(m *message, size int) []byte {
	var buf [48]byte
	info := append(buf[:0], 0x84)
	info = cbor.AppendBytes(info, m.nonceID)
	info = cbor.AppendBytes(info, c.gid)
	if m.isRequest {
		info = append(info, 0xf5)
	} else {
		info = append(info, 0xf4)
	}
	info = cbor.AppendHead(info, cbor.Uint, uint64(size))
	return cose.HKDF(c.seKey, m.noncePIV, info, size)
}

// sealPairwise encrypts plaintext for one peer. RFC 10021, Section 8.
func (c *Context) sealPairwise(r *recipient, plaintext []byte, m *message) ([]byte, error) {
	if err := c.pairwise(r); err != nil {
		return nil, err
	}
	c.aad = c.appendExternalAAD(c.aad[:0], m)
	c.signed = cose.AppendEncrypt0(c.signed[:0], c.aad)
	return r.toPeer.Seal(nil, c.nonce(c.algs.AEAD, m), plaintext, c.signed), nil
}

// openPairwise opens what one peer encrypted. RFC 10021, Section 8.
func (c *Context) openPairwise(r *recipient, payload []byte, m *message) ([]byte, error) {
	if err := c.pairwise(r); err != nil {
		return nil, err
	}
	c.aad = c.appendExternalAAD(c.aad[:0], m)
	c.signed = cose.AppendEncrypt0(c.signed[:0], c.aad)
	plaintext, err := r.fromPeer.Open(nil, c.nonce(c.algs.AEAD, m), payload, c.signed)
	if err != nil {
		return nil, oscore.ErrVerify
	}
	return plaintext, nil
}

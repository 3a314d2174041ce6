package group

import (
	"crypto/subtle"

	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// opening is a received message on the way to its plaintext.
type opening struct {
	message
	mode    Mode
	peer    *recipient // the sender
	payload []byte
}

func (c *Context) nonce(alg cose.Algorithm, m *message) []byte {
	size := cose.NonceSize(alg)
	return oscore.AppendNonce(make([]byte, 0, size), c.commonIV, m.nonceID, m.noncePIV, size)
}

// groupAAD is what the Group Encryption Algorithm authenticates. One that
// authenticates nothing must not be given anything. RFC 10021, Section 10.
func (c *Context) groupAAD() []byte {
	if !cose.Authenticated(c.algs.GroupEnc) {
		return nil
	}
	c.signed = cose.AppendEncrypt0(c.signed[:0], c.aad)
	return c.signed
}

func (c *Context) seal(mode Mode, peer *recipient, plaintext []byte, m *message) ([]byte, error) {
	if mode == Group {
		return c.sealGroup(plaintext, m)
	}
	return c.sealPairwise(peer, plaintext, m)
}

// sealGroup encrypts plaintext, signs the ciphertext and returns ciphertext |
// encrypted countersignature. RFC 10021, Sections 3.1 and 4.1.
func (c *Context) sealGroup(plaintext []byte, m *message) ([]byte, error) {
	c.aad = c.appendExternalAAD(c.aad[:0], m)
	size := cose.SignatureSize(c.algs.Sign)
	out := make([]byte, 0, len(plaintext)+c.sender.Overhead()+size)
	out = c.sender.Seal(out, c.nonce(c.algs.GroupEnc, m), plaintext, c.groupAAD())
	c.signed = cose.AppendCounterSignature0(c.signed[:0], c.aad, out)
	sig, err := c.key.Sign(c.signed)
	if err != nil {
		return nil, err
	}
	subtle.XORBytes(sig, sig, c.keystream(m, size))
	return append(out, sig...), nil
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

// countersigned appends to dst what the countersignature of a received message
// signs, and to sig the countersignature.
func (c *Context) countersigned(dst, sig []byte, o *opening) (toBeSigned, plainSig []byte, err error) {
	ciphertext, sig, err := c.split(sig, o.payload, &o.message)
	if err != nil {
		return nil, nil, err
	}
	c.aad = c.appendExternalAAD(c.aad[:0], &o.message)
	return cose.AppendCounterSignature0(dst, c.aad, ciphertext), sig, nil
}

// open verifies a countersignature before anything is decrypted. RFC 10021,
// Sections 7.2 and 7.4.
func (c *Context) open(o *opening) ([]byte, error) {
	if o.mode == Group {
		toBeSigned, sig, err := c.countersigned(c.signed[:0], c.sig[:0], o)
		if err != nil {
			return nil, err
		}
		c.signed, c.sig = toBeSigned, sig
		if !c.verify(o.peer.cred.Public, toBeSigned, sig) {
			return nil, oscore.ErrVerify
		}
	}
	return c.decrypt(o)
}

// decrypt opens what is authentic in group mode, and what is not known to be in
// pairwise mode. RFC 10021, Section 8.
func (c *Context) decrypt(o *opening) ([]byte, error) {
	aead, alg, payload := o.peer.fromPeer, c.algs.AEAD, o.payload
	var err error
	if o.mode == Group {
		alg, payload = c.algs.GroupEnc, payload[:len(payload)-cose.SignatureSize(c.algs.Sign)]
		aead, err = c.groupAEAD(o.peer)
	} else if err = c.pairwise(o.peer); err == nil {
		aead = o.peer.fromPeer
	}
	if err != nil {
		return nil, err
	}
	c.aad = c.appendExternalAAD(c.aad[:0], &o.message)
	aad := c.groupAAD()
	if o.mode == Pairwise {
		c.signed = cose.AppendEncrypt0(c.signed[:0], c.aad)
		aad = c.signed
	}
	plaintext, err := aead.Open(nil, c.nonce(alg, &o.message), payload, aad)
	if err != nil {
		return nil, oscore.ErrVerify
	}
	return plaintext, nil
}

package group

import (
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// structures are the Countersign_structure and the Enc_structure of one message.
// Both contain the external_aad, which is there once: each puts its head before
// it. Only the structure that was asked for last is good.
type structures struct {
	buf []byte // room for the longer head | bstr external_aad | ...
	end int    // of external_aad
}

// The heads, from the functions that say what they are.
var (
	countersignHead = head(cose.AppendCounterSignature0(nil, nil, nil), 2)
	encryptHead     = head(cose.AppendEncrypt0(nil, nil), 1)
)

// head takes the last n elements, which are empty byte strings, off a structure.
func head(structure []byte, n int) []byte { return structure[:len(structure)-n] }

func (s *structures) set(c *common, m *message) {
	s.buf = append(s.buf[:0], countersignHead...)
	s.buf = cbor.AppendHead(s.buf, cbor.Bytes, uint64(c.externalAADSize(m)))
	s.buf = c.appendExternalAAD(s.buf, m)
	s.end = len(s.buf)
}

// encrypt is what an AEAD authenticates.
func (s *structures) encrypt() []byte {
	at := len(countersignHead) - len(encryptHead)
	copy(s.buf[at:], encryptHead)
	return s.buf[at:s.end]
}

// countersign is what a countersignature signs.
func (s *structures) countersign(ciphertext []byte) []byte {
	copy(s.buf, countersignHead)
	s.buf = cbor.AppendBytes(s.buf[:s.end], ciphertext)
	return s.buf
}

// opening is a received message on the way to its plaintext.
type opening struct {
	message
	mode    Mode
	peer    *recipient // the sender
	payload []byte
}

// nonce returns the nonce of m in the context's scratch memory.
func (c *Context) nonce(mode Mode, m *message) []byte {
	return oscore.AppendNonce(c.nonceRoom[:0], c.commonIV, m.nonceID, m.noncePIV, c.sizes[mode].nonce)
}

// groupAAD is what the Group Encryption Algorithm authenticates. One that
// authenticates nothing must not be given anything. RFC 10021, Section 10.
func (c *Context) groupAAD() []byte {
	if c.tagSize == 0 {
		return nil
	}
	return c.structures.encrypt()
}

// seal finishes outer: option and payload, which have their memory together. m
// lacks the option. peer is nil in group mode.
func (c *Context) seal(outer *coap.Message, peer *recipient, o oscore.Option, m *message) (*coap.Message, error) {
	size := 2 + len(o.PIV) + len(o.KIDContext) + len(o.KID) // at most
	buf := oscore.AppendOption(make([]byte, 0, size+len(c.plaintext)+c.sizes[modeOf(o)].sealed), o)
	n := len(buf)
	m.option = buf[:n:n]
	buf, err := c.appendPayload(buf, peer, c.plaintext, m)
	if err != nil {
		return nil, err
	}
	return oscore.Finish(outer, m.option, buf[n:]), nil
}

// appendPayload appends the payload of m. peer is nil in group mode.
func (c *Context) appendPayload(dst []byte, peer *recipient, plaintext []byte, m *message) ([]byte, error) {
	c.structures.set(&c.common, m)
	if peer == nil {
		return c.sealGroup(dst, plaintext, m)
	}
	if err := c.pairwise(peer); err != nil {
		return nil, err
	}
	return peer.toPeer.Seal(dst, c.nonce(Pairwise, m), plaintext, c.structures.encrypt()), nil
}

// sealGroup encrypts plaintext, signs the ciphertext and appends ciphertext |
// encrypted countersignature. RFC 10021, Sections 3.1 and 4.1.
func (c *Context) sealGroup(dst, plaintext []byte, m *message) ([]byte, error) {
	nonce := c.nonce(Group, m)
	out := c.sender.Seal(dst, nonce, plaintext, c.groupAAD())
	sig, err := c.key.Sign(c.structures.countersign(out[len(dst):]))
	if err != nil {
		return nil, err
	}
	out = append(out, sig...)
	c.keystream.hide(out[len(out)-len(sig):], c.seKey, c.gid, m)
	return out, nil
}

// open verifies a countersignature before anything is decrypted. RFC 10021,
// Sections 7.2 and 7.4.
func (c *Context) open(o *opening) ([]byte, error) {
	c.structures.set(&c.common, &o.message)
	if o.mode == Group {
		ciphertext, err := c.split(o.payload, &o.message)
		if err != nil {
			return nil, err
		}
		if !c.verify(o.peer.cred.Public, c.structures.countersign(ciphertext), c.sig) {
			return nil, oscore.ErrVerify
		}
	}
	return c.decrypt(o)
}

// decrypt opens what is authentic in group mode, and what is not known to be in
// pairwise mode; c.structures are of o. RFC 10021, Sections 7 and 8.
func (c *Context) decrypt(o *opening) ([]byte, error) {
	var aead cose.AEAD
	var nonce, aad []byte
	ciphertext := o.payload
	if o.mode == Group {
		if err := c.groupKey(o.peer); err != nil {
			return nil, err
		}
		ciphertext = ciphertext[:len(ciphertext)-c.sigSize]
		aead, nonce, aad = o.peer.aead, c.nonce(Group, &o.message), c.groupAAD()
	} else {
		if err := c.pairwise(o.peer); err != nil {
			return nil, err
		}
		aead, nonce, aad = o.peer.fromPeer, c.nonce(Pairwise, &o.message), c.structures.encrypt()
	}
	plaintext, err := aead.Open(nil, nonce, ciphertext, aad)
	if err != nil {
		return nil, oscore.ErrVerify
	}
	return plaintext, nil
}

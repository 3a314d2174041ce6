package group

import (
	"bytes"
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// common is what members and signature checkers of a group share. RFC 10021,
// Sections 2.1 and 12.3.
type common struct {
	gid      []byte
	algs     Algorithms
	algsCBOR []byte // the algorithms of external_aad, encoded
	gmCred   []byte
	kdf      cose.KDF
	seKey    cose.Secret // Signature Encryption Key
	sigSize  int         // bytes of a countersignature
	tagSize  int         // bytes of the Group Encryption Algorithm's tag

	parseCred func([]byte) (cose.Credential, error)
	verify    func(public cose.PublicKey, message, sig []byte) bool

	keystream  keystream
	structures structures // scratch
	sig        []byte     // scratch
}

// newCommon checks algorithms and Gid; the Signature Encryption Key is still
// missing.
func newCommon(gid, gmCred []byte, algs Algorithms) (common, error) {
	if algs == (Algorithms{}) {
		algs = DefaultAlgorithms
	}
	if err := algs.Check(); err != nil {
		return common{}, err
	}
	if longest := algs.longestGID(); len(gid) > longest {
		return common{}, fmt.Errorf("a Gid of more than %d bytes", longest)
	}
	kdf, err := cose.NewKDF(algs.HKDF)
	if err != nil {
		return common{}, err
	}
	return common{
		gid: present(gid), algs: algs, algsCBOR: algs.encode(), gmCred: bytes.Clone(gmCred), kdf: kdf,
		sigSize: cose.SignatureSize(algs.Sign), tagSize: cose.TagSize(algs.GroupEnc), keystream: newKeystream(algs.HKDF),
		parseCred: cose.ParseCCS, verify: cose.PublicKey.Verify,
	}, nil
}

// readCred reads a credential and refuses one that does not fit the group. Its
// Raw is what is bound: of a chain the end entity's certificate alone.
func (c *common) readCred(raw []byte, own cose.PublicKey) (cose.Credential, error) {
	cred, err := c.parseCred(raw)
	if err != nil {
		return cose.Credential{}, err
	}
	if cred.Raw == nil {
		cred.Raw = bytes.Clone(raw)
	}
	return cred, c.algs.checkCred(&cred, own)
}

func (c *common) allows(mode Mode) error {
	if mode == Group && !c.algs.hasGroup() || mode == Pairwise && !c.algs.hasPairwise() {
		return ErrMode
	}
	return nil
}

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

// received describes a message as it arrived from a sender with this credential:
// r is the request itself or the one that is responded to.
func received(outer *coap.Message, o oscore.Option, r request, isRequest bool, sender Peer) message {
	m := message{
		request: r, isRequest: isRequest, nonceID: r.kid, noncePIV: r.piv,
		option: coap.GetOption(outer, coap.OptionOSCORE), cred: sender.Cred,
	}
	if o.PIV != nil {
		m.nonceID, m.noncePIV = sender.KID, o.PIV
	}
	return m
}

// appendExternalAAD appends
//
//	[ 1, [alg_aead, alg_group_enc, alg_signature, alg_pairwise_key_agreement],
//	  request_kid, request_piv, options: h'', request_kid_context,
//	  OSCORE_option, sender_cred, gm_cred ]
//
// which is the same for encryption and signature, in both modes. RFC 10021,
// Section 3.4.
func (c *common) appendExternalAAD(dst []byte, m *message) []byte {
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

// externalAADSize is the length of what appendExternalAAD appends.
func (c *common) externalAADSize(m *message) int {
	n := 3 + len(c.algsCBOR)
	for _, b := range [...][]byte{m.kid, m.piv, m.kidContext, m.option, m.cred, c.gmCred} {
		n += cbor.HeadSize(len(b)) + len(b)
	}
	return n
}

// split divides the payload of a message in group mode into ciphertext and
// countersignature, which it decrypts into c.sig. The length check is with the
// tag of the Group Encryption Algorithm, which may be shorter than the AEAD's or
// none; one byte of plaintext is the least. RFC 10021, Section 4.1.
func (c *common) split(payload []byte, m *message) (ciphertext []byte, err error) {
	cut := len(payload) - c.sigSize
	if cut < c.tagSize+1 {
		return nil, oscore.ErrVerify
	}
	c.sig = append(c.sig[:0], payload[cut:]...)
	c.keystream.hide(c.sig, c.seKey, c.gid, m)
	return payload[:cut], nil
}

// present copies an identifier; the copy of an absent one is empty, not nil.
func present(b []byte) []byte { return append([]byte{}, b...) }

func modeOf(o oscore.Option) Mode {
	if o.Group {
		return Group
	}
	return Pairwise
}

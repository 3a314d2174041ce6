package oscore

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// Params are the input parameters of a [Context]. RFC 8613, Section 3.2.
type Params struct {
	MasterSecret cose.Secret
	MasterSalt   []byte
	IDContext    []byte         // nil: none; else it is sent as kid context in requests
	SenderID     []byte         // shorter than the nonce by 6 bytes or more: at most 7, 6 or 1 bytes
	RecipientID  []byte         // like SenderID
	AEAD         cose.Algorithm // 0: AES-CCM-16-64-128
	HKDF         cose.Algorithm // 0: HKDF SHA-256
	WindowSize   int            // 0: 32; at most 64
	Sequence     *Sequence      // nil: from 0, in memory only
	Window       WindowState    // restored
	EchoFirst    bool           // the window was lost: challenge before accepting (Appendix B.1.2)
	Rand         io.Reader      // for Echo values, needed with EchoFirst; a [Server] supplies its own
}

// Context is a security context. It is not safe for concurrent use. RFC 8613,
// Section 3.1.
type Context struct {
	alg         cose.Algorithm
	idContext   []byte
	kidContext  []byte // what requests carry; differs from idContext in Appendix B.2
	commonIV    []byte
	senderID    []byte
	sender      cose.AEAD
	sequence    *Sequence
	recipientID []byte
	recipient   cose.AEAD
	window      Window
	lost        bool // the window is not to be relied on until a request answers echo
	echo        Echo
	rand        io.Reader

	// Used again for each message; none of them leaves the context.
	plaintext, external, aad, nonce []byte
	pivRoom                         [5]byte
}

var errNoSecret = errors.New("there is no Master Secret")

// New derives a context. RFC 8613, Section 3.2.
func New(p Params) (*Context, error) {
	if p.AEAD == cose.Null {
		p.AEAD = cose.AESCCM16_64_128
	}
	if p.HKDF == cose.Null {
		p.HKDF = cose.HKDFSHA256
	}
	if len(p.MasterSecret) == 0 {
		return nil, errNoSecret
	}
	derive, err := deriver(p)
	if err != nil {
		return nil, err
	}
	if err := checkIDs(p); err != nil {
		return nil, err
	}
	window, err := NewWindow(p.WindowSize, p.Window)
	if err != nil {
		return nil, err
	}
	c := &Context{
		alg:         p.AEAD,
		idContext:   bytes.Clone(p.IDContext),
		kidContext:  bytes.Clone(p.IDContext),
		commonIV:    derive([]byte{}, "IV", cose.NonceSize(p.AEAD)),
		senderID:    present(p.SenderID),
		recipientID: present(p.RecipientID),
		sequence:    p.Sequence,
		window:      window,
		lost:        p.EchoFirst,
		rand:        p.Rand,
	}
	if c.sequence == nil {
		c.sequence = NewSequence(0, nil)
	}
	keySize := cose.KeySize(p.AEAD)
	if c.sender, err = cose.NewAEAD(p.AEAD, derive(p.SenderID, "Key", keySize)); err != nil {
		return nil, fmt.Errorf("deriving sender key: %w", err)
	}
	if c.recipient, err = cose.NewAEAD(p.AEAD, derive(p.RecipientID, "Key", keySize)); err != nil {
		return nil, fmt.Errorf("deriving recipient key: %w", err)
	}
	return c, nil
}

// nonceOverhead is what the nonce takes besides the Sender ID: its length and a
// Partial IV of 5 bytes. RFC 8613, Section 5.2.
const nonceOverhead = 6

func checkIDs(p Params) error {
	longest := cose.NonceSize(p.AEAD) - nonceOverhead
	if len(p.SenderID) > longest || len(p.RecipientID) > longest {
		return fmt.Errorf("a Sender ID of more than %d bytes", longest)
	}
	if bytes.Equal(p.SenderID, p.RecipientID) {
		return fmt.Errorf("Sender ID and Recipient ID are the same") //nolint:staticcheck // the standard's noun
	}
	// flags | Partial IV | s | kid context | kid
	if 1+5+1+len(p.IDContext)+max(len(p.SenderID), len(p.RecipientID)) > maxOption {
		return fmt.Errorf("an ID Context of %d bytes", len(p.IDContext))
	}
	return nil
}

// deriver returns the derivation of n bytes for an ID, which is empty for the
// Common IV. RFC 8613, Section 3.2.1.
func deriver(p Params) (func(id []byte, kind string, n int) []byte, error) {
	if !cose.Authenticated(p.AEAD) || cose.NonceSize(p.AEAD) <= nonceOverhead {
		return nil, fmt.Errorf("AEAD algorithm %d: %w", p.AEAD, cose.ErrUnsupported)
	}
	kdf, err := cose.NewKDF(p.HKDF)
	if err != nil {
		return nil, err
	}
	return func(id []byte, kind string, n int) []byte {
		return kdf(p.MasterSecret, p.MasterSalt, AppendInfo(nil, id, p.IDContext, p.AEAD, kind, n), n)
	}, nil
}

// AppendInfo appends the info parameter of the key derivation:
//
//	[ id: bstr, id_context: bstr / nil, alg_aead: int, type: tstr, L: uint ]
//
// RFC 8613, Section 3.2.1.
func AppendInfo(dst, id, idContext []byte, alg cose.Algorithm, kind string, size int) []byte {
	dst = append(dst, 0x85)
	dst = cbor.AppendBytes(dst, id)
	if idContext == nil {
		dst = append(dst, cbor.Null)
	} else {
		dst = cbor.AppendBytes(dst, idContext)
	}
	dst = cbor.AppendInt(dst, int64(alg))
	dst = cbor.AppendText(dst, kind)
	return cbor.AppendHead(dst, cbor.Uint, uint64(size))
}

// present copies an identifier; the copy of an absent one is empty, not nil.
func present(b []byte) []byte { return append([]byte{}, b...) }

// appendExternalAAD appends
//
//	[ 1, [alg_aead], request_kid, request_piv, options: h'' ]
//
// RFC 8613, Section 5.4.
func appendExternalAAD(dst []byte, alg cose.Algorithm, kid, piv []byte) []byte {
	dst = append(dst, 0x85, 0x01, 0x81)
	dst = cbor.AppendInt(dst, int64(alg))
	dst = cbor.AppendBytes(dst, kid)
	dst = cbor.AppendBytes(dst, piv)
	return append(dst, 0x40)
}

// nonceOf returns the AEAD nonce for a Partial IV that the endpoint id made. It
// stands until the next call.
func (c *Context) nonceOf(id, piv []byte) []byte {
	c.nonce = AppendNonce(c.nonce[:0], c.commonIV, id, piv, len(c.commonIV))
	return c.nonce
}

// aadOf returns the Enc_structure of a request and all its responses. It stands
// until the next call.
func (c *Context) aadOf(b *Binding) []byte {
	c.external = appendExternalAAD(c.external[:0], c.alg, b.kid, b.piv())
	c.aad = cose.AppendEncrypt0(c.aad[:0], c.external)
	return c.aad
}

// Window returns the state of the Replay Window, to be stored.
func (c *Context) Window() WindowState { return c.window.State() }

// Sequence returns the sequence of Sender Sequence Numbers.
func (c *Context) Sequence() *Sequence { return c.sequence }

// SenderID returns the Sender ID; it is not to be changed.
func (c *Context) SenderID() []byte { return c.senderID }

// RecipientID returns the Recipient ID; it is not to be changed.
func (c *Context) RecipientID() []byte { return c.recipientID }

// IDContext returns the ID Context, nil when there is none; it is not to be
// changed.
func (c *Context) IDContext() []byte { return c.idContext }

// String names the context by its public identifiers.
func (c *Context) String() string {
	return fmt.Sprintf("OSCORE context %x-%x", c.senderID, c.recipientID)
}

// matches says whether a request with these identifiers may be for c.
func (c *Context) matches(o Option) bool {
	return o.KID != nil && bytes.Equal(o.KID, c.recipientID) &&
		(o.KIDContext == nil || c.kidContext != nil && bytes.Equal(o.KIDContext, c.kidContext))
}

var errNotMine = fmt.Errorf("identifiers of another context: %w", coap.ErrNoContext)

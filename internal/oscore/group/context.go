package group

import (
	"bytes"
	"fmt"
	"io"
	"maps"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// Params are the input parameters of a [Context].
type Params struct {
	Name         string // the group's name, which rekeying does not change
	GID          []byte // Group Identifier: the ID Context
	MasterSecret cose.Secret
	MasterSalt   []byte
	Algs         Algorithms
	GMCred       []byte // authentication credential of the Group Manager
	SenderID     []byte
	Cred         []byte           // the own authentication credential, as distributed
	Key          cose.PrivateKey  // its private key
	Sequence     *oscore.Sequence // nil: from 0, in memory only
	WindowSize   int              // 0: 32; at most 64
	Rand         io.Reader        // for Echo values

	// Windows restores Replay Windows by Sender ID. A peer without one starts
	// with an empty window, or with EchoFirst with an invalid one: it is
	// challenged before its first request is accepted. A member that restarts
	// within an epoch sets EchoFirst. RFC 10021, Sections 2.6.1.2 and 9.
	Windows   map[string]oscore.WindowState
	EchoFirst bool

	// Verify, when not nil, verifies signatures in place of crypto/ed25519. It
	// must not accept what that refuses.
	Verify func(public cose.PublicKey, message, sig []byte) bool
}

// Context is the Security Context of one epoch of a group. It is not safe for
// concurrent use. RFC 10021, Section 2.
type Context struct {
	name     string
	gid      []byte
	algs     Algorithms
	commonIV []byte
	gmCred   []byte
	algsCBOR []byte // the algorithms of external_aad, encoded

	masterSecret cose.Secret
	masterSalt   []byte

	// Sender Context.
	senderID  []byte
	cred      []byte
	key       cose.PrivateKey
	senderKey cose.Secret
	sender    cose.AEAD   // group mode
	seKey     cose.Secret // Signature Encryption Key
	sequence  *oscore.Sequence

	// Recipient Contexts.
	peers      map[string]*recipient
	restored   map[string]oscore.WindowState
	windowSize int
	echoFirst  bool // new windows are invalid
	rand       io.Reader
	verify     func(public cose.PublicKey, message, sig []byte) bool

	plaintext, aad, signed []byte // scratch
}

// New derives a context without peers. RFC 10021, Section 2.3.
func New(p Params) (*Context, error) {
	if p.Algs == (Algorithms{}) {
		p.Algs = DefaultAlgorithms
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	least, greatest := p.Algs.nonceSizes()
	if len(p.SenderID) > least-6 {
		return nil, fmt.Errorf("a Sender ID of more than %d bytes", least-6)
	}
	c := &Context{
		name:         p.Name,
		gid:          present(p.GID),
		algs:         p.Algs,
		gmCred:       bytes.Clone(p.GMCred),
		algsCBOR:     encodeAlgorithms(p.Algs),
		masterSecret: append(cose.Secret(nil), p.MasterSecret...),
		masterSalt:   bytes.Clone(p.MasterSalt),
		senderID:     present(p.SenderID),
		cred:         bytes.Clone(p.Cred),
		key:          p.Key,
		sequence:     p.Sequence,
		peers:        map[string]*recipient{},
		restored:     maps.Clone(p.Windows),
		windowSize:   p.WindowSize,
		echoFirst:    p.EchoFirst,
		rand:         p.Rand,
		verify:       p.Verify,
	}
	if c.sequence == nil {
		c.sequence = oscore.NewSequence(0, nil)
	}
	if _, err := oscore.NewWindow(p.WindowSize, oscore.WindowState{}); err != nil {
		return nil, err
	}
	c.commonIV = c.derive(nil, "IV", greatest)
	c.senderKey = c.derive(c.senderID, "Key", cose.KeySize(c.algs.derivation()))
	if c.algs.hasGroup() {
		c.seKey = c.derive(nil, "SEKey", cose.KeySize(c.algs.GroupEnc))
		var err error
		if c.sender, err = cose.NewAEAD(c.algs.GroupEnc, c.senderKey); err != nil {
			return nil, fmt.Errorf("deriving sender key: %w", err)
		}
	}
	return c, nil
}

// check refuses parameters that cannot work together.
func (p *Params) check() error {
	if err := p.Algs.Check(); err != nil {
		return err
	}
	if len(p.GID) > 255 {
		return fmt.Errorf("a Gid of %d bytes", len(p.GID))
	}
	if p.Key == nil {
		return fmt.Errorf("no private key")
	}
	cred, err := cose.ParseCCS(p.Cred)
	if err != nil {
		return fmt.Errorf("reading the own credential: %w", err)
	}
	if !cred.Public.Equal(p.Key.Public()) {
		return fmt.Errorf("the own credential is of another key: %w", cose.ErrCredential)
	}
	return nil
}

// derive makes a key or IV. RFC 10021, Sections 2.1.9 and 2.3.
func (c *Context) derive(id []byte, kind string, size int) []byte {
	info := oscore.AppendInfo(nil, id, c.gid, c.algs.derivation(), kind, size)
	return cose.HKDF(c.masterSecret, c.masterSalt, info, size)
}

func encodeAlgorithms(a Algorithms) []byte {
	dst := []byte{0x84}
	for _, alg := range []cose.Algorithm{a.AEAD, a.GroupEnc, a.Sign, a.Pairwise} {
		if alg == cose.Null {
			dst = append(dst, cbor.Null)
		} else {
			dst = cbor.AppendInt(dst, int64(alg))
		}
	}
	return dst
}

// present copies an identifier; the copy of an absent one is empty, not nil.
func present(b []byte) []byte { return append([]byte{}, b...) }

// Name returns the group's name.
func (c *Context) Name() string { return c.name }

// GID returns the Group Identifier; it is not to be changed.
func (c *Context) GID() []byte { return c.gid }

// SenderID returns the own Sender ID; it is not to be changed.
func (c *Context) SenderID() []byte { return c.senderID }

// Cred returns the own authentication credential; it is not to be changed.
func (c *Context) Cred() []byte { return c.cred }

// Algorithms returns the group's algorithms.
func (c *Context) Algorithms() Algorithms { return c.algs }

// Sequence returns the sequence of Sender Sequence Numbers.
func (c *Context) Sequence() *oscore.Sequence { return c.sequence }

// String names the context by its public identifiers.
func (c *Context) String() string {
	return fmt.Sprintf("Group OSCORE context %q %x-%x", c.name, c.gid, c.senderID)
}

// MatchGID says whether m is a protected request whose kid context is the
// context's Gid.
func (c *Context) MatchGID(m *coap.Message) bool {
	kidContext, ok := KIDContext(m)
	return ok && bytes.Equal(kidContext, c.gid)
}

// KIDContext returns the kid context of a protected message, if it has one.
func KIDContext(m *coap.Message) ([]byte, bool) {
	o, err := oscore.MessageOption(m)
	return o.KIDContext, err == nil && o.KIDContext != nil
}

// KID returns the kid of a protected message, if it has one.
func KID(m *coap.Message) ([]byte, bool) {
	o, err := oscore.MessageOption(m)
	return o.KID, err == nil && o.KID != nil
}

// ModeOf returns the mode in which a protected message claims to be.
func ModeOf(m *coap.Message) (Mode, bool) {
	o, err := oscore.MessageOption(m)
	if o.Group {
		return Group, err == nil
	}
	return Pairwise, err == nil
}

package group

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync/atomic"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// Params are the input parameters of a [Context]. One with none of SenderID,
// Cred and Key is of a silent server: it verifies requests in group mode and
// sends nothing.
type Params struct {
	Name         string // the group's name, which rekeying does not change
	GID          []byte // Group Identifier: the ID Context
	MasterSecret cose.Secret
	MasterSalt   []byte
	Algs         Algorithms // the zero value: DefaultAlgorithms
	GMCred       []byte     // authentication credential of the Group Manager
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

	// ParseCred reads credentials in the format of the group; nil means
	// [cose.ParseCCS].
	ParseCred func([]byte) (cose.Credential, error)

	// Verify, when not nil, verifies signatures in place of
	// [cose.PublicKey.Verify]. It must not accept what that refuses.
	Verify func(public cose.PublicKey, message, sig []byte) bool
}

// Context is the Security Context of one epoch of a group. It is not safe for
// concurrent use: the caller's lock makes check and update of a Replay Window
// one step. RFC 10021, Section 2.
type Context struct {
	common
	name     string
	commonIV []byte
	id       *identity

	masterSecret cose.Secret
	masterSalt   []byte

	// Sender Context; a silent server has none.
	senderID  []byte // nil: a silent server
	cred      []byte
	key       cose.PrivateKey
	senderKey cose.Secret
	sender    cose.AEAD // group mode
	sequence  *oscore.Sequence

	// Recipient Contexts.
	peers      map[string]*recipient
	restored   map[string]oscore.WindowState
	windowSize int
	echoFirst  bool // new windows are invalid
	rand       io.Reader

	sizes     [2]sizes     // by mode
	plaintext []byte       // scratch
	nonceRoom [13]byte     // scratch; the longest nonce that there is
	pivRoom   [maxPIV]byte // scratch
}

// sizes are in bytes: of a nonce, and by how much a payload is longer than its
// plaintext.
type sizes struct{ nonce, sealed int }

// identity stands for a context in bindings, which outlive the keys.
type identity struct {
	epoch string // the same for contexts of the same Gid, Master Secret and Master Salt
	made  uint64 // greater for contexts that were made later
}

// made counts contexts. Nothing in keys or identifiers says which of two epochs is
// the later one; that a member makes their contexts in that order does.
var made atomic.Uint64

var errNoSecret = errors.New("there is no Master Secret")

// New derives a context without peers. It fails with [cose.ErrUnsupported],
// [ErrMode] or an error of package cose about the own credential. RFC 10021,
// Section 2.3.
func New(p Params) (*Context, error) {
	if len(p.MasterSecret) == 0 {
		return nil, errNoSecret
	}
	shared, err := newCommon(p.GID, p.GMCred, p.Algs)
	if err != nil {
		return nil, err
	}
	if p.ParseCred != nil {
		shared.parseCred = p.ParseCred
	}
	if p.Verify != nil {
		shared.verify = p.Verify
	}
	if _, err := oscore.NewWindow(p.WindowSize, oscore.WindowState{}); err != nil {
		return nil, err
	}
	c := &Context{
		common:       shared,
		name:         p.Name,
		masterSecret: append(cose.Secret(nil), p.MasterSecret...),
		masterSalt:   bytes.Clone(p.MasterSalt),
		sequence:     p.Sequence,
		peers:        map[string]*recipient{},
		restored:     maps.Clone(p.Windows),
		windowSize:   p.WindowSize,
		echoFirst:    p.EchoFirst,
		rand:         p.Rand,
	}
	c.sizes[Group] = sizes{cose.NonceSize(c.algs.GroupEnc), c.tagSize + c.sigSize}
	c.sizes[Pairwise] = sizes{cose.NonceSize(c.algs.AEAD), cose.TagSize(c.algs.AEAD)}
	_, greatest := c.algs.nonceSizes()
	c.commonIV = c.derive(nil, "IV", greatest)
	c.id = &identity{epoch: string(c.gid) + string(c.commonIV), made: made.Add(1)}
	if c.algs.hasGroup() {
		c.seKey = c.derive(nil, "SEKey", cose.KeySize(c.algs.GroupEnc))
	}
	return c, c.setSender(&p)
}

// setSender makes the Sender Context. RFC 10021, Section 2.2.
func (c *Context) setSender(p *Params) error {
	if p.Key == nil && p.SenderID == nil && p.Cred == nil {
		if !c.algs.hasGroup() {
			return fmt.Errorf("a silent server without group mode: %w", ErrMode)
		}
		return nil
	}
	if p.Key == nil {
		return fmt.Errorf("no private key")
	}
	if err := c.algs.checkSenderID(p.SenderID); err != nil {
		return err
	}
	cred, err := c.readCred(p.Cred, p.Key.Public())
	if err != nil {
		return fmt.Errorf("reading the own credential: %w", err)
	}
	if !cred.Public.Equal(p.Key.Public()) {
		return fmt.Errorf("the own credential is of another key: %w", cose.ErrCredential)
	}
	c.senderID, c.cred, c.key = present(p.SenderID), cred.Raw, p.Key
	if c.sequence == nil {
		c.sequence = oscore.NewSequence(0, nil)
	}
	c.senderKey = c.derive(c.senderID, "Key", cose.KeySize(c.algs.derivation()))
	if c.algs.hasGroup() {
		if c.sender, err = cose.NewAEAD(c.algs.GroupEnc, c.senderKey); err != nil {
			return fmt.Errorf("deriving sender key: %w", err)
		}
	}
	return nil
}

// derive makes a key or IV. RFC 10021, Sections 2.1.9 and 2.3.
func (c *Context) derive(id []byte, kind string, size int) []byte {
	info := oscore.AppendInfo(nil, id, c.gid, c.algs.derivation(), kind, size)
	return c.kdf(c.masterSecret, c.masterSalt, info, size)
}

// silent says whether the context is of a silent server.
func (c *Context) silent() bool { return c.senderID == nil }

// Name returns the group's name.
func (c *Context) Name() string { return c.name }

// GID returns the Group Identifier; it is not to be changed.
func (c *Context) GID() []byte { return c.gid }

// SenderID returns the own Sender ID, nil for a silent server; it is not to be
// changed.
func (c *Context) SenderID() []byte { return c.senderID }

// Cred returns the own authentication credential, nil for a silent server; it
// is not to be changed.
func (c *Context) Cred() []byte { return c.cred }

// Algorithms returns the group's algorithms.
func (c *Context) Algorithms() Algorithms { return c.algs }

// SignatureEncryptionKey returns the key that the Group Manager also gives to
// signature checkers, nil without group mode; it is not to be changed. RFC
// 10021, Section 12.3.
func (c *Context) SignatureEncryptionKey() cose.Secret { return c.seKey }

// Sequence returns the sequence of Sender Sequence Numbers, nil for a silent
// server.
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
	return modeOf(o), err == nil
}

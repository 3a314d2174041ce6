// Package group is being built.
package group

import (
	"crypto/ed25519"
	"io"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// Algorithms of a group; cose.Null for what is not set.
type Algorithms struct{ AEAD, GroupEnc, Sign, Pairwise, HKDF cose.Algorithm }

// DefaultAlgorithms are AES-CCM-16-64-128, EdDSA, ECDH-SS + HKDF-256 and HKDF
// SHA-256.
var DefaultAlgorithms = Algorithms{
	AEAD: cose.AESCCM16_64_128, GroupEnc: cose.AESCCM16_64_128, Sign: cose.EdDSA,
	Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256,
}

// Mode is how a message is protected.
type Mode uint8

// Modes.
const (
	Group    Mode = iota // countersigned, for all members
	Pairwise             // for one member
)

type Params struct {
	Name         string // stable name of the group
	GID          []byte
	MasterSecret cose.Secret
	MasterSalt   []byte
	Algs         Algorithms
	GMCred       []byte
	SenderID     []byte
	Cred         []byte
	Key          ed25519.PrivateKey
	Sequence     *oscore.Sequence
	WindowSize   int
	Rand         io.Reader
	EchoFirst    bool                          // windows were lost: challenge every sender first
	Windows      map[string]oscore.WindowState // restored, by KID
	// Verify replaces Ed25519 verification when not nil (WebCrypto).
	Verify func(pub ed25519.PublicKey, message, sig []byte) bool
}

// Peer is another member.
type Peer struct {
	KID   []byte
	Cred  []byte
	Roles uint
}

// UnknownPeerError: the credential of a kid is missing.
type UnknownPeerError struct{ GID, KID []byte }

func (e *UnknownPeerError) Error() string { return "no credential for this Sender ID" }

// EchoError: authentic, but not known to be fresh; answer with Challenge.
type EchoError struct {
	Challenge *coap.Message
	From      Peer
}

func (e *EchoError) Error() string { return "freshness must be proven by Echo" }

type Context struct{}

// Binding ties responses to their request.
type Binding struct {
	From Peer
	Mode Mode
}

func New(p Params) (*Context, error)                      { panic("not built yet") }
func (c *Context) SetPeer(p Peer) error                   { panic("not built yet") }
func (c *Context) RemovePeer(kid []byte)                  { panic("not built yet") }
func (c *Context) Peer(kid []byte) (Peer, bool)           { panic("not built yet") }
func (c *Context) Peers() []Peer                          { panic("not built yet") }
func (c *Context) Name() string                           { panic("not built yet") }
func (c *Context) GID() []byte                            { panic("not built yet") }
func (c *Context) SenderID() []byte                       { panic("not built yet") }
func (c *Context) MatchGID(m *coap.Message) bool          { panic("not built yet") }
func (c *Context) Windows() map[string]oscore.WindowState { panic("not built yet") }

// Window returns one peer's window.
func (c *Context) Window(kid []byte) oscore.WindowState { panic("not built yet") }

func KIDContext(m *coap.Message) ([]byte, bool) { panic("not built yet") }
func KID(m *coap.Message) ([]byte, bool)        { panic("not built yet") }

func (c *Context) ProtectRequest(req *coap.Message, to []byte) (*coap.Message, *Binding, error) {
	panic("not built yet")
}
func (c *Context) UnprotectRequest(outer *coap.Message) (*coap.Message, *Binding, error) {
	panic("not built yet")
}
func (c *Context) ProtectResponse(resp *coap.Message, b *Binding, mode Mode) (*coap.Message, error) {
	panic("not built yet")
}
func (c *Context) UnprotectResponse(outer *coap.Message, b *Binding) (*coap.Message, Peer, Mode, error) {
	panic("not built yet")
}

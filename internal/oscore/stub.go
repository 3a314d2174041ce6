// Package oscore is being built.
package oscore

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// Errors by consequence.
var (
	ErrReplay = errors.New("replay detected")
	ErrVerify = errors.New("cannot be verified")
	ErrDecode = errors.New("malformed OSCORE message")
)

// WindowState is a Replay Window that can be stored; the zero value is a window
// that has seen nothing.
type WindowState struct {
	Next uint64 `cbor:"1,keyasint"` // every number from Next on is new
	Seen uint64 `cbor:"2,keyasint"` // bit i: Next-1-i was accepted
}

// Reserver makes sequence number reservations durable.
type Reserver interface {
	Reserve(mark uint64) error // blocks until mark is durable: after a restart numbers start there
	Ahead(mark uint64)         // starts reserving mark; does not block
}

type Sequence struct{}

func NewSequence(next uint64, r Reserver) *Sequence { panic("not built yet") }
func (s *Sequence) Next() (uint64, error)           { panic("not built yet") }

// Peek returns the number that the next call of Next would give.
func (s *Sequence) Peek() uint64 { panic("not built yet") }

// Stop makes every later Next fail; it returns the first number never used.
func (s *Sequence) Stop() uint64 { panic("not built yet") }

type Params struct {
	MasterSecret cose.Secret
	MasterSalt   []byte
	IDContext    []byte // nil: none
	SenderID     []byte
	RecipientID  []byte
	AEAD         cose.Algorithm // 0: AES-CCM-16-64-128
	HKDF         cose.Algorithm // 0: HKDF SHA-256
	WindowSize   int            // 0: 32; at most 64
	Sequence     *Sequence      // nil: from 0, memory only
	Window       WindowState    // restored
	EchoFirst    bool           // B.1.2: the window was lost, challenge before acting
	Rand         io.Reader      // for Echo values; needed with EchoFirst
}

type Context struct{}

// Binding ties responses to their request.
type Binding struct{}

// EchoError: the request is authentic, but not known to be fresh. Challenge is
// the protected 4.01 with an Echo option to answer with.
type EchoError struct{ Challenge *coap.Message }

func (e *EchoError) Error() string { return "freshness must be proven by Echo" }

func New(p Params) (*Context, error) { panic("not built yet") }
func (c *Context) ProtectRequest(req *coap.Message) (*coap.Message, *Binding, error) {
	panic("not built yet")
}
func (c *Context) UnprotectRequest(outer *coap.Message) (*coap.Message, *Binding, error) {
	panic("not built yet")
}
func (c *Context) ProtectResponse(resp *coap.Message, b *Binding) (*coap.Message, error) {
	panic("not built yet")
}
func (c *Context) UnprotectResponse(outer *coap.Message, b *Binding) (*coap.Message, error) {
	panic("not built yet")
}

// Window returns the Replay Window's state.
func (c *Context) Window() WindowState { panic("not built yet") }

func IsProtected(m *coap.Message) bool { panic("not built yet") }

// ErrorResponse maps an error of UnprotectRequest to the unprotected answer.
func ErrorResponse(err error) *coap.Message { panic("not built yet") }

type Client struct{}

func NewClient(c *Context, ex coap.Exchanger, to netip.AddrPort) *Client { panic("not built yet") }
func (c *Client) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	panic("not built yet")
}

type Server struct {
	// OnAccept is called for each accepted request, before it is acted on, with
	// the window to make durable. When it fails the request is dropped.
	// It must not call the Server.
	OnAccept func(name string, w WindowState) error
}

func NewServer(rand io.Reader) *Server                  { panic("not built yet") }
func (s *Server) Add(name string, data any, c *Context) { panic("not built yet") }
func (s *Server) Remove(name string)                    { panic("not built yet") }
func (s *Server) Open(ctx context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	panic("not built yet")
}

// Master Salts of the kinds of PSK sessions.
const (
	SaltLabel      = "lamplighter/label"
	SaltOwner      = "lamplighter/owner"
	SaltInvitation = "lamplighter/invitation"
	SaltInstaller  = "lamplighter/installer"
)

type PSK struct {
	KID    []byte
	Secret cose.Secret
	Salt   []byte
}

func NewPSK(publicName, secret []byte, salt string) PSK { panic("not built yet") }

type PSKClient struct{}

func NewPSKClient(psk PSK, ex coap.Exchanger, to netip.AddrPort, rand io.Reader) *PSKClient {
	panic("not built yet")
}
func (c *PSKClient) SetPeer(to netip.AddrPort) { panic("not built yet") }
func (c *PSKClient) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	panic("not built yet")
}

type PSKServer struct{}

func NewPSKServer(rand io.Reader, now func() time.Time) *PSKServer { panic("not built yet") }
func (s *PSKServer) Set(name string, psk PSK, data any)            { panic("not built yet") }
func (s *PSKServer) Remove(name string)                            { panic("not built yet") }
func (s *PSKServer) Open(ctx context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	panic("not built yet")
}

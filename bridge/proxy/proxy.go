// Package proxy is the bridge: a CoAP forward proxy from WebSockets (RFC 8323)
// to UDP with multicast fan-out (draft-ietf-core-groupcomm-proxy-07), the
// sign-in before it, and the static page. It holds no keys and reads outer
// options only.
package proxy

import (
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// Direction says which way recorded bytes crossed the bridge.
type Direction string

// Directions of [Config.Record].
const (
	FromClient Direction = "from client" // one WebSocket message (RFC 8323 framing)
	ToClient   Direction = "to client"   // one WebSocket message (RFC 8323 framing)
	ToDevice   Direction = "to device"   // one datagram (RFC 7252)
	FromDevice Direction = "from device" // one datagram (RFC 7252)
	SignIn     Direction = "sign-in"     // the body of an HTTP request to /session
)

// Config configures a [Server].
type Config struct {
	AccessCodes []string // each is a secret of at least 128 bit that signs its holder in
	SessionKey  []byte   // 32 bytes that authenticate sessions; the same after a restart keeps people signed in; default random
	Origins     []string // allowed origins such as "https://lights.example"; none: IP literals of loopback and localhost

	Targets             []netip.Prefix // networks that may be addressed
	Ports               [][2]uint16    // ranges of ports that may be addressed, first and last
	MulticastGroups     []netip.AddrPort
	MulticastInterface  string
	MaxMulticastTimeout time.Duration // cap of Multicast-Timeout; default 60 s

	MaxMessage    int     // bytes, told in the CSM; default 64 KiB
	MaxExchanges  int     // open exchanges a connection; default 512
	MaxConns      int     // connections in all; default 256
	RequestRate   float64 // requests a second and connection; default 1000
	MulticastRate float64 // multicast requests a second and connection; default 20

	// NoSignIn lets everybody in who comes from loopback to a loopback
	// listener. For tests.
	NoSignIn bool

	// Record, for tests, sees every message that crosses. It must not keep b.
	Record func(d Direction, peer netip.AddrPort, b []byte)

	Page   fs.FS // the static page, with pre-compressed .br and .gz beside the files
	Logger *slog.Logger
}

// Server is the bridge as an [http.Handler].
type Server struct{}

// New makes a bridge.
func New(c Config) (*Server, error) { panic("not built yet") }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { panic("not built yet") }

// Close sends Release on every connection and ends them.
func (s *Server) Close() error { panic("not built yet") }

// Package proxy is the bridge: a CoAP forward proxy from WebSockets (RFC 8323)
// to UDP with multicast fan-out (draft-ietf-core-groupcomm-proxy-07), the
// sign-in before it, and the static page. It holds no keys of any association
// and reads outer options only.
//
// It is not a reverse proxy, does not cache, and forwards to coap, not coaps.
package proxy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
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
	Access     []Access // who may sign in; [Server.SetAccess] replaces the list
	Unknown    func()   // called when somebody tries a code that is not on the list: the last chance to bring that up to date
	SessionKey []byte   // at least 32 bytes that authenticate sessions; the same after a restart keeps people signed in; default random
	Origins    []string // origins that browsers may come from, such as https://lights.example; none: loopback only
	Hosts      []string // further names in the Host header that are ours; those of Origins and loopback always are

	Targets             []netip.Prefix   // networks that may be addressed
	Ports               [][2]uint16      // ranges of ports that may be addressed, first and last
	MulticastGroups     []netip.AddrPort // groups that may be addressed
	MulticastInterface  string
	MaxMulticastTimeout time.Duration // cap of Multicast-Timeout; default 60 s
	LayerParams         *coap.LayerParams

	MaxMessage    int     // bytes, told in the CSM; default 64 KiB
	MaxExchanges  int     // open exchanges a connection; default 512
	MaxConns      int     // connections in all; default 256
	RequestRate   float64 // requests a second and connection; default 1000
	MulticastRate float64 // multicast requests a second and connection that want answers; default 20
	MulticastBits float64 // bits a second of all multicast together; 0: no limit

	// NoSignIn lets everybody in who comes from loopback to a loopback
	// listener. For tests.
	NoSignIn bool

	// Record, for tests, sees every message that crosses. It must not keep b.
	Record func(d Direction, peer netip.AddrPort, b []byte)

	Page      fs.FS  // the static page, with pre-compressed .br and .gz beside the files
	Immutable string // folder of files whose names carry a hash of their content; default "assets/"
	Policy    string // Content-Security-Policy of every answer; default: same origin only
	Logger    *slog.Logger
}

const defaultPolicy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws: wss:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

func (c Config) withDefaults() (Config, error) {
	setDefault(&c.MaxMulticastTimeout, time.Minute)
	setDefault(&c.MaxMessage, 64<<10)
	setDefault(&c.MaxExchanges, 512)
	setDefault(&c.MaxConns, 256)
	setDefault(&c.RequestRate, 1000)
	setDefault(&c.MulticastRate, 20)
	setDefault(&c.Immutable, "assets/")
	setDefault(&c.Policy, defaultPolicy)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.LayerParams == nil {
		p := coap.DefaultLayerParams()
		c.LayerParams = &p
	}
	if c.SessionKey == nil {
		c.SessionKey = make([]byte, sessionKeySize)
		if _, err := rand.Read(c.SessionKey); err != nil {
			return c, fmt.Errorf("drawing a session key: %w", err)
		}
	}
	if len(c.SessionKey) < sessionKeySize {
		return c, errors.New("the session key is shorter than 32 bytes")
	}
	return c, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server is the bridge as an [http.Handler].
type Server struct {
	config   Config
	sessions *sessions
	origins  origins
	bind     netip.Addr // local address of the sockets towards IPv4 devices
	pacer    pacer
	stats    stats

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
	wg     sync.WaitGroup
}

// New makes a bridge.
func New(config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:   config,
		sessions: newSessions(config.SessionKey, config.Access),
		bind:     netip.IPv4Unspecified(),
		conns:    make(map[*conn]struct{}),
		pacer:    pacer{rate: config.MulticastBits / 8},
	}
	if s.origins, err = newOrigins(config.Origins, config.Hosts); err != nil {
		return nil, err
	}
	if onlyLoopback(config.Targets) {
		s.bind = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return s, nil
}

func onlyLoopback(targets []netip.Prefix) bool {
	for _, t := range targets {
		if !t.Addr().IsLoopback() || t.Addr().Is4() && t.Bits() < 8 {
			return false
		}
	}
	return true
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.secureHeaders(w.Header())
	if !s.origins.ownHost(r.Host) {
		http.Error(w, "This address is not served here. If it is the bridge's, start the bridge with --origin and this address, such as --origin https://192.168.1.10:8443.", http.StatusMisdirectedRequest)
		return
	}
	switch r.URL.Path {
	case coap.WSPath:
		s.serveCoAP(w, r)
	case "/session":
		s.serveSession(w, r)
	default:
		s.servePage(w, r)
	}
}

// secureHeaders are on every answer.
func (s *Server) secureHeaders(h http.Header) {
	h.Set("Content-Security-Policy", s.config.Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=(), payment=(), usb=()")
}

// serveCoAP opens a CoAP-over-WebSockets connection for who is signed in.
// RFC 8323, Section 4.1.
func (s *Server) serveCoAP(w http.ResponseWriter, r *http.Request) {
	who, status, reason := s.admit(r)
	if status != 0 {
		http.Error(w, reason, status)
		return
	}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	c := &conn{srv: s, remote: remote, who: who}
	if !s.add(c) {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "Too many connections.", http.StatusServiceUnavailable)
		return
	}
	defer s.remove(c)
	// Whoever was revoked since admit, and before the connection was on the
	// list of those to be ended, ends here.
	if _, status, reason := s.admit(r); status != 0 {
		http.Error(w, reason, status)
		return
	}
	ws, err := accept(w, r, s.config.MaxMessage)
	if err != nil {
		s.config.Logger.Debug("a WebSocket could not be opened", "from", remote, "err", err)
		return
	}
	c.run(ws)
}

// admit decides who may connect: the origin is checked before the session, for
// a browser sends the cookie from everywhere on the same site. who is nil for
// somebody who needs no session.
func (s *Server) admit(r *http.Request) (who *codeID, status int, reason string) {
	origin := r.Header.Get("Origin")
	if origin != "" && !s.origins.allowed(origin, r.Host) {
		return nil, http.StatusForbidden, "Pages of this origin may not connect."
	}
	if s.config.NoSignIn && loopbackOnly(r) {
		return nil, 0, ""
	}
	switch session, standing := s.sessions.of(r); standing {
	case welcome:
		return &session.who, 0, ""
	case dismissed:
		return nil, http.StatusUnauthorized, "Access was revoked."
	}
	return nil, http.StatusUnauthorized, "Sign in first."
}

// loopbackOnly reports whether both ends of a request are loopback addresses.
func loopbackOnly(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if err != nil || !ok || !remote.Addr().Unmap().IsLoopback() {
		return false
	}
	here, err := netip.ParseAddrPort(local.String())
	return err == nil && here.Addr().Unmap().IsLoopback()
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.config.MaxConns {
		return false
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.wg.Done()
}

// Conns returns how many connections are open.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Close sends Release on every connection, gives what is open a moment, and ends
// them. RFC 8323, Section 5.5.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(c.release)
	}
	wg.Wait()
	s.wg.Wait()
	return nil
}

//go:build !js

package endpoint

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"

	"lamplighter/internal/coap"
)

// Bounds of DTLS endpoints.
const (
	maxRecord           = 8192 // bytes of a datagram that the library takes in
	defaultSessions     = 1024
	defaultHandshakes   = 128 // under way at the same time
	handshakeTime       = 20 * time.Second
	defaultIdle         = 24 * time.Hour // longer than members wait between two questions
	sessionSeen         = 256            // messages remembered, a session
	sessionSeenBytes    = 128 << 10
	sessionQueue        = 64
	defaultDTLSInterval = time.Second // first retransmission of a flight: RFC 6347, Section 4.2.4.1
)

// DTLSOptions are the options of [ListenDTLS] and [DialDTLS]; the zero value is
// good.
type DTLSOptions struct {
	Rand       io.Reader         // tokens, jitter; default crypto/rand. DTLS takes crypto/rand always
	Logger     *slog.Logger      // default: silence
	Params     *coap.LayerParams // default coap.DefaultLayerParams, with less memory a session
	Sessions   int               // a server has at a time, default 1024: the one idle for longest makes room
	Handshakes int               // under way at a time, default 128
	Handshake  time.Duration     // how long a handshake may take, default 20 s
	Idle       time.Duration     // when a server ends a session that nothing comes over, default 24 h
	Interval   time.Duration     // of a flight's first retransmission, default 1 s
	Record     func(out bool, peer netip.AddrPort, datagram []byte)
}

func (o DTLSOptions) withDefaults() DTLSOptions {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Params == nil {
		p := coap.DefaultLayerParams()
		p.MaxSeen, p.MaxSeenBytes, p.MaxQueue = sessionSeen, sessionSeenBytes, sessionQueue
		o.Params = &p
	}
	o.Sessions = orDefault(o.Sessions, defaultSessions)
	o.Handshakes = orDefault(o.Handshakes, defaultHandshakes)
	o.Handshake = orDefault(o.Handshake, handshakeTime)
	o.Idle = orDefault(o.Idle, defaultIdle)
	o.Interval = orDefault(o.Interval, defaultDTLSInterval)
	return o
}

func orDefault[T int | time.Duration](v, byDefault T) T {
	if v == 0 {
		return byDefault
	}
	return v
}

// library are the settings of both sides. RFC 9202, Section 3.3.2 makes this
// cipher suite mandatory; no other is offered.
func (o DTLSOptions) library(key dtls.PSKCallback) []dtls.Option {
	return []dtls.Option{
		dtls.WithPSK(key),
		dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_CCM_8),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
		dtls.WithFlightInterval(o.Interval),
		dtls.WithLoggerFactory(quiet{}),
	}
}

// quiet keeps the library from writing to standard error.
type quiet struct{}

// NewLogger implements [logging.LoggerFactory].
func (quiet) NewLogger(string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, io.Discard)
}

// DTLSSession is a DTLS session with one peer: CoAP in both directions over the
// message layer (RFC 7252, Section 9.1), with a state of its own. It is safe for
// concurrent use and implements [coap.Session].
type DTLSSession struct {
	ex     exchanges
	conn   *dtls.Conn
	pipe   *pipe
	to     netip.AddrPort
	random [helloRandomLen]byte // of the ClientHello, at a server
	active atomic.Int64         // when something came last, in Unix nanoseconds
	socket io.Closer            // a client's own
}

// init prepares the exchange of messages. It begins with serve.
func (s *DTLSSession) init(o DTLSOptions, h coap.Handler, slots chan struct{}) {
	s.ex.handler, s.ex.slots = h, slots
	s.ex.write = func(_ netip.AddrPort, b []byte) error {
		_, err := s.conn.Write(b)
		var socket *net.OpError
		if err != nil && !errors.As(err, &socket) { // not the network's, which may come back
			return coap.ErrSession
		}
		return err
	}
	s.ex.init(*o.Params, o.Rand, o.Logger)
	s.ex.over = coap.ErrSession
	s.active.Store(time.Now().UnixNano())
}

// serve takes messages in until the session is over.
func (s *DTLSSession) serve() {
	buf := make([]byte, maxRecord)
	for {
		n, err := s.conn.Read(buf)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			return
		case err != nil: // about one record only
			s.ex.logger.Debug("reading a record failed", "peer", s.to, "err", err)
			continue
		}
		s.active.Store(time.Now().UnixNano())
		s.ex.receive(s.to, append([]byte(nil), buf[:n]...), false)
	}
}

// Close ends the session now; the peer is told.
func (s *DTLSSession) Close() error {
	calls, first := s.ex.shut()
	if !first {
		return nil
	}
	fail(calls, coap.ErrSession)
	err := s.conn.Close()
	_ = s.pipe.Close()
	if s.socket != nil {
		err = errors.Join(err, s.socket.Close())
	}
	return err
}

// End implements [coap.Session].
func (s *DTLSSession) End() {
	end := func() { _ = s.Close() }
	s.ex.mu.Lock()
	s.ex.idle = end
	busy := s.ex.serving > 0
	s.ex.mu.Unlock()
	if !busy {
		end()
	}
}

// Call implements [coap.Caller]. It fails with [coap.ErrSession] when the session
// is over.
func (s *DTLSSession) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	return s.ex.Exchange(ctx, s.to, req)
}

// Observe implements [coap.Watcher].
func (s *DTLSSession) Observe(ctx context.Context, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	return s.ex.Observe(ctx, s.to, req, each)
}

// Export implements [coap.Session].
func (s *DTLSSession) Export(label string, n int) ([]byte, error) {
	state, ok := s.conn.ConnectionState()
	if !ok {
		return nil, coap.ErrSession
	}
	out, err := state.ExportKeyingMaterial(label, nil, n)
	if err != nil {
		return nil, fmt.Errorf("exporting keying material: %w", err)
	}
	return out, nil
}

// Done is closed when the session is over.
func (s *DTLSSession) Done() <-chan struct{} { return s.ex.ctx.Done() }

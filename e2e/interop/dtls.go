package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// libcoap's programs with DTLS, over OpenSSL and GnuTLS.
var libcoapDTLS = []string{"coap-client-openssl", "coap-server-openssl", "coap-client-gnutls", "coap-server-gnutls"}

// dtlsCases are of the DTLS profile with pre-shared keys (RFC 9202).
var dtlsCases = []testCase{
	{"coaps: it asks, over OpenSSL", libcoapAsksOverDTLS("coap-client-openssl")},
	{"coaps: it asks, over GnuTLS", libcoapAsksOverDTLS("coap-client-gnutls")},
	{"coaps: its unknown identity is refused, over OpenSSL", libcoapRefused("coap-client-openssl", "illegal parameter")},
	{"coaps: its unknown identity is refused, over GnuTLS", libcoapRefused("coap-client-gnutls", "Illegal parameter")},
	{"coaps: we ask, over OpenSSL", askLibcoapOverDTLS("coap-server-openssl")},
	{"coaps: we ask, over GnuTLS", askLibcoapOverDTLS("coap-server-gnutls")},
}

// The pre-shared key and its identity: an argument of a program holds no zero
// byte.
var (
	pskKey      = []byte("sixteen byte key")
	pskIdentity = ace.PSKIdentity([]byte("lamp key"))
)

// onePSK knows one client.
type onePSK struct{}

// Identify implements [coap.Identities].
func (onePSK) Identify(_ context.Context, identity []byte) (*coap.Identity, error) {
	if string(identity) != string(pskIdentity) {
		return nil, coap.ErrIdentity
	}
	return &coap.Identity{Key: pskKey, Begin: func(context.Context, coap.Session) (coap.Peer, error) {
		return coap.Peer{Kind: coap.PeerDTLS, Name: "lamp"}, nil
	}}, nil
}

// newDTLSShelf is the shelf behind DTLS.
func (l *lab) newDTLSShelf() (netip.AddrPort, error) {
	s := &shelf{observers: coap.NewObservers(4), gone: make(chan struct{}), state: []byte("off"), seen: map[int]bool{}}
	blocks := coap.NewBlockServer(coap.BlockLimits{MaxBody: blockRoom}, time.Now)
	server, err := endpoint.ListenDTLS(loopback, s.count(blocks.Wrap(s)), onePSK{}, endpoint.DTLSOptions{})
	if err != nil {
		return netip.AddrPort{}, err
	}
	l.later(func() { _ = server.Close() })
	return server.Addr(), nil
}

func libcoapAsksOverDTLS(program string) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		to, err := l.newDTLSShelf()
		if err != nil {
			return err
		}
		return walk(ctx, func(ctx context.Context, s step) (reply, error) {
			var body []byte
			if s.payload != "" {
				body = []byte(s.payload)
			}
			return l.runProgram(ctx, program, "coaps://"+to.String()+s.path, body,
				"-m", strings.ToLower(s.method.String()), "-u", string(pskIdentity), "-k", string(pskKey))
		}, plain)
	}
}

func libcoapRefused(program, alert string) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		to, err := l.newDTLSShelf()
		if err != nil {
			return err
		}
		r, err := l.runProgram(ctx, program, "coaps://"+to.String()+"/light", nil, "-u", "nobody", "-k", string(pskKey))
		if err == nil {
			return fmt.Errorf("it was answered %s", coap.CodeString(r.code))
		}
		if !strings.Contains(err.Error(), alert) {
			return fmt.Errorf("the alert is another: %w", err)
		}
		return nil
	}
}

func askLibcoapOverDTLS(program string) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		to, err := l.startProgram(ctx, program, "-k", string(pskKey), "-h", "site")
		if err != nil {
			return err
		}
		secure := netip.AddrPortFrom(to.Addr(), to.Port()+1) // where it has its coaps
		var s *endpoint.DTLSSession
		for ctx.Err() == nil { // until it listens
			s, err = endpoint.DialDTLS(ctx, secure, pskIdentity, pskKey, nil, endpoint.DTLSOptions{Handshake: time.Second})
			if err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
		l.later(func() { _ = s.Close() })
		steps := []step{
			{coap.GET, "/light", "", coap.NotFound, ""},
			{coap.PUT, "/light", "off", coap.Created, ""},
			{coap.GET, "/light", "", coap.Content, "off"},
			{coap.PUT, "/light", long, coap.Changed, ""},
			{coap.GET, "/light", "", coap.Content, long},
		}
		if err := walkAlong(ctx, steps, byCaller(s, plain), plain); err != nil {
			return err
		}
		_, err = endpoint.DialDTLS(ctx, secure, pskIdentity, []byte("another key, not"), nil, endpoint.DTLSOptions{Handshake: time.Second})
		if !errors.Is(err, coap.ErrTimeout) {
			return fmt.Errorf("with another key: %w", err)
		}
		return nil
	}
}

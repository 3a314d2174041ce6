package join

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// DTLS is the DTLS profile with pre-shared keys. RFC 9202, Section 3.3.
type DTLS struct {
	// Dial does a handshake with the Group Manager, with this psk_identity and
	// pre-shared key. Requests of the Group Manager's over the session are its
	// business.
	Dial func(ctx context.Context, identity, key []byte) (coap.Session, error)

	// Exchange and GM are where the token is uploaded. Without them it goes into
	// the handshake as psk_identity.
	Exchange coap.Exchanger
	GM       netip.AddrPort

	Rand io.Reader
}

// ID implements [Profile].
func (DTLS) ID() int { return ace.ProfileDTLS }

// Transfer implements [Profile]. When the token is uploaded N_S is the Group
// Manager's challenge; when it is the psk_identity, keying material of the
// session. KGO, Section 6.1.1; RFC 9202, Section 3.3.2.
func (p DTLS) Transfer(ctx context.Context, tok *ace.TokenResponse) (*Connection, error) {
	c, err := p.transfer(ctx, tok)
	if err != nil {
		return nil, fmt.Errorf("transferring a token: %w", err)
	}
	return c, nil
}

func (p DTLS) transfer(ctx context.Context, tok *ace.TokenResponse) (*Connection, error) {
	kid, key, err := pskOf(tok)
	if err != nil {
		return nil, err
	}
	c := &Connection{}
	if c.Scope, err = granted(tok); err != nil {
		return nil, err
	}
	identity := ace.PSKIdentity(kid)
	link := &sessionLink{dial: func(ctx context.Context) (coap.Session, error) { return p.Dial(ctx, identity, key) }}
	c.Watcher = inBlocks(link, p.Rand)
	if p.Exchange != nil {
		if err := p.upload(ctx, tok.AccessToken, c); err != nil {
			return nil, err
		}
		_, err := link.session(ctx)
		return c, err
	}
	s, err := p.Dial(ctx, tok.AccessToken, key)
	if err != nil {
		return nil, noToken(err)
	}
	link.current = s // the Group Manager has the token now: further handshakes name the key
	c.NS, err = s.Export(ace.ExporterPoPInput, ace.ExporterPoPLen)
	return c, err
}

// upload posts the token, unprotected.
func (p DTLS) upload(ctx context.Context, token []byte, c *Connection) error {
	resp, err := p.Exchange.Exchange(ctx, p.GM, transferRequest(ace.AuthzInfoRequest{
		AccessToken: token, SignInfo: true, ECDHInfo: true, KDCDHCreds: true,
	}))
	if err == nil {
		err = checkGM(resp)
	}
	if err != nil {
		return err
	}
	r, err := decode[ace.AuthzInfoResponse](resp, ace.FormatACE)
	if err != nil {
		return err
	}
	if len(r.KDCChallenge) > maxNonceLen {
		return fmt.Errorf("%w: kdcchallenge", ErrDecode)
	}
	c.NS, c.Info = r.KDCChallenge, Info{r.SignInfo, r.ECDHInfo, r.KDCDHCreds}
	return nil
}

// pskOf returns the identifier and the pre-shared key of a token. RFC 9202, Section
// 3.3.2 takes the identifier from rs_cnf where the Authorization Server sends one.
func pskOf(tok *ace.TokenResponse) (kid, key []byte, err error) {
	if tok.Cnf == nil || !tok.Cnf.COSEKey.Symmetric() {
		return nil, nil, fmt.Errorf("%w: a token without a pre-shared key", ErrDecode)
	}
	k := tok.Cnf.COSEKey
	if len(k.K) < minSecretLen || len(k.K) > maxMaterialLen {
		return nil, nil, fmt.Errorf("%w: a pre-shared key out of bounds", ErrDecode)
	}
	kid = k.KID
	if tok.RSCnf != nil && tok.RSCnf.COSEKey.Symmetric() {
		kid = tok.RSCnf.COSEKey.KID
	}
	return kid, k.K, nil
}

// sessionLink is a DTLS session that comes back: when it is over, the next request
// makes another with the same key. What was under way fails: only its caller knows
// whether it may be repeated. It implements [coap.Watcher].
type sessionLink struct {
	dial func(ctx context.Context) (coap.Session, error)

	mu      sync.Mutex
	current coap.Session // nil: none
}

// session returns the session that there is, or a new one.
func (l *sessionLink) session(ctx context.Context) (coap.Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		select {
		case <-l.current.Done():
		default:
			return l.current, nil
		}
	}
	s, err := l.dial(ctx)
	if err != nil {
		return nil, noToken(err)
	}
	l.current = s
	return s, nil
}

// Call implements [coap.Caller]. A session in which the Group Manager is silent for
// as long as the caller waits is given up: it has perhaps crashed and knows nothing
// of it.
func (l *sessionLink) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	s, err := l.session(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := s.Call(ctx, req)
	if errors.Is(err, coap.ErrTimeout) || errors.Is(err, coap.ErrSession) {
		l.drop(s)
	}
	return resp, err
}

// drop gives a session up.
func (l *sessionLink) drop(s coap.Session) {
	l.mu.Lock()
	if l.current == s {
		l.current = nil
	}
	l.mu.Unlock()
	s.End()
}

// Observe implements [coap.Watcher]. An observation ends with its session.
func (l *sessionLink) Observe(ctx context.Context, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	s, err := l.session(ctx)
	if err != nil {
		return nil, err
	}
	return s.Observe(ctx, req, each)
}

// noToken tells what it means when the Group Manager knows the identity of no
// token.
func noToken(err error) error {
	if errors.Is(err, coap.ErrIdentity) {
		return fmt.Errorf("%w: %w", ErrNoToken, err)
	}
	return err
}

package commission

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// deviceSessions are the browser's associations with one device.
type deviceSessions struct {
	owner *oscore.PSKClient
	label *oscore.PSKClient

	manager *oscore.PSKClient // of a commissioner on the device's list
	secret  string            // that label is for
}

// ownerSession is the session on the owner key; the key is durable.
func (s *site) ownerSession(d *device) (coap.Caller, error) {
	r := s.of(d)
	if !r.claimed() {
		return nil, errNotClaimed
	}
	if d.sessions.owner == nil {
		psk := oscore.NewPSK(s.record().Cred, r.OwnerKey, oscore.SaltOwner)
		d.sessions.owner = oscore.NewPSKClient(psk, s.e.wire, r.address(), s.e.cfg.Rand)
	}
	d.sessions.owner.SetPeer(r.address())
	return d.sessions.owner, nil
}

// labelSession is the session on the label secret.
func (s *site) labelSession(d *device) (coap.Caller, error) {
	r := s.of(d)
	if len(r.Secret) == 0 {
		return nil, errNoLabel
	}
	if d.sessions.label == nil || d.sessions.secret != string(r.Secret) { // another label was imported
		d.sessions.secret = string(r.Secret)
		d.sessions.label = oscore.NewPSKClient(oscore.NewPSK(r.ID, r.Secret, oscore.SaltLabel), s.e.wire, r.address(), s.e.cfg.Rand)
	}
	d.sessions.label.SetPeer(r.address())
	return d.sessions.label, nil
}

// asSession is the session with the Authorization Server on the installer key.
type asSession struct {
	s *site

	mu     sync.Mutex
	key    string // the key that client is for
	client *oscore.PSKClient
}

// Call implements [coap.Caller].
func (a *asSession) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	client, err := a.open()
	if err != nil {
		return nil, err
	}
	return client.Call(ctx, req)
}

func (a *asSession) open() (*oscore.PSKClient, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.s.record()
	if !r.enrolled() {
		return nil, errNoSite
	}
	addr, err := netip.ParseAddrPort(r.ASAddress)
	if err != nil {
		return nil, errInvitation
	}
	if a.client == nil || a.key != string(r.InstallerKey) {
		psk := oscore.NewPSK(r.Cred, r.InstallerKey, oscore.SaltInstaller)
		a.client, a.key = oscore.NewPSKClient(psk, a.s.e.wire, addr, a.s.e.cfg.Rand), string(r.InstallerKey)
	}
	a.client.SetPeer(addr)
	return a.client, nil
}

// gmSession is the browser's own association with the Group Manager. It is never
// stored: each run of the engine gets a token and an association of its own, so
// that no sequence number needs to survive.
type gmSession struct {
	s *site

	mu      sync.Mutex
	client  *oscore.Client
	ns      []byte // kdcchallenge, for the next proof
	info    join.Info
	expires time.Time
}

// early is how long before its end a token is replaced.
const early = time.Minute

// Call implements [coap.Caller]. An association that the Group Manager does not
// know any more is replaced once.
func (g *gmSession) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	client, err := g.open(ctx, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Call(ctx, req)
	if !lostAssociation(resp, err) {
		return resp, err
	}
	if client, err = g.open(ctx, client); err != nil {
		return nil, err
	}
	return client.Call(ctx, req)
}

// lostAssociation reports whether the other side has no use for the association:
// it answered without protection, or 4.01 with it.
func lostAssociation(resp *coap.Message, err error) bool {
	return unknownContext(err) || err == nil && resp.Code == coap.Unauthorized
}

// open returns the association, made anew when there is none, it is about to
// expire, or it is the useless one.
func (g *gmSession) open(ctx context.Context, useless *oscore.Client) (*oscore.Client, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.client != nil && g.client != useless && g.s.e.cfg.Now().Add(early).Before(g.expires) {
		return g.client, nil
	}
	g.client = nil
	assoc, expires, err := g.s.transfer(ctx, ace.TokenRequest{Scope: g.s.wantedScope()}, []byte{})
	if denied := new(join.ASError); errors.As(err, &denied) && denied.Number == ace.ErrorInvalidScope {
		assoc, expires, err = g.s.transfer(ctx, ace.TokenRequest{}, []byte{}) // rights were taken away
	}
	if err != nil {
		return nil, err
	}
	octx, err := assoc.Context(oscore.NewSequence(assoc.NextSSN, nil))
	if err != nil {
		return nil, err
	}
	addr, err := g.s.gmAddress()
	if err != nil {
		return nil, err
	}
	g.client, g.ns, g.info, g.expires = oscore.NewClient(octx, g.s.e.wire, addr), assoc.NS, assoc.Info(), expires
	return g.client, nil
}

// forget makes the next call get a token with the rights that there are then.
func (g *gmSession) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.client = nil
}

// renew has the next request open a new association, for a token with other rights.
func (g *gmSession) renew() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.client = nil
}

// challenge is the N_S for the next proof, nil: ask for one, and what the Group
// Manager said about the groups. It is good once.
func (g *gmSession) challenge() ([]byte, join.Info) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ns := g.ns
	g.ns = nil
	return ns, g.info
}

func (s *site) gmAddress() (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(s.record().GMAddress)
	if err != nil {
		return addr, errInvitation
	}
	return addr, nil
}

// transfer gets a token and posts it to the Group Manager; id1 is the Recipient
// ID of whoever will use the association. RFC 9203, Section 4.1.
func (s *site) transfer(ctx context.Context, req ace.TokenRequest, id1 []byte) (*join.Association, time.Time, error) {
	var none time.Time
	tok, err := join.Token(ctx, &s.as, req)
	if err != nil {
		return nil, none, with(atAS, "asking for a token", err)
	}
	if req.ClientID == "" {
		granted := tok.Scope
		if granted == nil {
			granted = req.Scope // as asked for: RFC 9200, Section 5.8.2
		}
		if scope, err := ace.ParseScope(granted); err == nil {
			s.learnScope(scope)
		}
	}
	expires := s.e.cfg.Now().Add(time.Duration(tok.ExpiresIn) * time.Second)
	addr, err := s.gmAddress()
	if err != nil {
		return nil, none, err
	}
	if len(id1) == 0 {
		if id1, err = s.randomID(); err != nil {
			return nil, none, err
		}
	}
	assoc, err := join.Transfer(ctx, s.e.wire, addr, tok, id1, s.e.cfg.Rand)
	if err != nil {
		return nil, none, with(atGM, "handing over the token", err)
	}
	assoc.Expires = uint64(expires.Unix())
	return assoc, expires, nil
}

// randomID makes a Recipient ID for an own association.
func (s *site) randomID() ([]byte, error) {
	id := make([]byte, 4)
	_, err := io.ReadFull(s.e.cfg.Rand, id)
	return id, err
}

// managerSession is the session in which this browser manages a device: its owner's,
// or of a commissioner on the device's list.
func (s *site) managerSession(ctx context.Context, d *device) (coap.Caller, error) {
	r := s.of(d)
	if r.claimed() {
		return s.ownerSession(d)
	}
	if !r.labelKnown() {
		return nil, errNoLabel
	}
	if len(r.Cred) == 0 {
		if err := s.learnCredential(ctx, d); err != nil {
			return nil, err
		}
		r = s.of(d)
	}
	if d.sessions.manager == nil {
		cred, err := cose.ParseCCS(r.Cred)
		if err != nil {
			return nil, errMismatch.because(err)
		}
		psk, err := oscore.CommissionerPSK(s.key(), cred.Public, s.record().Cred, r.Cred)
		if err != nil {
			return nil, errMismatch.because(err)
		}
		d.sessions.manager = oscore.NewPSKClient(psk, s.e.wire, r.address(), s.e.cfg.Rand)
	}
	d.sessions.manager.SetPeer(r.address())
	return d.sessions.manager, nil
}

// learnCredential asks a device of another owner for its credential, which has to be
// the label's.
func (s *site) learnCredential(ctx context.Context, d *device) error {
	req := coap.NewRequest(coap.GET, "/ll/id", nil)
	coap.AddOption(req, coap.OptionURIQuery, []byte("cred"))
	who, err := s.identifyWith(ctx, s.of(d).address(), req)
	switch {
	case err != nil:
		return with(atDevice, "asking who it is", err)
	case !bytes.Equal(who.ID, s.of(d).ID):
		return errOther
	case len(who.Cred) == 0 || !s.of(d).matches(who.Cred):
		return errMismatch
	}
	return s.updateDevice(ctx, d, func(r *deviceRecord) { r.Cred = who.Cred })
}

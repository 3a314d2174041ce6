// Package as is the Authorization Server: it enrols people by invitation, keeps a
// register of devices, issues the access tokens with which they join and
// administrate groups, and revokes what it gave.
//
// Documents: RFC 9200 with the OSCORE profile (RFC 9203) and the pre-shared keys
// of the DTLS profile (RFC 9202); RFC 9770; scopes of
// draft-ietf-ace-key-groupcomm-oscore-21, Section 3, and of
// draft-ietf-ace-oscore-gm-admin-17 ("GMA"), Section 3. Clients are authenticated
// by their PSK session (docs/device.md), Group Managers by one that the token key
// makes; nothing here is answered to anybody else. Not built: the EDHOC profile,
// public keys as confirmation.
//
// Whatever an answer promises is durable before it is sent.
package as

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
	"lamplighter/internal/store/schema"
)

// Config is what an Authorization Server needs. Store, Now, Rand, Key, Issuer
// and at least one of GMs are required.
type Config struct {
	Store  store.Store
	Now    func() time.Time
	Rand   io.Reader
	Key    ed25519.PrivateKey      // of the Authorization Server's credential
	Issuer string                  // its name: iss in tokens, the subject of its credential
	GMs    map[string]ace.TokenKey // by audience: what each Group Manager opens tokens with

	Audience string // for requests that name none; default: the only one of GMs
	Policy   Policy // for invitations that bring none

	TokenLife      time.Duration // of tokens for installers, default 24 hours
	DeviceLife     time.Duration // of tokens for devices, default a year
	InvitationLife time.Duration // default 7 days

	Logger *slog.Logger // nil: silent
	Hooks  Hooks

	Access Access // who may use the bridge; nil: no bridge asks

	// Problems makes error answers of /token and /introspect Concise Problem Details,
	// as draft-ietf-ace-workflow-and-params-08 has them, in place of the maps of RFC
	// 9200.
	Problems bool

	Audiences map[string]Audience // how tokens for a Group Manager are made; default: see [Audience]

	Count func(Event) // hears of what is counted; nil: nobody does
}

// Audience is what the Authorization Server knows about a Group Manager from its
// registration. RFC 9200, Section 5.5.
type Audience struct {
	Profiles      []int // that it takes part in, the preferred one first; none: the OSCORE profile
	ExtendedScope bool  // the scope claim names its semantics by a tag (RFC 9594, Section 7)
}

// options returns the registration of an audience with its defaults.
func (c *Config) options(audience string) Audience {
	a := c.Audiences[audience]
	if len(a.Profiles) == 0 {
		a.Profiles = []int{ace.ProfileOSCORE}
	}
	return a
}

// Hooks are for tests that stop an Authorization Server at the worst moment.
type Hooks struct {
	BeforeCommit func(what string) // the change is decided, nothing is written
	AfterCommit  func(what string) // it is durable, nobody was told
}

// Defaults of [Config].
const (
	defaultTokenLife      = 24 * time.Hour
	defaultDeviceLife     = 365 * 24 * time.Hour
	defaultInvitationLife = 7 * 24 * time.Hour
)

// Server is an Authorization Server. It is safe for concurrent use.
type Server struct {
	cfg  Config
	cred []byte
	rand io.Reader
	psk  *oscore.PSKServer
	log  *slog.Logger

	trlWatch, actorsWatch *coap.Observers

	// sessions is held while a change of secrets becomes durable and known to
	// psk, so that both happen in one order.
	sessions sync.Mutex

	// lists is held while the lists of revoked tokens and people change, and while
	// somebody registers to observe one.
	lists sync.Mutex

	numbers               sync.Mutex // held while the numbers of tokens are given out
	nextNumber, endNumber uint64     // those from the first on, before the second, are free
}

// New loads the durable state and makes an Authorization Server of it.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := schema.Upgrade(context.Background(), cfg.Store, upgrades...); err != nil {
		return nil, fmt.Errorf("opening the Authorization Server's store: %w", err)
	}
	random := cose.SharedRandom(cfg.Rand)
	s := &Server{
		cfg:  cfg,
		cred: cose.NewCCS(cfg.Issuer, cfg.Key.Public().(ed25519.PublicKey)),
		rand: random,
		psk:  oscore.NewPSKServer(random, cfg.Now),
		log:  cfg.Logger,

		trlWatch: coap.NewObservers(maxObservers), actorsWatch: coap.NewObservers(maxObservers),
	}
	s.openResourceServers()
	if err := s.restore(context.Background()); err != nil {
		return nil, fmt.Errorf("restoring sessions: %w", err)
	}
	return s, nil
}

func (c *Config) complete() error {
	switch {
	case c.Store == nil || c.Now == nil || c.Rand == nil:
		return errors.New("an Authorization Server needs a store, a clock and randomness")
	case len(c.Key) != ed25519.PrivateKeySize || c.Issuer == "":
		return errors.New("an Authorization Server needs a key and a name")
	case len(c.GMs) == 0:
		return errors.New("an Authorization Server needs a Group Manager to issue tokens for")
	}
	for audience, key := range c.GMs {
		if audience == "" || len(key.Key) != ace.TokenKeySize {
			return fmt.Errorf("the token key for %q is not of %d bytes", audience, ace.TokenKeySize)
		}
		if len(c.GMs) == 1 && c.Audience == "" {
			c.Audience = audience
		}
	}
	if _, ok := c.GMs[c.Audience]; !ok && c.Audience != "" {
		return fmt.Errorf("there is no Group Manager %q to be the default", c.Audience)
	}
	if err := c.checkAudiences(); err != nil {
		return err
	}
	if err := c.Policy.Check(); err != nil {
		return err
	}
	c.TokenLife = orDefault(c.TokenLife, defaultTokenLife)
	c.DeviceLife = orDefault(c.DeviceLife, defaultDeviceLife)
	c.InvitationLife = orDefault(c.InvitationLife, defaultInvitationLife)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (c *Config) checkAudiences() error {
	for audience, a := range c.Audiences {
		if _, ok := c.GMs[audience]; !ok {
			return fmt.Errorf("there is no Group Manager %q", audience)
		}
		for _, p := range a.Profiles {
			if p != ace.ProfileOSCORE && p != ace.ProfileDTLS {
				return fmt.Errorf("profile %d of %q is not built", p, audience)
			}
		}
	}
	return nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// Credential returns the Authorization Server's authentication credential, an
// untagged CCS.
func (s *Server) Credential() []byte { return slices.Clone(s.cred) }

// Handler serves the Authorization Server's resources; it takes off the
// protection itself.
func (s *Server) Handler() coap.Handler {
	mux := coap.NewMux()
	mux.Handle(coap.POST, "/token", s.token)
	mux.Handle(coap.POST, "/introspect", s.introspect)
	mux.Handle(coap.GET, "/revoke/trl", s.trl)
	mux.Handle(coap.GET, "/revoke/actors", s.actors)
	mux.Handle(coap.POST, "/enroll", s.enroll)
	mux.Handle(coap.GET, "/people", s.listPeople)
	mux.Handle(coap.GET, "/administrators", s.listAdministrators)
	mux.Handle(coap.POST, "/people/invite", s.postInvitation)
	mux.Handle(coap.DELETE, "/people/{id}", s.deletePerson)
	mux.Handle(coap.GET, "/devices/{id}", s.showDevice)
	mux.Handle(coap.PUT, "/devices/{id}", s.registerDevice)
	mux.Handle(coap.DELETE, "/devices/{id}", s.forgetDevice)
	return coap.SecureInBlocks(mux, s.cfg.Now, s.psk)
}

// commit runs a change as one transaction and returns when it is durable. fn may
// run more than once.
func (s *Server) commit(ctx context.Context, what string, fn func(store.Tx) error) error {
	if s.cfg.Hooks.BeforeCommit != nil {
		s.cfg.Hooks.BeforeCommit(what)
	}
	if err := s.cfg.Store.Update(ctx, fn); err != nil {
		return err
	}
	if s.cfg.Hooks.AfterCommit != nil {
		s.cfg.Hooks.AfterCommit(what)
	}
	return nil
}

// random returns n random bytes.
func (s *Server) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.rand, b); err != nil {
		return nil, fmt.Errorf("drawing randomness: %w", err)
	}
	return b, nil
}

// refuse makes an error answer of /token and /introspect. RFC 9200, Section 5.8.3.
func (s *Server) refuse(code coap.Code, id ace.ASErrorCode) *coap.Message {
	if s.cfg.Problems {
		return ace.ASProblem(code, id, "")
	}
	return ace.ASError(code, id, "")
}

// broken is the answer when the Authorization Server itself fails. What failed
// is logged, not told.
func (s *Server) broken(what string, err error) *coap.Message {
	s.count(EventFailed)
	s.log.Error("cannot serve a request", "resource", what, "err", err)
	return coap.Problem(coap.InternalServerError, "The Authorization Server cannot do this now.")
}

package gm

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
	"lamplighter/internal/store/schema"
)

// Config is what a Group Manager needs.
type Config struct {
	Store      store.Store
	Now        func() time.Time
	Rand       io.Reader
	Key        ed25519.PrivateKey             // of Credential
	Credential []byte                         // the Group Manager's authentication credential, an untagged CCS
	Audience   string                         // its name in tokens
	TokenKey   ace.TokenKey                   // opens the Authorization Server's tokens
	Issuer     string                         // the Authorization Server's name in tokens; empty: any that has the key
	AS         string                         // the Authorization Server's address for the hints in a 4.01; empty: no hints
	ControlURI func(subject, uri string) bool // accepts a member's control_uri; nil: none is accepted
	Logger     *slog.Logger                   // nil: silent
	Hooks      Hooks
	Contexts   int         // associations whose keys are in memory, default 8192
	Count      func(Event) // hears of what is counted; nil: nobody does

	// Identities are further keys for groups of other algorithms than Key's, each
	// with a credential that [cose.Endorse] made of Credential.
	Identities []Identity

	// URI is how clients reach the Group Manager, "coap://host:port": what
	// joining_uri begins with. Empty: joining_uri is a relative reference.
	URI string

	// Exchange reaches members' control_uris and group addresses; nil: members are
	// told as far as they observe. Posts is how many requests go out at the same
	// time, default 16, and Pace what lies between two of them, default 4 ms.
	Exchange coap.Exchanger
	Posts    int
	Pace     time.Duration
}

// Hooks are for tests that stop a Group Manager at the worst moment.
type Hooks struct {
	BeforeCommit func(what string) // every change is decided, nothing is written
	AfterCommit  func(what string) // it is durable, nobody was told
	BeforeAnswer func(what string) // the answer is about to be handed to the transport
}

// Policies are a group's policies for its members. RFC 9594, Section 4.3.1.
type Policies struct {
	CheckInterval   uint64 // Key Update Check Interval, seconds, default 3600
	ExpirationDelta uint64 // seconds, default 0
	None            bool   // the group has no policies
}

// GroupConfig describes a group to create. Its zero values are KGO's defaults.
type GroupConfig struct {
	Name          string
	Algs          group.Algorithms // zero: group.DefaultAlgorithms
	Policies      Policies
	MulticastAddr string        // for people and the demo; no answer carries it
	MaxStaleSets  int           // default 3, at least 2
	KeyLifetime   time.Duration // default 30 days: exp and exi of the keys
	SenderIDs     uint64        // how many Sender IDs may be given out under one Gid, default 65536
	Inactive      bool          // joins and renewals are answered 5.03
	Curve         cose.Curve    // of key agreement; 0: that of the Signature Algorithm, X25519 in a pairwise-only group

	RekeyOnJoin     bool          // who joins cannot read what was sent before
	RekeyPeriod     time.Duration // the longest time that keys are used; 0: their lifetime
	OneToMany       bool          // rekeying messages go to many at a time (docs/servers.md)
	ControlGroupURI string        // where those go, default "coap://ADDRESS/ace-group/NAME" with MulticastAddr
	GIDReuse        uint64        // how many Gids the group has, which then come round again; 0: none ever does
}

// Member is a member as a test or the demo sees it.
type Member struct {
	Node       string // NODENAME
	Subject    string // the token's sub
	SenderID   []byte
	Credential []byte
	Roles      ace.Role
	Obtainer   string // who got its latest association, empty: itself
	Joined     time.Time
}

// Server is a Group Manager. It is safe for concurrent use.
type Server struct {
	cfg       Config
	log       *slog.Logger
	rand      io.Reader
	contexts  *contexts
	sessions  sessions
	ids       []Identity
	transfers limiter
	routes    []resource
	watched   watched
	jobs      *jobs
	observed  observed
	watching  watching
}

// New makes a Group Manager over the durable state. Associations are loaded when
// they are used; they then challenge their peer with Echo before they act. RFC
// 8613, Appendix B.1.2.
func New(cfg Config) (*Server, error) {
	ids, err := cfg.identities()
	if err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := schema.Upgrade(context.Background(), cfg.Store, upgrades...); err != nil {
		return nil, fmt.Errorf("opening the Group Manager's store: %w", err)
	}
	random := cose.SharedRandom(cfg.Rand)
	return &Server{
		cfg: cfg, log: cfg.Logger, rand: random, ids: ids, routes: routes(),
		contexts: newContexts(oscore.NewServer(random), cfg.Contexts), jobs: newJobs(cfg.Posts),
	}, nil
}

// Handler serves the Group Manager's resources; it takes off the protection
// itself.
func (s *Server) Handler() coap.Handler {
	return coap.SecureInBlocks(understanding(s.serve), s.cfg.Now, opener{s})
}

// commit runs a change as one transaction and returns when it is durable. fn may
// run more than once.
func (s *Server) commit(ctx context.Context, what string, fn func(store.Tx) error) error {
	var changed groupTx
	err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		changed = groupTx{Tx: tx}
		if err := fn(&changed); err != nil {
			return err
		}
		call(s.cfg.Hooks.BeforeCommit, what)
		return nil
	})
	if err == nil {
		call(s.cfg.Hooks.AfterCommit, what)
		for _, f := range changed.after {
			f()
		}
		s.watched.announce(s, changed.groups)
	}
	return err
}

func call(hook func(string), what string) {
	if hook != nil {
		hook(what)
	}
}

// random draws n bytes.
func (s *Server) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.rand, b); err != nil {
		return nil, fmt.Errorf("drawing random bytes: %w", err)
	}
	return b, nil
}

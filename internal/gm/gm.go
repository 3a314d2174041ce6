// Package gm is the Group Manager of OSCORE groups: it admits nodes that hold a
// token, gives out keys, Sender IDs and credentials, and rekeys when a member
// leaves.
//
// Documents: RFC 9594 with draft-ietf-ace-key-groupcomm-oscore-21 ("KGO") over
// the OSCORE profile (RFC 9203). Built: groups with both modes, Ed25519 and CCS
// credentials; rekeying that members find out by asking. Not built yet: monitors'
// and verifiers' own resources (active, policies, verif-data, FETCH kdc-cred,
// nodes/N/cred), rekeying messages, eviction, the admin interface.
package gm

import (
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
)

// Config is what a Group Manager needs.
type Config struct {
	Store      store.Store
	Now        func() time.Time
	Rand       io.Reader
	Key        ed25519.PrivateKey // of Credential
	Credential []byte             // the Group Manager's authentication credential, an untagged CCS
	Audience   string             // its name in tokens
	TokenKey   cose.Secret        // opens the Authorization Server's tokens
	Issuer     string             // the Authorization Server's name in tokens; empty: any that has the key
	Logger     *slog.Logger       // nil: silent
	Hooks      Hooks
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
}

// GroupConfig describes a group to create. Its zero values are KGO's defaults.
type GroupConfig struct {
	Name          string
	Algs          group.Algorithms // zero: group.DefaultAlgorithms
	Policies      Policies
	MulticastAddr string        // for people and the demo; no answer carries it
	MaxStaleSets  int           // default 3, at least 2
	KeyLifetime   time.Duration // default 30 days: exp and exi of the keys
	Inactive      bool          // joins and renewals are answered 5.03
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
type Server struct{ cfg Config }

// New loads the durable state and makes a Group Manager of it. Restored
// associations challenge their peer with Echo before they act. RFC 8613, Appendix
// B.1.2.
func New(cfg Config) (*Server, error) { panic("not built yet") }

// CreateGroup creates a group; a group of that name stays as it is.
func (s *Server) CreateGroup(ctx context.Context, cfg GroupConfig) error { panic("not built yet") }

// SetActive activates or deactivates a group.
func (s *Server) SetActive(ctx context.Context, name string, active bool) error {
	panic("not built yet")
}

// Handler serves the Group Manager's resources; it takes off the protection
// itself.
func (s *Server) Handler() coap.Handler { panic("not built yet") }

// Members lists a group's members, by NODENAME.
func (s *Server) Members(ctx context.Context, name string) ([]Member, error) { panic("not built yet") }

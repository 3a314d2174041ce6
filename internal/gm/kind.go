package gm

import (
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// withKind fills in a group's algorithms and refuses what is not built: a mode by
// halves, algorithms that RFC 10021 does not let go together, another curve than
// that of the Signature Algorithm.
func (c GroupConfig) withKind() (GroupConfig, error) {
	if c.Algs == (group.Algorithms{}) {
		c.Algs = group.DefaultAlgorithms
	}
	switch c.Algs.HKDF { // named by the HMAC in all that the Group Manager says
	case cose.Null, cose.HKDFSHA256:
		c.Algs.HKDF = cose.HMAC256
	case cose.HKDFSHA512:
		c.Algs.HKDF = cose.HMAC512
	}
	a := c.Algs
	if (a.GroupEnc == cose.Null) != (a.Sign == cose.Null) || (a.AEAD == cose.Null) != (a.Pairwise == cose.Null) {
		return c, fmt.Errorf("%w: a mode by halves", ErrAlgorithm)
	}
	if err := a.Check(); err != nil {
		return c, fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	fits := cose.Curve(0)
	if a.HasPairwiseMode() {
		if fits = ace.ECDHCurve(a.Sign); !a.HasGroupMode() {
			if fits = c.Curve; fits == 0 {
				fits = cose.X25519
			}
		}
	}
	if c.Curve != 0 && c.Curve != fits || a.HasPairwiseMode() && ace.ECDHParams(fits) == nil {
		return c, fmt.Errorf("%w: key agreement on %v", ErrAlgorithm, c.Curve)
	}
	c.Curve = fits
	return c, nil
}

// senderIDs is how many Sender IDs the algorithms' nonces have room for: of one
// byte at least. RFC 10021, Section 2.2.
func senderIDs(a group.Algorithms) uint64 { return 1 << (8 * min(a.MaxSenderID(), maxSenderIDLen)) }

// Identity is a key of the Group Manager with its authentication credential.
type Identity struct {
	Key  cose.PrivateKey
	Cred []byte // an untagged CCS
}

func (i Identity) check() error {
	cred, err := cose.ParseCCS(i.Cred)
	if err != nil {
		return fmt.Errorf("reading the Group Manager's credential: %w", err)
	}
	if !cred.Public.Equal(i.Key.Public()) {
		return fmt.Errorf("the Group Manager's credential is not of its key")
	}
	return nil
}

// identities are all keys of a Group Manager, that of Credential first. Every
// other credential is endorsed by it: members know it in advance and trust the
// others through it.
func (c *Config) identities() ([]Identity, error) {
	all := append([]Identity{{cose.NewEd25519(c.Key), c.Credential}}, c.Identities...)
	for i, id := range all {
		if err := id.check(); err != nil {
			return nil, err
		}
		if i > 0 && !cose.Endorsed(c.Credential, id.Cred) {
			return nil, fmt.Errorf("the Group Manager's credential on %v is not endorsed by the first", id.Key.Public().Curve())
		}
	}
	return all, nil
}

// identity is the key with which the Group Manager takes part in groups of a kind:
// one of the Signature Algorithm, else one for key agreement on the curve. Nil when
// it has none. KGO, Section 6.3.
func (s *Server) identity(a group.Algorithms, curve cose.Curve) *Identity {
	for i := range s.ids {
		public := s.ids[i].Key.Public()
		if a.HasGroupMode() && public.SignatureAlgorithm() == a.Sign ||
			!a.HasGroupMode() && agreement(public.Curve()) == curve {
			return &s.ids[i]
		}
	}
	return nil
}

// agreement is the curve on which a key agrees. RFC 10021, Section 2.5.2.
func agreement(c cose.Curve) cose.Curve {
	if c == cose.Ed25519 {
		return cose.X25519
	}
	return c
}

// eligible reads a credential that members of the group can use: in the group's
// format, with a key of its Signature Algorithm, or in a pairwise-only group of its
// curve. Reading it refuses Ed25519 keys that have no Montgomery coordinates, with y
// = 1 or -1, in groups of every kind: they are of small order and sign nothing
// either. KGO, Section 6.2; RFC 10021, Section 2.4.
func (g *groupRecord) eligible(cred []byte) (*cose.Credential, bool) {
	parsed, err := cose.ParseCCS(cred)
	if err != nil {
		return nil, false
	}
	if g.Algs.HasGroupMode() {
		return &parsed, parsed.Alg == g.Algs.Sign
	}
	return &parsed, agreement(parsed.Public.Curve()) == g.Curve
}

package gm

import (
	"errors"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// groupKind is a kind of group for tests.
type groupKind struct {
	name  string
	algs  group.Algorithms
	curve cose.Curve // of a pairwise-only group
}

const (
	ccm = cose.AESCCM16_64_128
	ss  = cose.ECDHSSHKDF256
)

var groupKinds = []groupKind{
	{"both modes, Ed25519", group.DefaultAlgorithms, 0},
	{"both modes, P-256", group.Algorithms{AEAD: ccm, GroupEnc: ccm, Sign: cose.ES256, Pairwise: ss, HKDF: cose.HMAC256}, 0},
	{"both modes, SHA-512", group.Algorithms{AEAD: ccm, GroupEnc: cose.A128CTR, Sign: cose.EdDSA, Pairwise: cose.ECDHSSHKDF512, HKDF: cose.HMAC512}, 0},
	{"signatures only, Ed25519", group.Algorithms{GroupEnc: cose.A128CTR, Sign: cose.EdDSA, HKDF: cose.HMAC256}, 0},
	{"signatures only, P-256", group.Algorithms{GroupEnc: ccm, Sign: cose.ES256, HKDF: cose.HMAC256}, 0},
	{"pairwise only, X25519", group.Algorithms{AEAD: ccm, Pairwise: ss, HKDF: cose.HMAC256}, 0},
	{"pairwise only, P-256", group.Algorithms{AEAD: ccm, Pairwise: ss, HKDF: cose.HMAC256}, cose.P256},
}

func (k groupKind) config(name string) GroupConfig {
	return GroupConfig{Name: name, Algs: k.algs, Curve: k.curve}
}

func (k groupKind) onP256() bool { return k.algs.Sign == cose.ES256 || k.curve == cose.P256 }

// signs, ecdh are what the Group Manager says about the kind; nil: nothing.
func (k groupKind) signs() [][]int {
	if !k.algs.HasGroupMode() {
		return nil
	}
	if k.onP256() {
		return [][]int{{2}, {2, 1}}
	}
	return [][]int{{1}, {1, 6}}
}

func (k groupKind) ecdh() [][]int {
	if !k.algs.HasPairwiseMode() {
		return nil
	}
	if k.onP256() {
		return [][]int{{2}, {2, 1}}
	}
	return [][]int{{1}, {1, 4}}
}

// newKindWorld is a world whose group is of a kind.
func newKindWorld(t testing.TB, k groupKind, edits ...func(*GroupConfig)) *world {
	t.Helper()
	w := newEmptyWorld(t, withP256)
	cfg := k.config(testGroup)
	for _, edit := range edits {
		edit(&cfg)
	}
	if err := w.s.CreateGroup(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

func eachKind(t *testing.T, fn func(t *testing.T, k groupKind, w *world)) {
	for _, k := range groupKinds {
		t.Run(k.name, func(t *testing.T) { fn(t, k, newKindWorld(t, k)) })
	}
}

// kindNode is a node with a key for groups of a kind.
func (w *world) kindNode(subject string, k groupKind) *node {
	n := w.node(subject)
	if k.onP256() {
		n.other = newP256(w.rand)
		n.cred = n.other.Public().CCS(subject)
	}
	return n
}

// kindApplicant is an applicant with a key for groups of a kind.
func (w *world) kindApplicant(subject string, k groupKind, granted ace.Role, edits ...func(*ace.CWTClaims)) *applicant {
	w.t.Helper()
	a := w.applicant(subject, granted, edits...)
	a.node = w.kindNode(subject, k)
	return a
}

// credential is the Group Manager's in groups of a kind.
func (w *world) credential(k groupKind) []byte {
	if k.onP256() {
		return w.cfg.Identities[0].Cred
	}
	return w.cfg.Credential
}

// What the Group Manager cannot take part in is not created.
func TestKindsRefused(t *testing.T) {
	w := newEmptyWorld(t, withP256)
	edit := func(f func(*group.Algorithms)) GroupConfig {
		a := group.DefaultAlgorithms
		f(&a)
		return GroupConfig{Name: "new", Algs: a}
	}
	for what, cfg := range map[string]GroupConfig{
		"a cipher without a signature":  edit(func(a *group.Algorithms) { a.Sign = cose.Null }),
		"a signature without a cipher":  edit(func(a *group.Algorithms) { a.GroupEnc = cose.Null }),
		"agreement without AEAD":        edit(func(a *group.Algorithms) { a.AEAD = cose.Null }),
		"AEAD without agreement":        edit(func(a *group.Algorithms) { a.Pairwise = cose.Null }),
		"no tag in pairwise mode":       edit(func(a *group.Algorithms) { a.AEAD = cose.A128CTR }),
		"another HKDF":                  edit(func(a *group.Algorithms) { a.HKDF = cose.HMAC512 }),
		"an unknown signature":          edit(func(a *group.Algorithms) { a.Sign = -35 }),
		"an unknown cipher":             edit(func(a *group.Algorithms) { a.GroupEnc = 99 }),
		"a curve of others":             {Name: "new", Curve: cose.P256},
		"a curve with signatures alone": {Name: "new", Algs: groupKinds[3].algs, Curve: cose.X25519},
		"a curve that does not agree":   {Name: "new", Algs: groupKinds[5].algs, Curve: cose.Ed25519},
		"no mode":                       {Name: "new", Algs: group.Algorithms{HKDF: cose.HMAC256}},
	} {
		if err := w.s.CreateGroup(t.Context(), cfg); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s: %v", what, err)
		}
	}
	alone := newEmptyWorld(t)
	for _, k := range groupKinds {
		if err := alone.s.CreateGroup(t.Context(), k.config("new"+k.name[:3]+k.name[len(k.name)-3:])); (err != nil) != k.onP256() {
			t.Errorf("%s without a key on P-256: %v", k.name, err)
		}
	}
}

// A second credential that the first does not endorse would be trusted by nobody.
func TestIdentitiesRefused(t *testing.T) {
	w := newEmptyWorld(t, withP256)
	good := w.cfg.Identities[0]
	for what, id := range map[string]Identity{
		"not endorsed":             {good.Key, good.Key.Public().CCS("gm")},
		"the credential of no key": {newP256(w.rand), good.Cred},
		"garbage":                  {good.Key, []byte("x")},
	} {
		cfg := w.cfg
		cfg.Identities = []Identity{id}
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

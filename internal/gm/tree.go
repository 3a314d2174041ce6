package gm

import (
	"fmt"
	"slices"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

const (
	treeSecretLen = 32
	minTreeHeight = 6 // 64 leaves

	// A tree is renewed, and everybody told by itself, when a message would have to
	// be wrapped for more subtrees, when so many leaves are of no use any more, or
	// when its keys are so many versions old.
	maxCover = 96
	maxBurnt = 1024
	treeSpan = ace.MaxTreeSteps - 24
)

// treeRecord is the tree of keys of a group whose rekeying messages go to many.
type treeRecord struct {
	Secret     cose.Secret    `cbor:"1,keyasint"`
	Generation uint32         `cbor:"2,keyasint"`
	Base       uint64         `cbor:"3,keyasint"` // the version of the group's keys that it began with
	Alg        cose.Algorithm `cbor:"4,keyasint"`
	Next       uint32         `cbor:"5,keyasint"` // leaves below it were given out, each once
	Height     int            `cbor:"6,keyasint"` // that it began with
	Burnt      []uint32       `cbor:"7,keyasint"` // leaves of who has left, or whose keys somebody else knows
}

// leafRecord is a member's place in the tree.
type leafRecord struct {
	Leaf       uint32 `cbor:"1,keyasint"`
	Generation uint32 `cbor:"2,keyasint"`
	Num        uint64 `cbor:"3,keyasint"` // the version of the group's keys when it was given out
}

func leafKey(name, node string) string { return "r/l/" + name + "/" + node }

func (t *treeRecord) keys() ace.KeyTree {
	return ace.KeyTree{Secret: t.Secret, Alg: t.Alg, Generation: t.Generation, Base: t.Base}
}

// heightOf is the height of the root that a leaf's holder has: that of the tree
// when the leaf was given out.
func (t *treeRecord) heightOf(leaf uint32) int {
	return max(t.Height, ace.TreeHeight(uint64(leaf)+1))
}

// cover is the smallest set of subtrees that holds all leaves in use but those
// that are left out.
func (t *treeRecord) cover(without []uint32) []uint64 {
	excluded := append(slices.Clone(t.Burnt), without...)
	slices.Sort(excluded)
	leaves := make([]ace.TreeLeaf, 0, t.Next)
	for leaf := range t.Next {
		if _, out := slices.BinarySearch(excluded, leaf); !out {
			leaves = append(leaves, ace.TreeLeaf{Leaf: leaf, Height: t.heightOf(leaf)})
		}
	}
	return ace.TreeCover(max(t.Height, ace.TreeHeight(uint64(t.Next))), leaves, excluded)
}

// treeAlg is what one-to-many messages are encrypted with: what the group uses, if
// it authenticates. RFC 9594, Section 6.2.1.
func (g *groupRecord) treeAlg() cose.Algorithm {
	for _, alg := range []cose.Algorithm{g.Algs.GroupEnc, g.Algs.AEAD} {
		if cose.Authenticated(alg) {
			return alg
		}
	}
	return cose.AESCCM16_64_128
}

// plant says in the job of a rekeying which subtrees its messages are for. Where
// that would be too many, or there is no tree yet, a new tree begins, of which each
// member is told by itself.
func (s *Server) plant(tx store.Tx, g *groupRecord, job *rekeyJob) error {
	if g.Scheme != ace.RekeyingCompleteSubtree {
		g.Tree = nil
		return nil
	}
	barred, err := s.barredLeaves(tx, g)
	if err != nil {
		return err
	}
	if job.Reason == ReasonConfig {
		return nil // which messages to many cannot tell
	}
	if t := g.Tree; t != nil && len(t.Burnt) <= maxBurnt && g.Num-t.Base <= treeSpan && t.Alg == g.treeAlg() {
		if cover := t.cover(barred); len(cover) <= maxCover {
			job.Cover = cover
			return nil
		}
	}
	return s.renewTree(tx, g)
}

// renewTree begins a new generation of the tree, with a leaf for every member.
func (s *Server) renewTree(tx store.Tx, g *groupRecord) error {
	secret, err := s.random(treeSecretLen)
	if err != nil {
		return err
	}
	t := &treeRecord{Secret: secret, Base: g.Num, Alg: g.treeAlg()}
	if g.Tree != nil {
		t.Generation = g.Tree.Generation
	}
	t.Generation++
	g.Tree = t
	var nodes []string
	if err := eachMember(tx, g.Name, func(m *memberRecord) bool { nodes = append(nodes, m.Node); return true }); err != nil {
		return err
	}
	t.Height = max(minTreeHeight, ace.TreeHeight(2*uint64(len(nodes))))
	for _, node := range nodes {
		if _, err := g.giveLeaf(tx, node); err != nil {
			return err
		}
	}
	return nil
}

// newLeaf gives a member a leaf in the tree that there is now, or in a new one when
// there is none that is of use. The caller saves the group.
func (s *Server) newLeaf(tx store.Tx, g *groupRecord, node string) (*leafRecord, error) {
	if g.Tree == nil || g.Num-g.Tree.Base > treeSpan {
		if err := s.renewTree(tx, g); err != nil {
			return nil, err
		}
		if l, err := g.leafOf(tx, node); l != nil || err != nil {
			return l, err
		}
	}
	return g.giveLeaf(tx, node)
}

// giveLeaf gives a member a leaf that nobody had. The caller saves the group.
func (g *groupRecord) giveLeaf(tx store.Tx, node string) (*leafRecord, error) {
	if g.Tree.Next >= 1<<ace.MaxTreeHeight {
		return nil, fmt.Errorf("no leaf left in the tree of keys of %q", g.Name)
	}
	l := &leafRecord{Leaf: g.Tree.Next, Generation: g.Tree.Generation, Num: g.Num}
	g.Tree.Next++
	return l, save(tx, leafKey(g.Name, node), l)
}

// leafOf is a member's leaf in the tree that there is now; nil when it has none.
func (g *groupRecord) leafOf(tx store.Tx, node string) (*leafRecord, error) {
	if g.Tree == nil {
		return nil, nil
	}
	l, err := load[leafRecord](tx, leafKey(g.Name, node))
	if err != nil || l == nil || l.Generation != g.Tree.Generation {
		return nil, err
	}
	return l, nil
}

// burnLeaf takes a member's leaf out of use for ever.
func (g *groupRecord) burnLeaf(tx store.Tx, node string) error {
	l, err := g.leafOf(tx, node)
	if err != nil {
		return err
	}
	if l != nil {
		g.Tree.Burnt = append(g.Tree.Burnt, l.Leaf)
	}
	return tx.Delete(leafKey(g.Name, node))
}

// material is the mgt_key_material of a member; nil in groups that are rekeyed
// point to point.
func (s *Server) material(g *groupRecord, l *leafRecord, m *memberRecord) ([]byte, error) {
	if g.Tree == nil || l == nil {
		return nil, nil
	}
	mat, err := g.Tree.keys().Material(l.Leaf, g.Tree.heightOf(l.Leaf), g.Num)
	if err != nil {
		return nil, err
	}
	if !g.Algs.HasGroupMode() { // kdc_cred makes no signatures: RFC 9594, Section 6.2.1
		nonce, err := s.random(challengeLen)
		if err != nil {
			return nil, err
		}
		mat.KDCCred, mat.KDCNonce = s.ids[0].Cred, nonce
		if mat.KDCCredVerify, err = s.ids[0].Key.Sign(ace.KDCPoPInput(m.NC, nonce)); err != nil {
			return nil, err
		}
	}
	return ace.Encode(mat), nil
}

// treeSigner is the key that signs one-to-many messages.
func (s *Server) treeSigner(g *groupRecord) (cose.Algorithm, func([]byte) ([]byte, error), error) {
	id := &s.ids[0]
	if g.Algs.HasGroupMode() {
		id = s.identity(g.Algs, g.Curve)
	}
	if id == nil {
		return 0, nil, errNoIdentity
	}
	return id.Key.Public().SignatureAlgorithm(), id.Key.Sign, nil
}

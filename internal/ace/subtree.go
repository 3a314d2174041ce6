package ace

import (
	"math/bits"
	"slices"
)

// The group rekeying scheme "complete subtree" is this project's profile of RFC
// 9594, Section 6.2 (docs/servers.md): the Group Manager keeps a binary tree of
// keys, each member has a leaf and the keys from there up, and a rekeying message
// is encrypted under a key that is wrapped for the fewest subtrees which hold
// members only.

// MaxTreeHeight bounds the trees: 2^20 leaves.
const MaxTreeHeight = 20

// TreeNode numbers the node that many levels above a leaf. Leaf i is node 2i, and
// a node's number never changes when the tree grows by a new root. RFC 9420,
// Appendix C.
func TreeNode(leaf uint32, height int) uint64 {
	return uint64(leaf>>height)<<(height+1) + 1<<height - 1
}

// TreeHeight is the height of the smallest tree with that many leaves.
func TreeHeight(leaves uint64) int {
	if leaves <= 1 {
		return 0
	}
	return bits.Len64(leaves - 1)
}

// TreeLeaf is a member's place in the tree.
type TreeLeaf struct {
	Leaf   uint32
	Height int // of the highest node whose key the member has
}

// TreeCover returns the fewest nodes below a root of that height whose keys all
// of members have one of and none of excluded has any of. A member that is
// excluded too is not covered. Leaves that are in neither list are free: nobody
// has their keys.
func TreeCover(height int, members []TreeLeaf, excluded []uint32) []uint64 {
	members, excluded = slices.Clone(members), slices.Clone(excluded)
	slices.SortFunc(members, func(a, b TreeLeaf) int { return int(a.Leaf) - int(b.Leaf) })
	slices.Sort(excluded)
	return cover(nil, 0, height, members, excluded)
}

// cover appends the nodes that it takes below the node over the leaves from first
// on.
func cover(dst []uint64, first uint32, height int, members []TreeLeaf, excluded []uint32) []uint64 {
	if len(members) == 0 || height == 0 && len(excluded) > 0 {
		return dst
	}
	held := func(m TreeLeaf) bool { return m.Height < height }
	if len(excluded) == 0 && !slices.ContainsFunc(members, held) {
		return append(dst, TreeNode(first, height))
	}
	if height == 0 {
		return dst // a leaf without a key
	}
	middle := first + 1<<(height-1)
	m, _ := slices.BinarySearchFunc(members, middle, func(l TreeLeaf, at uint32) int { return int(l.Leaf) - int(at) })
	e, _ := slices.BinarySearch(excluded, middle)
	dst = cover(dst, first, height-1, members[:m], excluded[:e])
	return cover(dst, middle, height-1, members[m:], excluded[e:])
}

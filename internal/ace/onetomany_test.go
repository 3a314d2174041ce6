package ace

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

var updateVectors = flag.Bool("update-vectors", false, "write the vectors of one-to-many rekeying anew")

// treeGM is a Group Manager's key and credential.
func treeGM(t testing.TB) (ed25519.PrivateKey, *cose.Credential) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	cred, err := cose.ParseCCS(cose.NewCCS("gm", key.Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	return key, &cred
}

func signer(key ed25519.PrivateKey) func([]byte) ([]byte, error) {
	return func(m []byte) ([]byte, error) { return ed25519.Sign(key, m), nil }
}

func testTree(alg cose.Algorithm) KeyTree {
	return KeyTree{Secret: cose.Secret("0123456789abcdef0123456789abcdef"), Alg: alg, Generation: 3, Base: 4}
}

func material(t testing.TB, tree KeyTree, leaf uint32, height int, num uint64) *MgtKeyMaterial {
	t.Helper()
	m, err := tree.Material(leaf, height, num)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTreeNode(t *testing.T) {
	for _, c := range []struct {
		leaf   uint32
		height int
		want   uint64
	}{{0, 0, 0}, {1, 0, 2}, {0, 1, 1}, {1, 1, 1}, {2, 1, 5}, {3, 2, 3}, {7, 3, 7}, {8, 3, 23}, {1<<20 - 1, 20, 1<<20 - 1}} {
		if got := TreeNode(c.leaf, c.height); got != c.want {
			t.Errorf("node %d above leaf %d is %d, want %d", c.height, c.leaf, got, c.want)
		}
	}
	for leaves, want := range map[uint64]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 1024: 10, 1025: 11} {
		if got := TreeHeight(leaves); got != want {
			t.Errorf("%d leaves take a tree of height %d, not %d", leaves, got, want)
		}
	}
}

// A cover has a key of every member, none of anyone else who ever had a leaf, and
// no two of its subtrees could be one.
func TestTreeCoverExactly(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		height := rng.IntN(8)
		size := uint32(1) << height
		issued := rng.Uint32N(size + 1)
		var members []TreeLeaf
		var excluded []uint32
		for leaf := range issued {
			switch rng.IntN(5) {
			case 0:
				excluded = append(excluded, leaf)
			case 1: // has left before this generation of the tree: nobody
			default:
				members = append(members, TreeLeaf{leaf, height - rng.IntN(2)*rng.IntN(height+1)})
			}
		}
		rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		rng.Shuffle(len(excluded), func(i, j int) { excluded[i], excluded[j] = excluded[j], excluded[i] })
		checkCover(t, height, members, excluded)
		if t.Failed() {
			return
		}
	}
}

func checkCover(t *testing.T, height int, members []TreeLeaf, excluded []uint32) {
	t.Helper()
	got := TreeCover(height, members, excluded)
	in := map[uint64]bool{}
	for _, n := range got {
		if in[n] {
			t.Errorf("node %d twice", n)
		}
		in[n] = true
	}
	over := func(leaf uint32, height int) (nodes []uint64) {
		for h := range height + 1 {
			if in[TreeNode(leaf, h)] {
				nodes = append(nodes, TreeNode(leaf, h))
			}
		}
		return nodes
	}
	for _, m := range members {
		if nodes := over(m.Leaf, m.Height); len(nodes) != 1 {
			t.Errorf("member %+v is covered by %v of %v", m, nodes, got)
		}
	}
	for _, leaf := range excluded {
		if nodes := over(leaf, height); len(nodes) != 0 {
			t.Errorf("leaf %d is excluded and covered by %v", leaf, nodes)
		}
	}
	if best := fewest(0, height, members, excluded); len(got) != best {
		t.Errorf("%d subtrees, %d suffice: %v for %v without %v", len(got), best, got, members, excluded)
	}
}

// fewest counts by trying, node by node, whether one subtree does.
func fewest(first uint32, height int, members []TreeLeaf, excluded []uint32) int {
	inside := func(leaf uint32) bool { return leaf>>height == first>>height }
	some, one := false, true
	for _, m := range members {
		if inside(m.Leaf) {
			some, one = true, one && m.Height >= height
		}
	}
	if slices.ContainsFunc(excluded, inside) {
		one = false
	}
	switch {
	case !some:
		return 0
	case one:
		return 1
	}
	return fewest(first, height-1, members, excluded) + fewest(first+1<<(height-1), height-1, members, excluded)
}

func TestTreeCoverOfExcludedMember(t *testing.T) {
	if got := TreeCover(2, []TreeLeaf{{1, 2}, {2, 2}}, []uint32{1}); !slices.Equal(got, []uint64{5}) {
		t.Errorf("cover %v, want the node over leaf 2 alone", got)
	}
}

// Every algorithm: a member opens what is for it, and gets the message.
func TestOneToManyRoundTrip(t *testing.T) {
	key, gm := treeGM(t)
	for _, alg := range []cose.Algorithm{cose.AESCCM16_64_128, cose.AESCCM16_64_256, cose.AESCCM64_128_128, cose.A128GCM, cose.A256GCM, cose.ChaCha20Poly1305, cose.A128CTR} {
		tree := testTree(alg)
		text := Encode(sampleRekeying)
		cover := TreeCover(3, []TreeLeaf{{0, 3}, {1, 3}, {5, 3}}, []uint32{4})
		sealed, err := tree.Seal("hall", 9, text, cover, cose.EdDSA, signer(key))
		if err != nil || len(sealed) != 1 {
			t.Fatal(alg, len(sealed), err)
		}
		for _, leaf := range []uint32{0, 1, 5} {
			num, got, err := material(t, tree, leaf, 3, 8).OpenOneToMany("hall", sealed[0], gm)
			if err != nil || num != 9 || !bytes.Equal(got, text) {
				t.Errorf("algorithm %d, leaf %d: %d %x (%v)", alg, leaf, num, got, err)
			}
		}
		again, err := tree.Seal("hall", 9, text, cover, cose.EdDSA, signer(key))
		if err != nil || !bytes.Equal(again[0], sealed[0]) {
			t.Errorf("algorithm %d: sealed again, the message differs (%v)", alg, err)
		}
	}
}

// With more subtrees than one message holds there are several, and each member
// opens exactly one.
func TestOneToManyInParts(t *testing.T) {
	key, gm := treeGM(t)
	tree := testTree(cose.AESCCM16_64_128)
	var members []TreeLeaf
	var excluded []uint32
	for leaf := range uint32(128) {
		if leaf%2 == 0 {
			members = append(members, TreeLeaf{leaf, 7})
		} else {
			excluded = append(excluded, leaf)
		}
	}
	sealed, err := tree.Seal("hall", 5, Encode(sampleRekeying), TreeCover(7, members, excluded), cose.EdDSA, signer(key))
	if err != nil || len(sealed) != 3 {
		t.Fatal(len(sealed), err)
	}
	for _, m := range sealed {
		if len(m) > 1100 {
			t.Errorf("a message of %d bytes", len(m))
		}
	}
	for leaf := range uint32(128) {
		opened := 0
		for _, m := range sealed {
			_, _, err := material(t, tree, leaf, 7, 4).OpenOneToMany("hall", m, gm)
			if err == nil {
				opened++
			} else if !errors.Is(err, ErrNotCovered) {
				t.Error(leaf, err)
			}
		}
		if want := int(1 - leaf%2); opened != want {
			t.Errorf("leaf %d opens %d messages, want %d", leaf, opened, want)
		}
	}
}

// Who kept everything can open no later message, whoever else helps.
func TestOneToManyEvicted(t *testing.T) {
	key, gm := treeGM(t)
	tree := testTree(cose.AESCCM16_64_128)
	rng := rand.New(rand.NewPCG(3, 4))
	live, gone := map[uint32]bool{}, []uint32{}
	kept := map[uint32]*MgtKeyMaterial{}
	for leaf := range uint32(64) {
		live[leaf] = true
		kept[leaf] = material(t, tree, leaf, 6, tree.Base)
	}
	for num := tree.Base + 1; len(live) > 3; num++ {
		for range 1 + rng.IntN(3) {
			leaf := slices.Sorted(maps.Keys(live))[rng.IntN(len(live))]
			delete(live, leaf)
			gone = append(gone, leaf)
		}
		var members []TreeLeaf
		for leaf := range live {
			members = append(members, TreeLeaf{leaf, 6})
		}
		sealed, err := tree.Seal("hall", num, Encode(sampleRekeying), TreeCover(6, members, gone), cose.EdDSA, signer(key))
		if err != nil {
			t.Fatal(err)
		}
		for leaf, m := range kept {
			opened := false
			for _, msg := range sealed {
				_, _, err := m.OpenOneToMany("hall", msg, gm)
				opened = opened || err == nil
				var h *treeProtected
				if _, h, err = parseOneToMany(msg); err != nil {
					t.Fatal(err)
				}
				if !live[leaf] {
					tryAllKeys(t, m, h, num)
				}
			}
			if opened != live[leaf] {
				t.Errorf("num %d: leaf %d opens: %v, it is a member: %v", num, leaf, opened, live[leaf])
			}
		}
	}
}

// tryAllKeys unwraps everything with everything that an evicted member has.
func tryAllKeys(t *testing.T, m *MgtKeyMaterial, h *treeProtected, num uint64) {
	t.Helper()
	for _, k := range m.Keys {
		now := advance(k, num-m.Num)
		for _, wrapped := range h.Wrapped {
			if _, err := cose.UnwrapKey(now, wrapped); err == nil {
				t.Errorf("an evicted member with leaf %d unwraps a key", m.Leaf)
			}
		}
	}
}

// What was recorded before a member joined stays closed to it.
func TestOneToManyBackward(t *testing.T) {
	key, gm := treeGM(t)
	tree := testTree(cose.AESCCM16_64_128)
	sealed, err := tree.Seal("hall", 5, Encode(sampleRekeying), []uint64{TreeNode(0, 3)}, cose.EdDSA, signer(key))
	if err != nil {
		t.Fatal(err)
	}
	late := material(t, tree, 2, 3, 6)
	if _, _, err := late.OpenOneToMany("hall", sealed[0], gm); !errors.Is(err, ErrStale) {
		t.Error("an old message:", err)
	}
	_, h, err := parseOneToMany(sealed[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range late.Keys {
		if _, err := cose.UnwrapKey(k, h.Wrapped[TreeNode(0, 3)]); err == nil {
			t.Error("keys of version 6 open a message for version 5")
		}
	}
	early := material(t, tree, 1, 3, 4)
	next, err := early.Advance(5)
	if err != nil || fmt.Sprint(next.Num) != "5" || bytes.Equal(next.Keys[0], early.Keys[0]) {
		t.Fatal(next, err)
	}
	want := material(t, tree, 1, 3, 5)
	if !bytes.Equal(Encode(next), Encode(want)) {
		t.Error("a member's keys move on to others than the Group Manager's")
	}
	for _, num := range []uint64{4, 3, 5 + MaxTreeSteps + 1} {
		if m, err := next.Advance(num); !errors.Is(err, ErrStale) {
			t.Errorf("from 5 to %d: %v (%v)", num, m, err)
		}
	}
}

func TestOneToManyRefuses(t *testing.T) {
	key, gm := treeGM(t)
	tree := testTree(cose.AESCCM16_64_128)
	sealed, err := tree.Seal("hall", 9, Encode(sampleRekeying), []uint64{TreeNode(0, 1), TreeNode(2, 0)}, cose.EdDSA, signer(key))
	if err != nil {
		t.Fatal(err)
	}
	msg, member := sealed[0], material(t, tree, 0, 3, 8)
	open := func(m *MgtKeyMaterial, group string, data []byte, gm *cose.Credential) error {
		_, _, err := m.OpenOneToMany(group, data, gm)
		return err
	}
	if err := open(member, "hall", msg, gm); err != nil {
		t.Fatal(err)
	}
	other, _ := cose.ParseCCS(cose.NewCCS("gm", ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)))
	older, renewed := tree, tree
	older.Base, renewed.Generation = 0, 4
	for name, c := range map[string]struct {
		err, want error
	}{
		"another group":        {open(member, "attic", msg, gm), cose.ErrVerify},
		"another signer":       {open(member, "hall", msg, &other), cose.ErrVerify},
		"not covered":          {open(material(t, tree, 3, 3, 8), "hall", msg, gm), ErrNotCovered},
		"the same version":     {open(material(t, tree, 0, 3, 9), "hall", msg, gm), ErrStale},
		"an older generation":  {open(material(t, renewed, 0, 3, 8), "hall", msg, gm), ErrGeneration},
		"keys of another tree": {open(material(t, older, 0, 3, 8), "hall", msg, gm), cose.ErrVerify},
		"nothing":              {open(member, "hall", nil, gm), ErrDecode},
		"trailing byte":        {open(member, "hall", append(bytes.Clone(msg), 0), gm), ErrDecode},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	for i := range msg {
		bad := bytes.Clone(msg)
		bad[i] ^= 1
		if err := open(member, "hall", bad, gm); err == nil {
			t.Errorf("byte %d changed, and it opens", i)
		}
		if err := open(member, "hall", msg[:i], gm); !errors.Is(err, ErrDecode) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
	if _, err := tree.Seal("hall", 3, nil, []uint64{1}, cose.EdDSA, signer(key)); !errors.Is(err, ErrStale) {
		t.Error("a version before the tree:", err)
	}
}

// No key and nonce ever meet two plaintexts, whatever is sealed for one version.
func TestOneToManyNonces(t *testing.T) {
	key, _ := treeGM(t)
	seen := map[string]string{}
	defer func(old func(key, nonce, plaintext, ciphertext []byte)) { cose.Recorder = old }(cose.Recorder)
	cose.Recorder = func(key, nonce, _, ciphertext []byte) {
		use := string(key) + string(nonce)
		if old, ok := seen[use]; ok && old != string(ciphertext) {
			t.Error("a key and nonce made two ciphertexts")
		}
		seen[use] = string(ciphertext)
	}
	tree := testTree(cose.AESCCM16_64_128)
	var wide []uint64
	for leaf := range uint32(60) {
		wide = append(wide, TreeNode(leaf, 0))
	}
	for _, text := range []string{"a", "b"} {
		for _, cover := range [][]uint64{{1}, {3}, {0, 2}, wide} {
			for _, group := range []string{"hall", "attic"} {
				for range 2 {
					if _, err := tree.Seal(group, 7, []byte(text), cover, cose.EdDSA, signer(key)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	if len(seen) != 2*2*(3+3) {
		t.Errorf("%d uses of keys and nonces", len(seen))
	}
}

func TestTreeSecretsStayInside(t *testing.T) {
	m := material(t, testTree(cose.AESCCM16_64_128), 1, 2, 4)
	for _, verb := range []string{"%v", "%+v", "%s", "%x"} {
		if text := fmt.Sprintf(verb, m); strings.Contains(text, hex.EncodeToString(m.Keys[0])) || !strings.Contains(text, "[redacted]") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestMgtKeyMaterialChecks(t *testing.T) {
	good := *material(t, testTree(cose.AESCCM16_64_128), 1, 2, 4)
	roundTrip(t, good)
	good.KDCCred, good.KDCNonce, good.KDCCredVerify = []byte("c"), []byte("n"), []byte("s")
	roundTrip(t, good)
	for name, edit := range map[string]func(*MgtKeyMaterial){
		"unknown algorithm": func(m *MgtKeyMaterial) { m.Alg = 99 },
		"short Base IV":     func(m *MgtKeyMaterial) { m.BaseIV = m.BaseIV[1:] },
		"no keys":           func(m *MgtKeyMaterial) { m.Keys = nil },
		"too many keys":     func(m *MgtKeyMaterial) { m.Keys = make([]cose.Secret, MaxTreeHeight+2) },
		"short key":         func(m *MgtKeyMaterial) { m.Keys = []cose.Secret{m.Keys[0][1:]} },
		"no such leaf":      func(m *MgtKeyMaterial) { m.Leaf = 1 << MaxTreeHeight },
	} {
		bad := good
		edit(&bad)
		if _, err := Decode[MgtKeyMaterial](Encode(bad)); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// treeVector is one case of testdata/onetomany.json.
type treeVector struct {
	Name        string   `json:"name"`
	Alg         int      `json:"alg"`
	Secret      string   `json:"tree_secret"`
	Generation  uint32   `json:"generation"`
	Base        uint64   `json:"base"`
	Group       string   `json:"group"`
	Num         uint64   `json:"num"`
	Rekeying    string   `json:"rekeying_message"`
	Cover       []uint64 `json:"cover"`
	SigningSeed string   `json:"gm_seed"`
	Credential  string   `json:"gm_credential"`
	Leaf        uint32   `json:"leaf"`
	Height      int      `json:"height"`
	MemberNum   uint64   `json:"member_num"`
	Material    string   `json:"mgt_key_material"` // of that leaf at member_num
	Messages    []string `json:"messages"`
	Opens       int      `json:"opens"` // which of messages the member opens
}

func makeVectors(t *testing.T) []treeVector {
	key, gm := treeGM(t)
	var out []treeVector
	for _, c := range []struct {
		name    string
		alg     cose.Algorithm
		num     uint64
		leaf    uint32
		members []TreeLeaf
		without []uint32
	}{
		{"nobody left out", cose.AESCCM16_64_128, 5, 1, []TreeLeaf{{0, 3}, {1, 3}, {2, 3}}, nil},
		{"one evicted, three versions on", cose.AESCCM16_64_128, 8, 6, []TreeLeaf{{0, 3}, {1, 3}, {6, 3}}, []uint32{2}},
		{"AES-GCM with 256 bits", cose.A256GCM, 300, 0, []TreeLeaf{{0, 3}, {3, 3}}, []uint32{1, 2}},
	} {
		tree := testTree(c.alg)
		v := treeVector{Name: c.name, Alg: int(c.alg), Secret: hex.EncodeToString(tree.Secret), Generation: tree.Generation, Base: tree.Base,
			Group: "hall", Num: c.num, Rekeying: hex.EncodeToString(Encode(sampleRekeying)), Cover: TreeCover(3, c.members, c.without),
			SigningSeed: hex.EncodeToString(key.Seed()), Credential: hex.EncodeToString(gm.Raw), Leaf: c.leaf, Height: 3, MemberNum: 4}
		v.Material = hex.EncodeToString(Encode(material(t, tree, c.leaf, 3, 4)))
		sealed, err := tree.Seal("hall", c.num, Encode(sampleRekeying), v.Cover, cose.EdDSA, signer(key))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range sealed {
			v.Messages = append(v.Messages, hex.EncodeToString(m))
		}
		out = append(out, v)
	}
	return out
}

// The bytes of the messages are part of what members rely on.
func TestOneToManyVectors(t *testing.T) {
	path := filepath.Join("testdata", "onetomany.json")
	if *updateVectors {
		data, err := json.MarshalIndent(makeVectors(t), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []treeVector
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal(len(vectors), err)
	}
	for _, v := range vectors {
		gm, err := cose.ParseCCS(unhex(t, v.Credential))
		if err != nil {
			t.Fatal(err)
		}
		key := ed25519.NewKeyFromSeed(unhex(t, v.SigningSeed))
		tree := KeyTree{Secret: unhex(t, v.Secret), Alg: cose.Algorithm(v.Alg), Generation: v.Generation, Base: v.Base}
		sealed, err := tree.Seal(v.Group, v.Num, unhex(t, v.Rekeying), v.Cover, cose.EdDSA, signer(key))
		if err != nil || len(sealed) != len(v.Messages) {
			t.Fatal(v.Name, len(sealed), err)
		}
		for i, m := range sealed {
			if hex.EncodeToString(m) != v.Messages[i] {
				t.Errorf("%s: message %d is %x", v.Name, i, m)
			}
		}
		m, err := Decode[MgtKeyMaterial](unhex(t, v.Material))
		if err != nil || !bytes.Equal(Encode(m), Encode(material(t, tree, v.Leaf, v.Height, v.MemberNum))) {
			t.Fatal(v.Name, err)
		}
		num, text, err := m.OpenOneToMany(v.Group, unhex(t, v.Messages[v.Opens]), &gm)
		if err != nil || num != v.Num || !bytes.Equal(text, unhex(t, v.Rekeying)) {
			t.Errorf("%s: %d %x (%v)", v.Name, num, text, err)
		}
	}
}

func TestControl(t *testing.T) {
	if got := hex.EncodeToString(GroupDeleted()); got != "a3070108a00a01" {
		t.Errorf("a deleted group is %s", got)
	}
	rekeying := RekeyingMessage{GKTY: 1, Key: KeyMaterial{MasterSecret: cose.Secret("0123456789abcdef"), GID: []byte{1}}, Num: 3, Profile: 1, EXP: 9, EXI: 1, StaleIDs: [][]byte{}}
	config := ConfigNotice{GKTY: 1, Key: ConfigMaterial{HKDF: 5, CredFmt: 14, Alg: 10}, Num: 3, Profile: 1, EXP: 9}
	for payload, want := range map[string]ControlKind{
		string(Encode(rekeying)): ControlRekeying, string(Encode(config)): ControlConfig, string(GroupDeleted()): ControlDeleted,
	} {
		c, err := ParseControl([]byte(payload))
		if err != nil || c.Kind != want || (c.Rekeying != nil) != (want == ControlRekeying) || (c.Config != nil) != (want == ControlConfig) {
			t.Errorf("%v is read as %+v (%v)", want, c, err)
		}
	}
	edit := func(label int, v any) []byte {
		var m map[int]cbor.RawMessage
		if err := cbor.Unmarshal(Encode(rekeying), &m); err != nil {
			t.Fatal(err)
		}
		if delete(m, label); v != nil {
			m[label] = Encode(v)
		}
		return Encode(m)
	}
	for name, payload := range map[string][]byte{
		"nothing":                nil,
		"another key type":       edit(GroupcommGKTY, 2),
		"another profile":        edit(GroupcommProfile, 2),
		"no key":                 edit(GroupcommKey, nil),
		"a key that is no map":   edit(GroupcommKey, 1),
		"a secret without num":   edit(GroupcommNum, nil),
		"an empty Master Secret": edit(GroupcommKey, map[int][]byte{2: {}, 6: {1}}),
		"no Gid":                 edit(GroupcommKey, map[int][]byte{2: []byte("0123456789abcdef")}),
		"no stale Sender IDs":    edit(GroupcommStaleNodeIDs, nil),
		"creds alone":            edit(GroupcommCreds, [][]byte{{1}}),
		"num and an empty key":   edit(GroupcommKey, map[int]int{}),
	} {
		if c, err := ParseControl(payload); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %+v (%v)", name, c, err)
		}
	}
}

func FuzzMgtKeyMaterial(f *testing.F) {
	m, err := testTree(cose.AESCCM16_64_128).Material(1, 2, 4)
	if err != nil {
		f.Fatal(err)
	}
	fuzzCodec(f, *m)
}

func FuzzControl(f *testing.F) {
	f.Add(GroupDeleted())
	f.Add(Encode(sampleRekeying))
	f.Add(Encode(ConfigNotice{GKTY: 1, Key: ConfigMaterial{HKDF: 5, CredFmt: 14}, Num: 3, Profile: 1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseControl(data)
		if err != nil {
			return
		}
		once := GroupDeleted()
		switch c.Kind {
		case ControlRekeying:
			once = Encode(c.Rekeying)
		case ControlConfig:
			once = Encode(c.Config)
		}
		again, err := ParseControl(once)
		if err != nil || again.Kind != c.Kind {
			t.Fatalf("%x encodes to %x: %v", data, once, err)
		}
	})
}

func FuzzOneToMany(f *testing.F) {
	key, gm := treeGM(f)
	tree := testTree(cose.AESCCM16_64_128)
	sealed, err := tree.Seal("hall", 9, Encode(sampleRekeying), []uint64{1, 4}, cose.EdDSA, signer(key))
	if err != nil {
		f.Fatal(err)
	}
	m := material(f, tree, 0, 3, 8)
	f.Add(sealed[0])
	f.Add(sealed[0][:len(sealed[0])-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		if obj, h, err := parseOneToMany(data); err == nil {
			obj.Protected = cbor.MustMarshal(h)
			if again := append([]byte{0xd0}, cbor.MustMarshal(obj)...); !bytes.Equal(again, data) {
				t.Fatalf("%x reads and encodes to %x", data, again)
			}
		}
		if _, _, err := m.OpenOneToMany("hall", data, gm); err == nil && !bytes.Equal(data, sealed[0]) {
			t.Fatalf("a forged message opens: %x", data)
		}
	})
}

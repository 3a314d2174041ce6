package group

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// nonces watches all AEADs of this test binary: no key and nonce may make two
// ciphertexts.
var nonces = struct {
	sync.Mutex
	space  string // see separate
	seen   map[[32]byte][32]byte
	repeat int
}{seen: map[[32]byte][32]byte{}}

func record(key, nonce, _, ciphertext []byte) {
	nonces.Lock()
	defer nonces.Unlock()
	pair := sha256.Sum256(slices.Concat([]byte(nonces.space), key, nonce))
	sum := sha256.Sum256(ciphertext)
	if old, ok := nonces.seen[pair]; ok && old != sum {
		nonces.repeat++
	}
	nonces.seen[pair] = sum
}

// separate lets what follows use keys and nonces that others used, until the
// function that it returns is called. It is for vectors alone: the groups of
// group-oscore.json were all recorded with one Master Secret, Salt and Gid, so
// that ed25519-ccm and es256-ccm have the same group keys and, in 19 messages, the
// same nonce for the same plaintext with other additional data. Within a group
// nothing is exempted.
func separate(space string) (end func()) {
	set := func(space string) {
		nonces.Lock()
		defer nonces.Unlock()
		nonces.space = space
	}
	set(space)
	return func() { set("") }
}

func TestMain(m *testing.M) {
	// The benchmarks would measure it, and fill it.
	benchmark := false
	for _, arg := range os.Args[1:] {
		benchmark = benchmark || len(arg) > 11 && arg[:11] == "-test.bench"
	}
	if !benchmark {
		cose.Recorder = record
	}
	code := m.Run()
	if nonces.repeat > 0 {
		fmt.Printf("FAIL: %d nonces were used for two ciphertexts\n", nonces.repeat)
		code = 1
	}
	os.Exit(code)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// world is a group whose member i has the Sender ID i.
type world struct {
	t       testing.TB
	secret  []byte
	gid     []byte
	keys    []ed25519.PrivateKey
	creds   [][]byte
	gmCred  []byte
	members []*Context
}

func newCred(t testing.TB, name string) (ed25519.PrivateKey, []byte) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private, cose.NewCCS(name, public)
}

func newWorld(t testing.TB, n int) *world {
	t.Helper()
	w := &world{t: t, gid: []byte{0xdd, 0x11}, secret: randomBytes(16)}
	_, w.gmCred = newCred(t, "gm")
	for i := range n {
		key, cred := newCred(t, fmt.Sprint("member ", i))
		w.keys, w.creds = append(w.keys, key), append(w.creds, cred)
	}
	for i := range n {
		w.members = append(w.members, w.member(i))
	}
	return w
}

// params are those of member i.
func (w *world) params(i int) Params {
	return Params{
		Name: "hall", GID: w.gid, MasterSecret: w.secret, MasterSalt: []byte{1}, GMCred: w.gmCred,
		SenderID: []byte{byte(i)}, Cred: w.creds[i], Key: cose.NewEd25519(w.keys[i]), Rand: rand.Reader,
	}
}

// member makes the context of member i with all others as peers.
func (w *world) member(i int, edit ...func(*Params)) *Context {
	w.t.Helper()
	p := w.params(i)
	for _, f := range edit {
		f(&p)
	}
	c, err := New(p)
	if err != nil {
		w.t.Fatal(err)
	}
	for j, cred := range w.creds {
		if err := c.SetPeer(Peer{KID: []byte{byte(j)}, Cred: cred, Roles: uint(j)}); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

// rekey gives the group a new Gid and secret and makes all contexts anew; the
// Sender IDs stay.
func (w *world) rekey() {
	w.gid = append([]byte{w.gid[0] + 1}, w.gid[1:]...)
	w.secret = randomBytes(16)
	for i := range w.members {
		w.members[i] = w.member(i)
	}
}

func get(path string) *coap.Message { return coap.NewRequest(coap.GET, path, nil) }

func content(payload string) *coap.Message {
	return coap.Respond(coap.Content, coap.FormatText, []byte(payload))
}

// over passes a message through its encoding.
func over(t testing.TB, m *coap.Message) *coap.Message {
	t.Helper()
	c := *m
	c.MessageID, c.Type = 1, 0
	b, err := coap.MarshalUDP(&c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := coap.UnmarshalUDP(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func optionOf(t testing.TB, m *coap.Message) oscore.Option {
	t.Helper()
	o, err := oscore.MessageOption(m)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

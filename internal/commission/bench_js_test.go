package commission_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"lamplighter/e2e/bench/rounds"
	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
	"lamplighter/wasm/webcrypto"
)

const members = 1000

// BenchmarkAnswers opens the answers of 1,000 members in group mode, with their
// signatures verified in batches by WebCrypto. Its reference is one Go worker
// that opens one by one. What is cold imports all keys into WebCrypto, as after
// the page was loaded.
func BenchmarkAnswers(b *testing.B) {
	cose.Recorder = nil // it would be measured, and fill
	h := newHall(b)
	one := rounds.Each(func() { h.oneByOne(b) })
	b.Run("verify/1000", func(b *testing.B) {
		var v webcrypto.Verifier
		rounds.Compare(b, rounds.Each(func() { h.batches(b, &v) }), one)
	})
	b.Run("verify/1000/cold", func(b *testing.B) {
		rounds.Compare(b, rounds.Each(func() { h.batches(b, &webcrypto.Verifier{}) }), one)
	})
}

// hall is a group whose members have all answered one request.
type hall struct {
	client  *group.Context
	asked   group.Binding // of the request; each opening takes a copy, in which nobody has answered
	answers []*coap.Message
}

func newHall(b *testing.B) *hall {
	common := group.Params{GID: []byte{0xdd, 0x11}, MasterSecret: random(16), MasterSalt: random(8), Rand: rand.Reader}
	_, common.GMCred = newKey()
	own := common
	own.SenderID = []byte{0xff}
	own.Key, own.Cred = newKey()
	h := &hall{client: newContext(b, own)}
	outer, asked, err := h.client.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), nil)
	must(b, err)
	h.asked = *asked
	resp := coap.Respond(coap.Content, coap.FormatCBOR, random(64))
	for i := range members {
		p := common
		p.SenderID = []byte{byte(i >> 8), byte(i)}
		p.Key, p.Cred = newKey()
		server := newContext(b, p)
		must(b, server.SetPeer(group.Peer{KID: own.SenderID, Cred: own.Cred}))
		must(b, h.client.SetPeer(group.Peer{KID: p.SenderID, Cred: p.Cred}))
		_, binding, err := server.UnprotectRequest(outer)
		must(b, err)
		answer, err := server.ProtectResponse(resp, binding, group.Group)
		must(b, err)
		h.answers = append(h.answers, answer)
	}
	return h
}

func newContext(b *testing.B, p group.Params) *group.Context {
	c, err := group.New(p)
	must(b, err)
	return c
}

func newKey() (cose.PrivateKey, []byte) {
	key := cose.NewEd25519(ed25519.NewKeyFromSeed(random(ed25519.SeedSize)))
	return key, key.Public().CCS("")
}

func (h *hall) oneByOne(b *testing.B) {
	binding := h.asked
	for _, m := range h.answers {
		_, _, _, err := h.client.UnprotectResponse(m, &binding)
		must(b, err)
	}
}

func (h *hall) batches(b *testing.B, v commission.Verifier) {
	binding := h.asked
	must(b, commission.OpenAll(v, h.client, &binding, h.answers))
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand's promise
	return b
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

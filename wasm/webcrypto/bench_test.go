//go:build js && wasm

package webcrypto

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// rollCall is a group request and the answers of many members in group mode.
type rollCall struct {
	browser *group.Context
	binding *group.Binding
	answers []*coap.Message
}

func newRollCall(b *testing.B, members int) *rollCall {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	member := func(n int) *group.Context {
		key := cose.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 16)))
		c, err := group.New(group.Params{
			GID: []byte{1}, MasterSecret: bytes.Repeat([]byte{2}, 16), Algs: group.DefaultAlgorithms, GMCred: []byte("gm"),
			SenderID: []byte{byte(n), byte(n >> 8)}, Cred: cose.NewCCS("", key.Public().Bytes()), Key: key,
		})
		must(err)
		return c
	}
	peer := func(c *group.Context) group.Peer { return group.Peer{KID: c.SenderID(), Cred: c.Cred()} }
	r := &rollCall{browser: member(0)}
	outer, binding, err := r.browser.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), nil)
	must(err)
	r.binding = binding
	for n := range members {
		c := member(n + 1)
		must(r.browser.SetPeer(peer(c)))
		must(c.SetPeer(peer(r.browser)))
		_, from, err := c.UnprotectRequest(outer)
		must(err)
		answer, err := c.ProtectResponse(coap.Respond(coap.Content, 60, bytes.Repeat([]byte{0x55}, 16)), from, group.Group)
		must(err)
		r.answers = append(r.answers, answer)
	}
	return r
}

// again forgets what was accepted, so that the same answers can come again.
func (r *rollCall) again() *group.Binding {
	fresh := *r.binding
	return &fresh
}

// oneByOne is one Go worker: each answer verified and decrypted before the next.
func (r *rollCall) oneByOne(b *testing.B, answers []*coap.Message) {
	binding := r.again()
	for _, answer := range answers {
		if _, _, _, err := r.browser.UnprotectResponse(answer, binding); err != nil {
			b.Fatal(err)
		}
	}
}

// inBatch opens answers as the engine does.
func (r *rollCall) inBatch(b *testing.B, v *Verifier, answers []*coap.Message) {
	binding := r.again()
	begun := make([]*group.Unverified, len(answers))
	batch := make([]commission.Signature, len(answers))
	for i, answer := range answers {
		u, err := r.browser.BeginResponse(answer, binding)
		if err != nil {
			b.Fatal(err)
		}
		begun[i], batch[i] = u, commission.Signature{Public: u.Public, Message: u.Message, Sig: u.Sig}
	}
	for i, good := range v.Verify(batch) {
		if _, _, _, err := r.browser.FinishResponse(begun[i], good); err != nil {
			b.Fatal(err)
		}
	}
}

// slice is how many answers come together.
const slice = 125

// BenchmarkVerify1000Ratio opens 1,000 answers of 1,000 members, slices of them in
// turn in a batch over WebCrypto and one by one in Go, so that a busy moment of the
// machine meets both. An operation is one answer. ratio says how many times as
// fast batches are; signature-ratio is that of the signatures alone. All figures
// are medians; first-ns/op includes the import of the keys.
func BenchmarkVerify1000Ratio(b *testing.B) {
	r := newRollCall(b, 1000)
	v := new(Verifier)
	signatures := r.signatures(b)
	start := time.Now()
	for answers := range slices.Chunk(r.answers, slice) {
		r.inBatch(b, v, answers)
	}
	first := float64(time.Since(start)) / float64(len(r.answers))

	var batches, single, ratios, alone, aloneRatios []float64
	for b.Loop() {
		for i := 0; i < len(r.answers); i += slice {
			answers, sigs := r.answers[i:i+slice], signatures[i:i+slice]
			batch, one := timed(func() { r.inBatch(b, v, answers) }), timed(func() { r.oneByOne(b, answers) })
			batches, single, ratios = append(batches, batch), append(single, one), append(ratios, one/batch)
			web, inGo := timed(func() { v.Verify(sigs) }), timed(func() { verifyAll(sigs) })
			alone, aloneRatios = append(alone, web), append(aloneRatios, inGo/web)
		}
	}
	b.ReportMetric(median(batches), "ns/op")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(single), "reference-ns/op")
	b.ReportMetric(median(alone), "signature-ns/op")
	b.ReportMetric(median(aloneRatios), "signature-ratio")
	b.ReportMetric(first, "first-ns/op")
}

func (r *rollCall) signatures(b *testing.B) []commission.Signature {
	b.Helper()
	list := make([]commission.Signature, len(r.answers))
	for i, answer := range r.answers {
		u, err := r.browser.BeginResponse(answer, r.binding)
		if err != nil {
			b.Fatal(err)
		}
		list[i] = commission.Signature{Public: u.Public, Message: u.Message, Sig: u.Sig}
	}
	return list
}

func verifyAll(batch []commission.Signature) {
	for _, s := range batch {
		s.Public.Verify(s.Message, s.Sig)
	}
}

// timed returns nanoseconds for each answer of a slice. A browser's clock is as
// coarse as 0.1 ms.
func timed(f func()) float64 {
	start := time.Now()
	f()
	return float64(time.Since(start)) / slice
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

//go:build js && wasm

package webcrypto

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"sync"
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
func (r *rollCall) oneByOne(b *testing.B) {
	binding := r.again()
	for _, answer := range r.answers {
		if _, _, _, err := r.browser.UnprotectResponse(answer, binding); err != nil {
			b.Fatal(err)
		}
	}
}

// slice is how many answers a batch has at most: while WebCrypto works on one,
// Go prepares and decrypts others.
const slice = 125

// inBatches opens the answers as the engine does, two batches at a time.
func (r *rollCall) inBatches(b *testing.B, v *Verifier) {
	binding := r.again()
	batches := make(chan []*coap.Message)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for answers := range batches {
				r.open(b, v, binding, answers)
			}
		})
	}
	for answers := range slices.Chunk(r.answers, slice) {
		batches <- answers
	}
	close(batches)
	workers.Wait()
}

func (r *rollCall) open(b *testing.B, v *Verifier, binding *group.Binding, answers []*coap.Message) {
	begun := make([]*group.Unverified, len(answers))
	batch := make([]commission.Signature, len(answers))
	for i, answer := range answers {
		u, err := r.browser.BeginResponse(answer, binding)
		if err != nil {
			b.Error(err)
			return
		}
		begun[i], batch[i] = u, commission.Signature{Public: u.Public, Message: u.Message, Sig: u.Sig}
	}
	for i, good := range v.Verify(batch) {
		if _, _, _, err := r.browser.FinishResponse(begun[i], good); err != nil {
			b.Error(err)
			return
		}
	}
}

// BenchmarkVerify1000Ratio opens 1,000 answers of 1,000 members, in batches over
// WebCrypto and by Go one by one, in turn. An operation is one answer. ratio is how
// much quicker batches are; signature-ratio is that of the signatures alone.
func BenchmarkVerify1000Ratio(b *testing.B) {
	r := newRollCall(b, 1000)
	v := new(Verifier)
	batch := make([]commission.Signature, len(r.answers))
	for i, answer := range r.answers {
		u, err := r.browser.BeginResponse(answer, r.again())
		if err != nil {
			b.Fatal(err)
		}
		batch[i] = commission.Signature{Public: u.Public, Message: u.Message, Sig: u.Sig}
	}
	start := time.Now()
	r.inBatches(b, v)
	first := time.Since(start)
	var batches, single, alone, inGo []float64
	for range 5 {
		batches = append(batches, timed(func() { r.inBatches(b, v) }))
		single = append(single, timed(func() { r.oneByOne(b) }))
		alone = append(alone, timed(func() { v.Verify(batch) }))
		inGo = append(inGo, timed(func() {
			for _, s := range batch {
				s.Public.Verify(s.Message, s.Sig)
			}
		}))
	}
	for b.Loop() { // the figures are those above
	}
	b.ReportMetric(median(batches), "ns/op")
	b.ReportMetric(median(single)/median(batches), "ratio")
	b.ReportMetric(median(single), "reference-ns/op")
	b.ReportMetric(median(inGo)/median(alone), "signature-ratio")
	b.ReportMetric(median(alone), "signature-ns/op")
	b.ReportMetric(float64(first)/1000, "first-ns/op") // with the import of all keys
}

// timed returns nanoseconds for each of 1,000 answers.
func timed(f func()) float64 {
	start := time.Now()
	f()
	return float64(time.Since(start)) / 1000
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

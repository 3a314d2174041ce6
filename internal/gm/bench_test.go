//go:build !js

package gm

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
	"lamplighter/internal/store/sealed"
)

// benchClients is how many clients are at it at the same time.
const benchClients = 16

// openDisk opens a durable, encrypted store, as the Group Manager has it.
func openDisk(t testing.TB, path string) store.Store {
	t.Helper()
	raw, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sealed.Open(t.Context(), raw, make([]byte, sealed.KeySize), "gm", crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// durableWorld is a Group Manager on the disk.
func durableWorld(t testing.TB, path string) *world {
	t.Helper()
	db := openDisk(t, path)
	t.Cleanup(func() { db.Close() })
	w := newEmptyWorld(t, func(c *Config) { c.Store, c.Rand = db, crand.Reader })
	w.store, w.rand = db, crand.Reader
	return w
}

// joiner is a client whose own work is done before it is measured.
type joiner struct {
	*node
	group   string
	roles   ace.Role
	tok     *ace.TokenResponse
	assoc   *join.Association
	join    *coap.Message // protected
	client  *oscore.Context
	binding *oscore.Binding
	answer  *coap.Message
}

// BenchmarkJoins measures how many nodes join in a second, 16 at a time, over a
// store on the disk: token transfer and Join Request with their protection; what
// the clients calculate is left out. Its reference is the bare cryptography of a
// join on all processors, and a plain file's fsync for each commit that 16 share:
// see [floor]. How much of the distance is bbolt's, which waits for the disk twice in
// a commit, tells the same with records in bbolt in the place of the file. All are
// measured in turn, as the load of a machine changes.
func BenchmarkJoins(b *testing.B) {
	const joins, groups, atATime = 2000, 40, 400
	for b.Loop() {
		w := durableWorld(b, filepath.Join(b.TempDir(), "gm.db"))
		for g := range groups {
			if err := w.s.CreateGroup(b.Context(), GroupConfig{Name: fmt.Sprint("hall", g)}); err != nil {
				b.Fatal(err)
			}
		}
		all := make([]*joiner, joins)
		for i := range all {
			j := &joiner{node: w.node(fmt.Sprint("dev", i)), group: fmt.Sprint("hall", i%groups), roles: ace.RoleResponder}
			if i < groups {
				j.roles = both
			}
			j.tok = w.seal(w.claims(j.subject, scope(j.group, j.roles)))
			all[i] = j
		}
		h := w.s.Handler()
		reference := newFloor(b)
		var took, least, bolted time.Duration
		for some := range slices.Chunk(all, atATime) {
			took += transferAll(b, w, h, some)
			took += joinAll(b, w, h, some)
			least += reference.toFile(b, len(some))
			bolted += reference.toBolt(b, len(some))
		}
		b.ReportMetric(joins/took.Seconds(), "joins/s")
		b.ReportMetric(joins/least.Seconds(), "reference-joins/s")
		b.ReportMetric(joins/bolted.Seconds(), "bolt-joins/s")
	}
}

// canned is an exchange in two halves: the request is made, then the response is
// read.
type canned struct {
	plain
	req  *coap.Message
	sent chan struct{}
	resp chan *coap.Message
}

// Exchange implements [coap.Exchanger].
func (c *canned) Exchange(_ context.Context, _ netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	c.req = req
	close(c.sent)
	return <-c.resp, nil
}

func transferAll(b *testing.B, w *world, h coap.Handler, all []*joiner) time.Duration {
	b.Helper()
	var wg sync.WaitGroup
	type half struct {
		c *canned
		j *joiner
	}
	halves := make([]half, len(all))
	errs := make(chan error, len(all))
	for i, j := range all {
		c := &canned{sent: make(chan struct{}), resp: make(chan *coap.Message)}
		halves[i] = half{c, j}
		wg.Go(func() {
			var err error
			j.assoc, err = join.Transfer(b.Context(), c, gmAddr, j.tok, []byte{0xc1}, w.rand)
			if err != nil {
				errs <- err
			}
		})
		<-c.sent
	}
	answers := make([]*coap.Message, len(all))
	start := time.Now()
	each(len(all), func(i int) {
		answers[i] = h.Serve(b.Context(), &coap.Request{Message: halves[i].c.req, From: clientAddr})
	})
	took := time.Since(start)
	for i, half := range halves {
		half.c.resp <- answers[i]
	}
	wg.Wait()
	select {
	case err := <-errs:
		b.Fatal(err)
	default:
	}
	return took
}

// each runs fn for 0 to n-1 in 16 lanes.
func each(n int, fn func(int)) {
	var wg sync.WaitGroup
	for lane := range benchClients {
		wg.Go(func() {
			for i := lane; i < n; i += benchClients {
				fn(i)
			}
		})
	}
	wg.Wait()
}

func joinAll(b *testing.B, w *world, h coap.Handler, all []*joiner) time.Duration {
	b.Helper()
	for _, j := range all {
		offer := join.NewOffer(j.group, j.roles, j.cred, w.rand)
		req := coap.NewRequest(coap.POST, "/ace-group/"+j.group, ace.Encode(offer.Request(offer.Prove(j.key, j.assoc.NS), true)))
		coap.AddUint(req, coap.OptionContentFormat, ace.FormatACEGroupcomm)
		var err error
		if j.client, err = j.assoc.Context(oscore.NewSequence(0, nil)); err != nil {
			b.Fatal(err)
		}
		if j.join, j.binding, err = j.client.ProtectRequest(req); err != nil {
			b.Fatal(err)
		}
	}
	start := time.Now()
	each(len(all), func(i int) {
		all[i].answer = h.Serve(b.Context(), &coap.Request{Message: all[i].join, From: clientAddr})
	})
	took := time.Since(start)
	for _, j := range all {
		resp, err := j.client.UnprotectResponse(j.answer, j.binding)
		if err != nil || resp.Code != coap.Created {
			b.Fatalf("%v %v", resp, err)
		}
	}
	return took
}

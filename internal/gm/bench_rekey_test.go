//go:build !js

package gm

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

// rekeyCost is what it took until all had the new keys.
type rekeyCost struct{ messages, bytes, seconds, multicasts float64 }

func (c rekeyCost) report(b *testing.B, name string) {
	b.ReportMetric(c.messages, name+"-messages")
	b.ReportMetric(c.bytes, name+"-bytes")
	b.ReportMetric(c.seconds, name+"-s")
}

// traffic counts what goes over a network: each multicast once, however many it
// reaches.
type traffic struct {
	coap.Exchanger
	messages, bytes, multicasts atomic.Int64
}

func (c *traffic) record(d sim.Datagram) {
	if !d.To.Addr().IsMulticast() {
		c.messages.Add(1)
		c.bytes.Add(int64(len(d.Bytes)))
	}
}

// Multicast implements [coap.Exchanger].
func (c *traffic) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	c.messages.Add(1)
	c.multicasts.Add(1)
	out := coap.Clone(req)
	out.MessageID, out.Type, out.Token = 1, coap.NonConfirmable, make([]byte, 8)
	if b, err := coap.MarshalUDP(out); err == nil {
		c.bytes.Add(int64(len(b)))
	}
	return c.Exchanger.Multicast(ctx, to, req, wait, each)
}

const rekeyMembers, rekeyLoss = 1000, 0.05

// BenchmarkRekey1000 measures what a rekeying of 1,000 members costs after an
// eviction, over links that lose 5 % of all datagrams, until each has the new keys:
// point to point and one to many. Its references are 1,000 bare requests with
// answers as long, over the same links, and one bare multicast. Members that lost
// all copies of a message for many ask, and that counts. Seconds are those of the
// clock that the Group Manager waits by, and those that it worked.
func BenchmarkRekey1000(b *testing.B) {
	for b.Loop() {
		single, payload := rekeyCostOf(b, GroupConfig{})
		single.report(b, "single")
		bareUnicasts(b, payload).report(b, "reference-single")
		many, payload := rekeyCostOf(b, toMany)
		many.report(b, "many")
		b.ReportMetric(many.multicasts, "many-multicasts")
		rekeyCost{messages: 1, bytes: float64(payload)}.report(b, "reference-many")
	}
}

func rekeyCostOf(b *testing.B, cfg GroupConfig) (cost rekeyCost, largest int) {
	b.Helper()
	count := &traffic{}
	f := newFleet(b, cfg, func(c *Config) {
		c.Pace = 0
		count.Exchanger = c.Exchange
		c.Exchange = count
	})
	for range rekeyMembers + 1 {
		f.add(controlled)
	}
	f.toDisk(b)
	f.net.SetFaults(sim.Faults{Loss: rekeyLoss})
	f.net.Record = func(d sim.Datagram) {
		count.record(d)
		if d.From == gmAddr && d.Kind == sim.Request {
			largest = max(largest, len(d.Bytes))
		}
	}
	f.evict("n0")
	began, clock := time.Now(), f.clock()
	for f.behindOf(0) > 0 {
		if err := f.work(); err != nil {
			b.Fatal(err)
		}
		soonest := time.Time{}
		for _, at := range f.next {
			soonest = sooner(soonest, at)
		}
		switch {
		case f.behindOf(0) == 0:
		case soonest.IsZero(): // the job has ended: the others ask
			f.ask()
		default:
			f.pass(max(0, soonest.Sub(f.clock())))
		}
	}
	took := time.Since(began) + f.clock().Sub(clock)
	return rekeyCost{
		float64(count.messages.Load()), float64(count.bytes.Load()), took.Seconds(), float64(count.multicasts.Load()),
	}, largest
}

// toDisk has the Group Manager go on over a store on the disk, as after a restart.
func (f *fleet) toDisk(b *testing.B) {
	b.Helper()
	db := openDisk(b, filepath.Join(b.TempDir(), "gm.db"))
	b.Cleanup(func() { db.Close() })
	if err := f.store.View(b.Context(), func(from store.Tx) error {
		return db.Update(b.Context(), func(to store.Tx) error {
			var failed error
			err := from.Scan("", func(key string, value []byte) bool {
				failed = to.Put(key, value)
				return failed == nil
			})
			return errors.Join(err, failed)
		})
	}); err != nil {
		b.Fatal(err)
	}
	f.store, f.cfg.Store = db, db
	f.restarted()
}

// bareUnicasts sends a request of some bytes to as many endpoints, paced as the
// Group Manager paces its own, until each has answered.
func bareUnicasts(b *testing.B, size int) rekeyCost {
	b.Helper()
	net := sim.NewNetwork(8)
	s := &Server{jobs: newJobs(0)}
	for i := range rekeyMembers {
		net.Attach(lampAddr(i), coap.HandlerFunc(func(context.Context, *coap.Request) *coap.Message {
			return coap.Respond(coap.Changed, coap.NoFormat, make([]byte, 10)) // as long as a protected one
		}))
	}
	count := &traffic{}
	net.Record = count.record
	net.SetFaults(sim.Faults{Loss: rekeyLoss})
	began := time.Now()
	s.each(b.Context(), rekeyMembers, func(i int) {
		req := coap.NewRequest(coap.POST, "/", make([]byte, size-20))
		for range 5 {
			if _, err := net.From(gmAddr).Exchange(b.Context(), lampAddr(i), req); err == nil {
				return
			}
		}
		b.Error("an endpoint does not answer")
	})
	return rekeyCost{messages: float64(count.messages.Load()), bytes: float64(count.bytes.Load()), seconds: time.Since(began).Seconds()}
}

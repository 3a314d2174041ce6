package device

import (
	"context"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// A block costs no write of the replay window; what the store then lacks is made up for
// by whatever comes next, and by the challenge after a restart.
func TestBlocksAreNotWrittenOneByOne(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.bulbs[0]
	x := newTransfer(t, "2.0.0", 20)
	b.anna.silently(x.manifest())
	b.anna.silently(x.open())
	counted := &counting{Store: l.cfg.Store}
	l.lamp.cfg.Store = counted
	var sent [][]byte
	b.net.Record = b.requestsTo(groupAddr, &sent)
	for range 3 {
		for n := range x.layout.Blocks() - 1 {
			b.anna.silently(x.block(n))
		}
	}
	if counted.updates != 0 {
		t.Errorf("%d blocks cost %d writes", len(sent), counted.updates)
	}
	// The same datagrams again are refused by the window in memory.
	heard := b.anna.status(l, firmware.FieldProgress).Heard
	if counted.updates != 1 {
		t.Errorf("a question cost %d writes", counted.updates)
	}
	for _, datagram := range sent {
		b.net.Inject(t.Context(), browserAddr, l.addr, datagram, true)
	}
	if again := b.anna.status(l, firmware.FieldProgress).Heard; again != heard {
		t.Errorf("%d blocks were taken twice", again-heard)
	}
	// What is not written by the time of a restart is refused after it.
	last := b.anna.seal(x.block(x.layout.Blocks() - 1))
	b.anna.silently(x.block(0))
	l.boot()
	b.anna.status(l, firmware.FieldProgress)
	for _, m := range []*coap.Message{last} {
		if err := b.anna.ex.Multicast(t.Context(), groupAddr, m, time.Second, nothing); err != nil {
			t.Fatal(err)
		}
	}
	b.want(firmware.Downloading, "1.0.0")
	// After so many it is written once: a window that lags is a few challenges.
	counted.updates = 0
	l.lamp.cfg.Store = counted
	for range 2 * maxPostponed {
		b.anna.silently(x.block(0))
	}
	if counted.updates == 0 || counted.updates > 2 {
		t.Errorf("%d writes for %d blocks", counted.updates, 2*maxPostponed)
	}
}

// counting counts the writes to a store.
type counting struct {
	store.Store
	updates int
}

func (c *counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	c.updates++
	return c.Store.Update(ctx, fn)
}

// With the keys handed over again, blocks that were not written stay received: no
// challenge stands between.
func TestBlocksAreWrittenBeforeAHandover(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.bulbs[0]
	x := newTransfer(t, "2.0.0", 20)
	b.anna.silently(x.manifest())
	b.anna.silently(x.open())
	var sent [][]byte
	b.net.Record = b.requestsTo(groupAddr, &sent)
	for n := range 5 {
		b.anna.silently(x.block(n))
	}
	b.net.Record = nil
	kid := b.anna.ms.SenderID
	want := l.lamp.members["hall"].epoch.ctx.Window(kid)
	if err := l.at(b.anna).assist(); err != nil { // a new Sender ID under the same keys
		t.Fatal(err)
	}
	if got := l.lamp.members["hall"].epoch.ctx.Window(kid); got != want || got == (oscore.WindowState{}) {
		t.Errorf("the window was %+v and is %+v", want, got)
	}
	heard := l.lamp.Firmware().Status(firmware.FieldProgress).Heard
	for _, datagram := range sent {
		b.net.Inject(t.Context(), browserAddr, l.addr, datagram, true)
	}
	if again := l.lamp.Firmware().Status(firmware.FieldProgress).Heard; again != heard {
		t.Errorf("%d blocks were taken twice", again-heard)
	}
}

package commission

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	lampdevice "lamplighter/internal/device"
)

// swallowing loses the requests from skip on, so many of them, that go to one address.
type swallowing struct {
	coap.Exchanger
	mu         sync.Mutex
	addr       netip.AddrPort
	skip, lost int
}

func (x *swallowing) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	x.mu.Lock()
	lose := false
	if to == x.addr {
		if x.skip--; x.skip < 0 && x.lost > 0 {
			x.lost--
			lose = true
		}
	}
	x.mu.Unlock()
	if lose {
		return nil, coap.ErrTimeout
	}
	return x.Exchanger.Exchange(ctx, to, req)
}

// Lamps that are no emergency lights are not in the inspection book, one that is silent
// is there as silent, and can be tested again long after, also when the request to
// begin is lost.
func TestEmergencyTestUntested(t *testing.T) {
	w := newCfgWorld(t, 3, func(l *lamp) {
		if l.cfg.ID[7] != 2 {
			l.cfg.Emergency = &lampdevice.EmergencyConfig{Lasts: 2 * time.Hour}
		}
	})
	x := &swallowing{}
	b := w.enrolled(w.onTap(nil), func(c *Config) { x.Exchanger, c.Exchange = c.Exchange, x })
	b.joined()
	away := w.lamps[2]
	w.net.Down(away.addr, true)
	j := b.job(b.EmergencyTest(t.Context(), hall, "function", nil))
	if j.Done != 1 || problemOf(j, w.lamps[1].id()) != "em-none" || problemOf(j, away.id()) != "device-silent" {
		t.Fatalf("%s", b.failures(j))
	}
	results := func() map[string]string {
		t.Helper()
		log, err := b.EmergencyLog(t.Context(), hall)
		b.must(log, err)
		out := map[string]string{}
		for _, x := range log {
			if out[x.Device] == "" {
				out[x.Device] = x.Result
			}
		}
		return out
	}
	if got := results(); len(got) != 2 || got[w.lamps[0].id()] != "passed" || got[away.id()] != "silent" {
		t.Errorf("%v", got)
	}
	w.net.Down(away.addr, false)
	w.advance(time.Hour)
	x.mu.Lock()
	x.addr, x.skip, x.lost = away.addr, 1, callTries
	x.mu.Unlock()
	j, err := b.RetryJob(t.Context(), j.ID)
	if j = b.job(j, err); j.Done != 2 || x.lost != 0 {
		t.Errorf("%s, %d", b.failures(j), x.lost)
	}
	if got := results(); len(got) != 2 || got[away.id()] != "passed" {
		t.Errorf("%v", got)
	}
}

// A light whose clock cannot be right does not date the inspection book.
func TestEmergencyTestOfWrongClock(t *testing.T) {
	w := newWorld(t, 0)
	b := w.enrolled()
	s, err := b.site()
	b.must(nil, err)
	now := b.now() / 1000
	x := &tests{s: s, j: newJob(jobRecord{Started: b.now() - 60_000})}
	for at, want := range map[uint64]int64{uint64(now): now * 1000, uint64(now - 3000): (now - 3000) * 1000, 0: 0, uint64(now - 7200): 0, uint64(now + 7200): 0, 1 << 63: 0, 1<<64 - 1: 0} {
		if got := x.when(at); got != want {
			t.Errorf("%d became %d, want %d", at, got, want)
		}
	}
}

func TestEmergencyLogIsBounded(t *testing.T) {
	w := newWorld(t, 0)
	b := w.enrolled()
	s, err := b.site()
	b.must(nil, err)
	var keys []string
	for _, at := range []int64{3000, 1000, 2000} {
		line := testWrite(hall, EmergencyEntry{At: at, Kind: "command", Result: "on"})
		b.must(nil, s.commit(t.Context(), line))
		keys = append(keys, line.key[len(preTest):])
	}
	b.must(nil, s.trimLog(t.Context(), keys, 2))
	log, err := b.EmergencyLog(t.Context(), hall)
	if err != nil || len(log) != 2 || log[0].At != 3000 || log[1].At != 2000 {
		t.Errorf("%+v %v", log, err)
	}
}

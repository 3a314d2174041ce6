package commission

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// TestMadeUpSenders: answers under Sender IDs that nobody has cost a bounded number
// of questions to the Group Manager, whatever their number. DESIGN S8.
func TestMadeUpSenders(t *testing.T) {
	w := newWorld(t, 2)
	b := w.enrolled()
	b.joined()
	s := b.current()
	g, err := s.knownGroup(hall)
	b.must(g, err)
	c := s.newCampaign(g, kindRollCall, nil)
	for i := range 10000 {
		c.hold([]byte{0xee, byte(i >> 8), byte(i)}, arrival{})
	}
	c.side.Wait()
	if n := len(c.foreign); n == 0 || n > 2+maxUnknown {
		t.Errorf("%d Sender IDs were looked up", n)
	}
	b.verified(2)
}

// crowd answers every search in the name of ever more devices.
type crowd struct {
	coap.Exchanger
	size int
}

func (c *crowd) Multicast(_ context.Context, _ netip.AddrPort, _ *coap.Message, _ time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	for i := range c.size {
		links := fmt.Sprintf(`</ll/id>;rt="ll.id";ep="%016x"`, i)
		each(coap.Respond(coap.Content, 40, []byte(links)), browserAddr)
	}
	return nil
}

// TestCrowd: a search takes a bounded number of devices. DESIGN S8.
func TestCrowd(t *testing.T) {
	w := newWorld(t, 0)
	b := w.enrolled(func(c *Config) { c.Exchange = &crowd{c.Exchange, maxFound + 100} })
	if n, err := b.Discover(t.Context()); err != nil || n != maxFound || len(b.Snapshot().Devices) != maxFound {
		t.Errorf("%d devices, %v", n, err)
	}
}

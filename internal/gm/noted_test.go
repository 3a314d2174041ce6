package gm

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// stalling holds up what goes to one address until gate is closed.
type stalling struct {
	coap.Exchanger
	addr netip.AddrPort
	gate chan struct{}
}

func (s *stalling) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	if to == s.addr {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s.Exchanger.Exchange(ctx, to, req)
}

// While one member is silent, the others are known to have the keys, durably.
func TestProgressBesideASilentMember(t *testing.T) {
	stall := &stalling{gate: make(chan struct{})}
	f := newFleet(t, GroupConfig{}, func(c *Config) { stall.Exchanger, c.Exchange = c.Exchange, stall })
	f.settle()
	stall.addr = f.add(controlled).addr
	for range 4 {
		f.add(controlled)
	}
	f.rekey()
	worked := make(chan error)
	go func() { worked <- f.work() }()
	for begun := time.Now(); f.progress().Confirmed < 4; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("progress %+v", f.progress())
		}
	}
	if p := f.progress(); !p.Ended.IsZero() || p.Total != 5 {
		t.Errorf("progress %+v", p)
	}
	close(stall.gate)
	if err := <-worked; err != nil {
		t.Fatal(err)
	}
	f.settle()
	if p := f.progress(); p.Confirmed != 5 || p.Ended.IsZero() {
		t.Errorf("in the end %+v", p)
	}
}

// A rekeying that comes while one member is still waited for reaches the others at
// once.
func TestSilentMemberDelaysNoNewerKeys(t *testing.T) {
	stall := &stalling{gate: make(chan struct{})}
	f := newFleet(t, GroupConfig{}, func(c *Config) { stall.Exchanger, c.Exchange = c.Exchange, stall })
	f.settle()
	silent := f.add(controlled)
	stall.addr = silent.addr
	other := f.add(controlled)
	f.rekey()
	worked := make(chan error)
	go func() { worked <- f.work() }()
	for f.progress().Confirmed < 1 {
		time.Sleep(5 * time.Millisecond)
	}
	f.rekey()
	select {
	case err := <-worked:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the older rekeying is still waited for")
	}
	go func() { worked <- f.work() }()
	for begun := time.Now(); f.progress().Confirmed < 1; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("progress %+v", f.progress())
		}
	}
	f.inStep(other)
	close(stall.gate)
	if err := <-worked; err != nil {
		t.Fatal(err)
	}
	f.settle()
	f.inStep(silent)
}

package sim

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
)

// delivery is one group request at one member.
type delivery struct {
	member netip.AddrPort
	at     *node
	answer []byte
}

// fan delivers a group request to all members that it reaches, so many at a time,
// and returns those that answer in the order of the members. Which ones it reaches
// does not depend on how the goroutines run. Repetition and reordering do not occur
// here.
func (x *exchanger) fan(ctx context.Context, group netip.AddrPort, b []byte, workers int) []delivery {
	var reached []delivery
	for _, member := range x.net.members(group) {
		arrives := x.net.send(Datagram{From: x.addr, To: group, Kind: Request, Bytes: b}, member)
		if at := x.net.node(member); arrives && at != nil {
			reached = append(reached, delivery{member: member, at: at})
		}
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(workers, len(reached)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(reached); i = int(next.Add(1)) - 1 {
				reached[i].answer = reached[i].at.deliver(ctx, x.addr, b, true)
			}
		})
	}
	wait.Wait()
	return reached
}

package main

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/join"
)

// run does one thing after the other until ctx ends, or who it is for is revoked.
func (n *killNode) run(ctx context.Context) {
	defer n.udp.Close()
	for rest := n.s.pace; !n.goes() && sleep(ctx, rest); {
		n.s.gate.RLock()
		rest = n.s.pace * time.Duration(n.rng.IntN(200)) / 100
		if n.turn.Lock(); !n.goes() {
			short, cancel := context.WithTimeout(ctx, patience)
			_ = n.step(short) // whatever went wrong counts for neither side
			cancel()
		}
		n.turn.Unlock()
		n.s.gate.RUnlock()
	}
}

// patience is how long a client waits for an answer.
const patience = 2 * time.Second

// step makes one random request, or the one that is due.
func (n *killNode) step(ctx context.Context) error {
	st := n.now.Load()
	if st.group != nil && st.group.state() == groupGone {
		n.outside()
		n.now.Store(&stand{})
		st = n.now.Load()
	}
	_, behind, ended := n.membership()
	switch {
	case ended != "":
		n.s.ledger.count("heard of its end")
		n.outside()
		return nil
	case n.client == nil && st.open && st.group != nil:
		return n.join(ctx, st.group)
	case n.client == nil:
		return n.join(ctx, n.s.admin.anyGroup(n.rng))
	case n.gm == nil:
		return n.reassure(ctx)
	case !st.member && !st.open:
		return n.probe(ctx)
	case st.open:
		return n.join(ctx, st.group)
	case behind:
		return n.recover(ctx)
	}
	switch dice := n.rng.IntN(20); {
	case dice < 6:
		return n.renew(ctx)
	case dice < 8:
		return n.join(ctx, st.group)
	case dice < 10:
		return n.leave(ctx)
	case dice < 11:
		return n.reassure(ctx)
	default:
		return n.recover(ctx)
	}
}

// reassure gets a new token from somebody for the same membership, and joins again
// with it.
func (n *killNode) reassure(ctx context.Context) error {
	g := n.now.Load().group
	if err := n.connect(ctx, g); err != nil {
		return err
	}
	return n.join(ctx, g)
}

// probe makes a request of a member as one whose membership was ended.
func (n *killNode) probe(ctx context.Context) error {
	_, err := n.client.Num(ctx)
	if err == nil {
		n.s.ledger.fail("%s, whose end in %s was acknowledged, is still served", n.subject, n.now.Load().group.name)
	}
	if errors.Is(err, join.ErrNotMember) {
		n.s.ledger.count("found its end")
	}
	return n.refused(err)
}

// recover brings the membership up to date as a client does.
func (n *killNode) recover(ctx context.Context) error {
	n.observe(n.now.Load().group)
	cur, err := n.keys(ctx)
	if err != nil {
		return n.refused(err)
	}
	old, _, _ := n.membership()
	if cur.Num <= old.Num {
		return nil
	}
	next, _, changed, err := n.client.Update(ctx, old)
	if err != nil {
		return n.refused(err)
	}
	if changed {
		n.mu.Lock()
		n.install(next)
		n.mu.Unlock()
		n.s.ledger.count("recovered by asking")
	}
	return nil
}

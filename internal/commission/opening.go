package commission

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
	oscoregroup "lamplighter/internal/oscore/group"
)

const (
	maxBatch = 256 // answers that are opened at a time; a longer queue waits at the link
	openers  = 2   // batches at a time: one is decrypted here while a browser that has threads for it verifies another
)

// arrival is an answer to a group request that is not opened yet.
type arrival struct {
	outer   *coap.Message
	from    netip.AddrPort
	binding *oscoregroup.Binding
	rtt     time.Duration
}

// opened is what an answer turned out to be.
type opened struct {
	resp *coap.Message
	peer oscoregroup.Peer
	err  error
}

// open opens answers that came together. All signatures are verified at a time,
// while nothing here is held: only what is left to do follows one by one. Errors
// are those of [oscoregroup.Context.UnprotectResponse], and [coap.ErrBadOption].
func (g *group) open(v Verifier, list []arrival) []opened {
	out := make([]opened, len(list))
	under := make([]*oscoregroup.Unverified, len(list))
	var batch []Signature
	var signed []int // where the batch's answers stand in list
	for i, a := range list {
		under[i], out[i].err = g.begin(a)
		if u := under[i]; out[i].err == nil && u.Sig != nil {
			batch = append(batch, Signature{u.Public, u.Message, u.Sig})
			signed = append(signed, i)
		}
	}
	good := make([]bool, len(list))
	if len(batch) > 0 {
		for n, word := range v.Verify(batch) {
			good[signed[n]] = word
		}
	}
	for i := range list {
		if out[i].err == nil {
			out[i].resp, out[i].peer, out[i].err = g.finish(under[i], good[i])
		}
	}
	return out
}

func (g *group) begin(a arrival) (*oscoregroup.Unverified, error) {
	g.using.Lock()
	defer g.using.Unlock()
	if g.keys == nil {
		return nil, coap.ErrNoContext // the membership has ended
	}
	return g.keys.BeginResponse(a.outer, a.binding)
}

func (g *group) finish(u *oscoregroup.Unverified, verified bool) (*coap.Message, oscoregroup.Peer, error) {
	g.using.Lock()
	defer g.using.Unlock()
	if g.keys == nil {
		return nil, oscoregroup.Peer{}, coap.ErrNoContext
	}
	resp, from, _, err := g.keys.FinishResponse(u, verified)
	if err == nil {
		err = coap.CheckOptions(resp) // RFC 7252, Section 5.4.1
	}
	return resp, from, err
}

// openAll opens answers as they arrive, in batches of what has come while the one
// before was under way.
func (c *campaign) openAll(arrivals <-chan arrival) {
	for first := range arrivals {
		list := []arrival{first}
		for more := true; more && len(list) < maxBatch; {
			select {
			case a, open := <-arrivals:
				if more = open; open {
					list = append(list, a)
				}
			default:
				more = false
			}
		}
		c.open(list, c.hold)
	}
}

// open opens answers to the multicast. Those whose sender is not known go to
// unknown.
func (c *campaign) open(list []arrival, unknown func(kid []byte, a arrival)) {
	for i, o := range c.g.open(c.s.e.cfg.Verify, list) {
		a := list[i]
		var stranger *oscoregroup.UnknownPeerError
		switch {
		case errors.As(o.err, &stranger):
			unknown(stranger.KID, a)
		case o.err != nil:
			c.dropped(a, o.err)
		default:
			from := answerFrom{resp: o.resp, peer: o.peer, from: a.from, rtt: a.rtt}
			if c.each != nil {
				from.size = datagramSize(a.outer)
			}
			c.answered(from)
		}
	}
}

func (c *campaign) dropped(a arrival, err error) {
	c.s.e.cfg.Logger.Debug("an answer was dropped", "from", a.from, "err", err)
}

// openOne opens the answer to a request to one device.
func (c *campaign) openOne(ctx context.Context, a arrival) (answerFrom, error) {
	o := c.g.open(c.s.e.cfg.Verify, []arrival{a})[0]
	var stranger *oscoregroup.UnknownPeerError
	if errors.As(o.err, &stranger) && c.s.fetchPeers(ctx, c.g, [][]byte{stranger.KID})[string(stranger.KID)] {
		o = c.g.open(c.s.e.cfg.Verify, []arrival{a})[0]
	}
	return answerFrom{resp: o.resp, peer: o.peer, from: a.from, rtt: a.rtt, unicast: true, size: datagramSize(a.outer)}, o.err
}

// datagramSize is how long a message is as a datagram, with the token that it has
// here.
func datagramSize(m *coap.Message) int {
	out := coap.Clone(m)
	out.MessageID, out.Type = 0, coap.NonConfirmable
	b, err := coap.MarshalUDP(out)
	if err != nil {
		return 0
	}
	return len(b)
}

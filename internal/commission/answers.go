package commission

import (
	"bytes"
	"context"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	oscoregroup "lamplighter/internal/oscore/group"
)

// answerFrom is an answer that verified under the credential of peer.
type answerFrom struct {
	resp    *coap.Message
	peer    oscoregroup.Peer
	from    netip.AddrPort
	rtt     time.Duration
	unicast bool
	sent    int // bytes of the request to it alone
	size    int // bytes of the answer as it came
}

// answered puts an answer into its device's row. The row is found by the
// credential alone: addresses and Sender IDs are no identities. DESIGN S9.
func (c *campaign) answered(a answerFrom) {
	if a.peer.Roles != 0 && !ace.Role(a.peer.Roles).Has(ace.RoleResponder) {
		return // KGO, Section 6.4: answers come from responders
	}
	d := c.deviceOf(a.peer.Cred)
	if d == nil {
		c.stranger(a)
		return
	}
	c.s.learnPlace(d, c.g.name, a.peer.KID)
	if oscore.IsChallenge(a.resp) && !a.unicast {
		c.side.Go(func() { c.askOne(c.s.ctx, d, a.resp) })
		return
	}
	if c.each != nil {
		c.set(d.id, func(row *Answer) { row.State = AnswerVerified })
		c.each(d, a)
		return
	}
	c.set(d.id, func(row *Answer) { row.fill(a, c.s.e.now()) })
}

// deviceOf finds the device whose credential this is: the one that its claim told,
// or, of a device that somebody else claimed, the one whose thumbprint is on its
// label.
func (c *campaign) deviceOf(cred []byte) *device {
	c.mu.Lock()
	d, ids := c.byCred[string(cred)], slices.Collect(maps.Keys(c.row))
	c.mu.Unlock()
	if d != nil {
		return d
	}
	for _, id := range ids {
		d, err := c.s.device(id)
		if err != nil {
			continue
		}
		if r := c.s.of(d); len(r.Cred) == 0 && r.matches(cred) {
			c.mu.Lock()
			c.byCred[string(cred)] = d
			c.mu.Unlock()
			return d
		}
	}
	return nil
}

// lightState is the payload of /light.
type lightState struct {
	On    *bool   `cbor:"1,keyasint,omitempty"`
	Level *uint64 `cbor:"2,keyasint,omitempty"` // percent, 0 to 100

	Priority *uint64 `cbor:"3,keyasint,omitempty"` // 1: an emergency, until 0 ends it
}

func (row *Answer) fill(a answerFrom, now int64) {
	row.SenderID, row.RTT, row.At, row.Unicast = hex.EncodeToString(a.peer.KID), milliseconds(a.rtt), now, a.unicast
	if err := coap.CheckResponse(a.resp); err != nil {
		row.State, row.Problem = AnswerError, &asProblem(with(atDevice, "answering", err)).Problem
		return
	}
	var state lightState
	if err := cbor.Unmarshal(a.resp.Payload, &state); err != nil {
		row.State, row.Problem = AnswerError, &asProblem(with(atDevice, "answering", err)).Problem
		return
	}
	row.State, row.Problem = AnswerVerified, nil
	if state.On != nil {
		row.On = *state.On
	}
	if state.Level != nil {
		row.Level = int(min(*state.Level, 100))
	}
}

// stranger handles an answer that verified under a credential that is no label's:
// a member that this site does not know, or something in a device's place.
func (c *campaign) stranger(a answerFrom) {
	id := c.s.inPlaceOf(c.g.name, a.peer.KID, a.from)
	if id == "" {
		c.s.e.warn("", "a member of "+c.g.name+" that is not of this site answered, id "+hex.EncodeToString(a.peer.KID))
		return
	}
	c.set(id, func(row *Answer) {
		if row.State == AnswerVerified {
			return // the device itself has answered
		}
		row.State, row.Problem = AnswerMismatch, &errMismatch.Problem
		row.SenderID, row.RTT, row.At = hex.EncodeToString(a.peer.KID), milliseconds(a.rtt), c.s.e.now()
	})
	c.s.e.warn(id, "an answer in this device's place verified under another key than its label's")
}

// inPlaceOf finds whose Sender ID or address something uses.
func (s *site) inPlaceOf(group string, kid []byte, from netip.AddrPort) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		if p := d.rec.in(group); p != nil && bytes.Equal(p.SenderID, kid) {
			return d.id
		}
	}
	for _, d := range s.devices {
		if d.rec.in(group) != nil && d.rec.address() == from {
			return d.id
		}
	}
	return ""
}

// learnPlace notes a member's present Sender ID; it changes when a device joins
// again or renews it.
func (s *site) learnPlace(d *device, group string, kid []byte) {
	if p := s.of(d).in(group); p != nil && bytes.Equal(p.SenderID, kid) {
		return
	}
	s.background(func(ctx context.Context) {
		err := s.updateDevice(ctx, d, func(r *deviceRecord) { r.Groups = r.withKID(group, kid) })
		if err != nil {
			s.e.logProblem(d.id, "noting the device's id", err) // it is learnt again
		}
	})
}

// set changes one row and tells about it.
func (c *campaign) set(id string, change func(*Answer)) {
	c.mu.Lock()
	i, ok := c.row[id]
	if !ok { // joined by somebody else meanwhile
		i = len(c.call.Answers)
		c.row[id] = i
		c.call.Answers = append(c.call.Answers, Answer{Device: id})
	}
	row := &c.call.Answers[i]
	change(row)
	told := GroupAnswer{Group: c.g.name, Answer: *row}
	c.count()
	c.mu.Unlock()
	if c.each == nil {
		c.s.e.pub.tell(Event{Type: "answer", Answer: &told})
	}
}

// count brings the totals up to date; c.mu is held.
func (c *campaign) count() {
	c.call.Verified = 0
	var times []int // microseconds
	open := false
	for _, a := range c.call.Answers {
		switch a.State {
		case AnswerVerified:
			c.call.Verified++
			times = append(times, int(a.RTT*1000))
		case AnswerWaiting, AnswerAsking, AnswerSilent:
			open = true
		}
	}
	if slices.Sort(times); len(times) > 0 {
		c.call.Median, c.call.Slowest = float64(times[len(times)/2])/1000, float64(times[len(times)-1])/1000
	}
	if !open && !c.complete {
		c.complete = true
		close(c.full)
	}
}

// silent lists the devices that have not answered.
func (c *campaign) silent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, a := range c.call.Answers {
		if a.State == AnswerWaiting || a.State == AnswerAsking {
			ids = append(ids, a.Device)
		}
	}
	return ids
}

// snapshot copies the state for a view.
func (c *campaign) snapshot() RollCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.call.copy()
}

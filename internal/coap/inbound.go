package coap

import (
	"net/netip"
	"slices"
	"time"
)

// EventKind says what a datagram means for the layer above.
type EventKind uint8

// Kinds of events.
const (
	EventNone     EventKind = iota // nothing: repeated, malformed, unknown
	EventRequest                   // a new request; answer it with [Layer.Answer]
	EventResponse                  // a response; unless it came with the acknowledgement, call [Layer.Accept] or [Layer.Reject]
	EventAcked                     // Sent has arrived; its response comes separately
	EventRejected                  // the peer rejected Sent
)

// Event is what [Layer.Receive] makes of a datagram.
type Event struct {
	Kind    EventKind
	Message *Message
	Inbound *Inbound // EventRequest, and EventResponse in a message of its own
	Sent    *Sent    // EventAcked, EventRejected, and EventResponse with the acknowledgement
}

// Inbound is a received message for as long as it would be recognised.
type Inbound struct {
	from      netip.AddrPort
	mid       uint16
	token     Token
	sum       uint64
	typ       MessageType
	multicast bool
	expires   time.Time
	answer    []byte // what a repetition gets again
	answered  bool   // acknowledged, rejected or answered
	responded bool   // the response is out, or there is none
	timer     timer
	stream    *stream // its notifications
	leisure   time.Duration
}

// Spread has the answer to a group request leave after a random time up to d, in place
// of the parameters' Leisure. RFC 7252, Section 8.2.
func (in *Inbound) Spread(d time.Duration) { in.leisure = d }

// Receive takes a datagram in. RFC 7252, Sections 4.2 to 4.5 and 8.1.
func (l *Layer) Receive(now time.Time, from netip.AddrPort, datagram []byte, multicast bool) Event {
	m, err := UnmarshalUDP(datagram)
	if err != nil {
		l.rejectMalformed(from, datagram, multicast)
		return Event{}
	}
	switch m.Type {
	case Acknowledgement, Reset:
		if multicast {
			return Event{}
		}
		return l.receiveReply(now, from, m)
	}
	if !IsRequest(m.Code) && !IsResponse(m.Code) || multicast && (m.Type == Confirmable || !IsRequest(m.Code)) {
		if m.Type == Confirmable && !multicast { // a ping, or a reserved code
			l.emit(from, emptyMessage(Reset, uint16(m.MessageID)))
		}
		return Event{}
	}
	in, repeated := l.remember(now, from, m, datagram, multicast)
	if repeated {
		if in.answer != nil {
			l.emit(from, in.answer)
		}
		return Event{}
	}
	if IsResponse(m.Code) {
		return Event{Kind: EventResponse, Message: m, Inbound: in}
	}
	if m.Type == Confirmable {
		in.timer = timer{at: now.Add(l.params.AckDelay), inbound: in}
		l.timers.add(&in.timer)
	}
	return Event{Kind: EventRequest, Message: m, Inbound: in}
}

// rejectMalformed answers a confirmable message that cannot be decoded with a
// Reset; all else is ignored. RFC 7252, Sections 4.2 and 4.3.
func (l *Layer) rejectMalformed(from netip.AddrPort, b []byte, multicast bool) {
	if multicast || len(b) < 4 || b[0]>>6 != 1 || MessageType(b[0]>>4&3) != Confirmable {
		return
	}
	l.emit(from, emptyMessage(Reset, uint16(b[2])<<8|uint16(b[3])))
}

// receiveReply handles an acknowledgement or a Reset.
func (l *Layer) receiveReply(now time.Time, from netip.AddrPort, m *Message) Event {
	p := l.peers[from]
	if p == nil {
		return Event{}
	}
	s := p.pending[uint16(m.MessageID)]
	switch {
	case s == nil:
		return Event{}
	case s.stream != nil:
		if m.Code != Empty {
			return Event{}
		}
		l.Stop(now, s)
		var gone error
		if m.Type == Reset {
			gone = ErrReset
		}
		l.conclude(now, s, gone)
		return Event{}
	case m.Type == Reset && m.Code == Empty:
		l.Stop(now, s)
		return Event{Kind: EventRejected, Message: m, Sent: s}
	case m.Type == Acknowledgement && m.Code == Empty:
		l.Stop(now, s)
		return Event{Kind: EventAcked, Message: m, Sent: s}
	case m.Type == Acknowledgement && IsResponse(m.Code) && string(m.Token) == s.token:
		l.Stop(now, s)
		return Event{Kind: EventResponse, Message: m, Sent: s}
	}
	return Event{}
}

// remember finds a message that came before or notes a new one. A message with a
// known ID but other content is new: the peer's message IDs have wrapped around.
// RFC 7252, Section 4.5.
func (l *Layer) remember(now time.Time, from netip.AddrPort, m *Message, datagram []byte, multicast bool) (in *Inbound, repeated bool) {
	l.seen.expire(now)
	sum := checksum(datagram)
	key := seenKey{from, uint16(m.MessageID)}
	if in = l.seen.entries[key]; in != nil && in.sum == sum {
		return in, true
	}
	in = &Inbound{
		from: from, mid: uint16(m.MessageID), token: slices.Clone(m.Token), sum: sum, typ: m.Type,
		multicast: multicast, expires: now.Add(l.params.ExchangeLifetime), leisure: l.params.Leisure,
	}
	l.seen.add(key, in)
	return in, false
}

// Accept acknowledges a response that came in a message of its own.
func (l *Layer) Accept(in *Inbound) {
	if in != nil {
		l.acknowledge(in)
	}
}

// Reject refuses a response that nobody waits for. RFC 7252, Section 4.2.
func (l *Layer) Reject(in *Inbound) {
	if in == nil || in.answered || in.typ != Confirmable {
		return
	}
	l.reply(in, emptyMessage(Reset, in.mid))
}

func (l *Layer) acknowledge(in *Inbound) {
	if in.answered || in.typ != Confirmable {
		return
	}
	l.reply(in, emptyMessage(Acknowledgement, in.mid))
}

// reply sends what a confirmable message gets, and gets again when repeated.
func (l *Layer) reply(in *Inbound, b []byte) {
	in.answered = true
	l.timers.remove(&in.timer)
	l.seen.setAnswer(in, b)
	l.emit(in.from, b)
}

// Answer sends the response to a request: with the acknowledgement when that is
// not out yet, else separately and confirmable; non-confirmable to a
// non-confirmable request, after a random delay within Leisure when that came by
// multicast. A nil response stays silent. RFC 7252, Sections 5.2 and 8.2.
func (l *Layer) Answer(now time.Time, in *Inbound, resp *Message) error {
	defer l.respond(now, in)
	if resp == nil {
		l.timers.remove(&in.timer)
		return nil
	}
	out := Clone(resp)
	out.Token = in.token
	switch {
	case in.typ == Confirmable && !in.answered:
		out.Type, out.MessageID = Acknowledgement, int32(in.mid)
		b, err := MarshalUDP(out)
		if err == nil {
			l.reply(in, b)
		}
		return err
	case in.typ == Confirmable:
		out.Type = Confirmable
		_, err := l.Send(now, in.from, out)
		return err
	}
	out.Type, out.MessageID = NonConfirmable, int32(l.nextMID())
	b, err := MarshalUDP(out)
	if err != nil {
		return err
	}
	l.emitLater(now, in, b)
	return nil
}

// emitLater sends at once, or within Leisure when the request went to a group.
func (l *Layer) emitLater(now time.Time, in *Inbound, b []byte) {
	delay := time.Duration(0)
	if in.multicast && in.leisure > 0 {
		delay = time.Duration(float64(in.leisure) * l.random.fraction())
	}
	if delay == 0 || len(l.timers) >= l.params.MaxSeen {
		l.emit(in.from, b)
		return
	}
	l.timers.add(&timer{at: now.Add(delay), delayed: &Datagram{in.from, b}})
}

func emptyMessage(t MessageType, mid uint16) []byte {
	return []byte{1<<6 | byte(t)<<4, 0, byte(mid >> 8), byte(mid)}
}

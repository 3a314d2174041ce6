package coap

import (
	"io"
	"net/netip"
	"time"
)

// LayerParams are the transmission parameters of RFC 7252, Section 4.8, and the
// bounds of what a [Layer] remembers.
type LayerParams struct {
	AckTimeout       time.Duration // first retransmission, at the earliest
	AckRandomFactor  float64       // and at the latest, as a factor of it
	MaxRetransmit    int           // retransmissions of a confirmable message
	NStart           int           // confirmable messages under way to one peer
	AckDelay         time.Duration // an answer that takes longer is sent separately
	Leisure          time.Duration // longest random delay of an answer to a group request
	ExchangeLifetime time.Duration // how long a message is recognised when it comes again

	MaxSeen      int // messages remembered for deduplication
	MaxSeenBytes int // and bytes of their answers
	MaxQueue     int // confirmable messages that wait for their turn (NStart), a peer
}

// DefaultLayerParams are the defaults of RFC 7252, Section 4.8, except NStart:
// a bridge or a Group Manager talks for many, so one slow exchange must not hold
// up the others to the same peer.
func DefaultLayerParams() LayerParams {
	return LayerParams{
		AckTimeout:       2 * time.Second,
		AckRandomFactor:  1.5,
		MaxRetransmit:    4,
		NStart:           16,
		AckDelay:         200 * time.Millisecond,
		ExchangeLifetime: 247 * time.Second,
		MaxSeen:          16384,
		MaxSeenBytes:     8 << 20,
		MaxQueue:         1024,
	}
}

// MaxTransmitWait is how long a confirmable request waits for a sign of life.
// RFC 7252, Section 4.8.2.
func (p LayerParams) MaxTransmitWait() time.Duration {
	return time.Duration(float64(p.AckTimeout) * float64(int(1)<<(p.MaxRetransmit+1)-1) * p.AckRandomFactor)
}

// Datagram is one datagram on its way out.
type Datagram struct {
	To    netip.AddrPort
	Bytes []byte
}

// Layer is the message layer of one endpoint as a state machine without socket
// and clock: retransmission, deduplication, acknowledgement and rejection of
// messages (RFC 7252, Section 4). Its methods take the time and queue datagrams,
// which the caller collects with [Layer.Drain] and sends. It is not safe for
// concurrent use.
type Layer struct {
	params LayerParams
	random randomSource
	mid    uint16
	peers  map[netip.AddrPort]*peer // those with confirmable messages under way
	seen   seenTable
	timers timerHeap
	out    []Datagram

	outboxes map[netip.AddrPort]*outbox // clients with notifications under way
}

// peer is what is under way to one endpoint.
type peer struct {
	pending map[uint16]*Sent
	queue   []*Sent // they wait for NStart
}

// Sent is a confirmable message under way.
type Sent struct {
	Value any // the caller's

	to       netip.AddrPort
	mid      uint16
	token    string
	datagram []byte
	attempts int
	timeout  time.Duration
	timer    timer
	state    sentState
	stream   *stream // it is a notification
}

type sentState uint8

const (
	sentQueued sentState = iota
	sentPending
	sentDone
)

// NewLayer makes a message layer. rand yields the first message ID and the
// jitter of delays.
func NewLayer(p LayerParams, rand io.Reader) *Layer {
	l := &Layer{
		params: p,
		random: randomSource{r: rand},
		peers:  make(map[netip.AddrPort]*peer),
		seen:   newSeenTable(p.MaxSeen, p.MaxSeenBytes),

		outboxes: make(map[netip.AddrPort]*outbox),
	}
	l.mid = l.random.uint16()
	return l
}

// Drain appends the datagrams that are to be sent to dst.
func (l *Layer) Drain(dst []Datagram) []Datagram {
	dst = append(dst, l.out...)
	clear(l.out)
	l.out = l.out[:0]
	return dst
}

func (l *Layer) emit(to netip.AddrPort, b []byte) {
	l.out = append(l.out, Datagram{to, b})
}

// Send sends m to an endpoint or, non-confirmable, to a group. It sets m's
// message ID. For a confirmable message it returns a handle for [Layer.Stop],
// which later events name; others need none. It fails when m cannot be encoded
// or too many messages wait for that peer. RFC 7252, Sections 4.2 and 4.3.
func (l *Layer) Send(now time.Time, to netip.AddrPort, m *Message) (*Sent, error) {
	m.MessageID = 0 // one that can be encoded
	b, err := MarshalUDP(m)
	if err != nil {
		return nil, err
	}
	s := &Sent{to: to, token: string(m.Token), datagram: b}
	if m.Type != Confirmable {
		l.number(l.peers[to], s)
		m.MessageID = int32(s.mid)
		l.emit(to, b)
		return nil, nil
	}
	err = l.submit(now, s)
	m.MessageID = int32(s.mid)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// submit sends a confirmable message, now or when it is its turn.
func (l *Layer) submit(now time.Time, s *Sent) error {
	p := l.peers[s.to]
	l.number(p, s)
	if p == nil {
		p = &peer{pending: make(map[uint16]*Sent)}
		l.peers[s.to] = p
	}
	if len(p.pending) < l.params.NStart {
		l.launch(now, p, s)
		return nil
	}
	if len(p.queue) >= l.params.MaxQueue {
		return ErrBusy
	}
	p.queue = append(p.queue, s)
	return nil
}

func (l *Layer) nextMID() uint16 {
	l.mid++
	return l.mid
}

// launch sends s for the first time and arms its retransmission.
func (l *Layer) launch(now time.Time, p *peer, s *Sent) {
	if old := p.pending[s.mid]; old != nil { // s has waited until message IDs wrapped around
		l.timers.remove(&old.timer)
		old.state = sentDone
	}
	s.state = sentPending
	p.pending[s.mid] = s
	l.emit(s.to, s.datagram)
	spread := float64(l.params.AckTimeout) * (l.params.AckRandomFactor - 1)
	s.timeout = l.params.AckTimeout + time.Duration(spread*l.random.fraction())
	s.timer = timer{at: now.Add(s.timeout), sent: s}
	l.timers.add(&s.timer)
}

// Stop ends the retransmission of s: its response has come another way, or
// nobody waits any more. Stopping nil or a finished message does nothing.
func (l *Layer) Stop(now time.Time, s *Sent) {
	if s == nil || s.state == sentDone {
		return
	}
	p := l.peers[s.to]
	if s.state == sentQueued {
		for i, q := range p.queue {
			if q == s {
				p.queue = append(p.queue[:i], p.queue[i+1:]...)
				break
			}
		}
	} else {
		l.timers.remove(&s.timer)
		if p.pending[s.mid] == s {
			delete(p.pending, s.mid)
		}
	}
	s.state = sentDone
	l.refill(now, s.to, p)
}

// refill starts what waited for its turn and forgets a peer with nothing left.
func (l *Layer) refill(now time.Time, to netip.AddrPort, p *peer) {
	for len(p.queue) > 0 && len(p.pending) < l.params.NStart {
		next := p.queue[0]
		p.queue = p.queue[1:]
		l.launch(now, p, next)
	}
	if len(p.pending) == 0 && len(p.queue) == 0 {
		delete(l.peers, to)
	}
}

// Next returns when [Layer.Poll] is due; false when nothing is planned.
func (l *Layer) Next() (time.Time, bool) {
	if len(l.timers) == 0 {
		return time.Time{}, false
	}
	return l.timers[0].at, true
}

// Poll does what is due: retransmissions, acknowledgements of requests that take
// long, delayed answers to groups. It returns the messages that were given up.
// RFC 7252, Section 4.2.
func (l *Layer) Poll(now time.Time) (failed []*Sent) {
	l.seen.expire(now)
	for len(l.timers) > 0 && !l.timers[0].at.After(now) {
		t := l.timers[0]
		l.timers.remove(t)
		switch {
		case t.delayed != nil:
			l.emit(t.delayed.To, t.delayed.Bytes)
		case t.inbound != nil:
			l.acknowledge(t.inbound)
		case t.sent.attempts >= l.params.MaxRetransmit:
			l.Stop(now, t.sent)
			if t.sent.stream != nil {
				l.conclude(now, t.sent, ErrTimeout)
				continue
			}
			failed = append(failed, t.sent)
		default:
			s := t.sent
			l.renew(s)
			s.attempts++
			s.timeout *= 2
			s.timer.at = now.Add(s.timeout)
			l.timers.add(&s.timer)
			l.emit(s.to, s.datagram)
		}
	}
	return failed
}

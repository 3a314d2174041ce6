package coap

import (
	"net/netip"
	"time"
)

// stream carries the notifications of one request.
type stream struct {
	in      *Inbound
	waiting []byte // the newest notification that is not out yet
	sent    *Sent  // the one that is out and not acknowledged
	queued  bool
	err     error // why the client takes no more
}

// outbox holds the streams to one client: one notification at a time is under
// way. RFC 7641, Section 4.5.1.
type outbox struct {
	current *stream
	queue   []*stream
}

// Notify sends a further response to a request: a notification, confirmable, so
// that a client that has gone is noticed. It is held back until [Layer.Answer]
// has been called, and while another notification to that client is under way;
// a newer one for the same request replaces it. It fails when the client has
// rejected an earlier one or has not acknowledged it in time, and for good.
// RFC 7641, Sections 4.2 and 4.5.
func (l *Layer) Notify(now time.Time, in *Inbound, resp *Message) error {
	if in.stream == nil {
		in.stream = &stream{in: in}
	}
	st := in.stream
	if st.err != nil {
		return st.err
	}
	out := *resp
	out.Token, out.Type, out.MessageID = in.token, Confirmable, 0
	b, err := MarshalUDP(&out)
	if err != nil {
		return err
	}
	st.waiting = b
	if in.responded {
		l.enqueue(now, st)
	}
	return nil
}

// respond lets notifications to a request go.
func (l *Layer) respond(now time.Time, in *Inbound) {
	in.responded = true
	if in.stream != nil && in.stream.waiting != nil {
		l.enqueue(now, in.stream)
	}
}

func (l *Layer) enqueue(now time.Time, st *stream) {
	o := l.outboxes[st.in.from]
	if o == nil {
		o = &outbox{}
		l.outboxes[st.in.from] = o
	}
	if o.current != st && !st.queued {
		o.queue = append(o.queue, st)
		st.queued = true
	}
	l.advance(now, st.in.from, o)
}

// advance sends the next notification to a client.
func (l *Layer) advance(now time.Time, to netip.AddrPort, o *outbox) {
	for o.current == nil && len(o.queue) > 0 {
		st := o.queue[0]
		o.queue = o.queue[1:]
		st.queued = false
		s := &Sent{to: to, token: string(st.in.token), stream: st}
		s.datagram, st.waiting = st.waiting, nil
		if st.err = l.submit(now, s); st.err == nil {
			o.current, st.sent = st, s
		}
	}
	if o.current == nil {
		delete(l.outboxes, to)
	}
}

// conclude ends the transmission of a notification, with an error when the
// client does not want it or is gone.
func (l *Layer) conclude(now time.Time, s *Sent, err error) {
	st := s.stream
	o := l.outboxes[s.to]
	if o == nil || o.current != st {
		return
	}
	o.current, st.sent, st.err = nil, nil, err
	if err != nil {
		st.waiting = nil
	}
	if st.waiting != nil {
		o.queue = append(o.queue, st)
		st.queued = true
	}
	l.advance(now, s.to, o)
}

// renew puts the newest notification in the place of the one that would be
// repeated: timeout and count go on. RFC 7641, Section 4.5.2.
func (l *Layer) renew(s *Sent) {
	if s.stream == nil || s.stream.waiting == nil {
		return
	}
	p := l.peers[s.to]
	delete(p.pending, s.mid)
	s.datagram, s.stream.waiting = s.stream.waiting, nil
	l.number(p, s)
	p.pending[s.mid] = s
}

// number gives s a message ID that is not under way to its peer.
func (l *Layer) number(p *peer, s *Sent) {
	s.mid = l.nextMID()
	for p != nil && len(p.pending) < 1<<16 && p.pending[s.mid] != nil {
		s.mid = l.nextMID() // they have wrapped around
	}
	s.datagram[2], s.datagram[3] = byte(s.mid>>8), byte(s.mid)
}

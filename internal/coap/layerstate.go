package coap

import (
	"io"
	"net/netip"
	"time"
)

// seenTable remembers messages in the order in which they came, bounded in
// number and bytes: the oldest goes first.
type seenTable struct {
	entries            map[seenKey]*Inbound
	order              []*Inbound // from head on; ascending by expires
	head               int
	bytes              int
	maxCount, maxBytes int
}

type seenKey struct {
	from netip.AddrPort
	mid  uint16
}

func newSeenTable(maxCount, maxBytes int) seenTable {
	return seenTable{entries: make(map[seenKey]*Inbound), maxCount: maxCount, maxBytes: maxBytes}
}

func (t *seenTable) add(key seenKey, in *Inbound) {
	t.entries[key] = in
	t.order = append(t.order, in)
	t.shrink()
}

func (t *seenTable) setAnswer(in *Inbound, b []byte) {
	if t.entries[seenKey{in.from, in.mid}] != in {
		return // it was dropped meanwhile
	}
	t.bytes += len(b) - len(in.answer)
	in.answer = b
	t.shrink()
}

func (t *seenTable) shrink() {
	for t.head < len(t.order) && (len(t.order)-t.head > t.maxCount || t.bytes > t.maxBytes) {
		t.drop()
	}
}

func (t *seenTable) expire(now time.Time) {
	for t.head < len(t.order) && !t.order[t.head].expires.After(now) {
		t.drop()
	}
}

// drop forgets the oldest.
func (t *seenTable) drop() {
	in := t.order[t.head]
	t.order[t.head] = nil
	t.head++
	t.bytes -= len(in.answer)
	in.answer = nil
	if key := (seenKey{in.from, in.mid}); t.entries[key] == in {
		delete(t.entries, key)
	}
	if t.head > len(t.order)/2 && t.head > 64 {
		t.order = append(t.order[:0], t.order[t.head:]...)
		t.head = 0
	}
}

// checksum is FNV-1a; it only tells a repetition from a reused message ID.
func checksum(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// timer is one planned action of a [Layer]: exactly one of its pointers is set.
type timer struct {
	at      time.Time
	sent    *Sent     // retransmit it
	inbound *Inbound  // acknowledge it
	delayed *Datagram // send it
	index   int       // position in the heap plus one; 0 when it is not planned
}

// timerHeap is a binary heap, the earliest first.
type timerHeap []*timer

func (h *timerHeap) add(t *timer) {
	*h = append(*h, t)
	t.index = len(*h)
	h.up(len(*h) - 1)
}

func (h *timerHeap) remove(t *timer) {
	if t.index == 0 {
		return
	}
	i, last := t.index-1, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	if i < last {
		h.down(i)
		h.up(i)
	}
}

func (h timerHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].at.Before(h[parent].at) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h timerHeap) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h[c].at.Before(h[least].at) {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h timerHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// randomSource draws small random numbers, many from one read.
type randomSource struct {
	r    io.Reader
	buf  [128]byte
	left int
}

func (s *randomSource) uint16() uint16 {
	if s.left < 2 {
		if _, err := io.ReadFull(s.r, s.buf[:]); err != nil {
			clear(s.buf[:]) // jitter and first message ID are no secrets
		}
		s.left = len(s.buf)
	}
	s.left -= 2
	return uint16(s.buf[s.left])<<8 | uint16(s.buf[s.left+1])
}

// fraction is in [0, 1).
func (s *randomSource) fraction() float64 { return float64(s.uint16()) / (1 << 16) }

package coap

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"time"
)

// transferKey names a transfer: whose, of which operation, and which way.
type transferKey struct {
	peer string
	open bool // nobody is proven: anyone can make up such peers
	op   [sha256.Size]byte
	down bool // Block2
}

// transfer is a body on its way: one that comes in by Block1, or one that goes
// out by Block2.
type transfer struct {
	key     transferKey
	body    []byte
	held    int      // bytes that are counted for it
	head    *Message // down: the response without its payload
	touched time.Time
	done    bool // down: its last block has been asked for
}

// transferTable holds transfers within limits. One peer may hold a quarter, and
// makes room for new ones among its own; all who prove nothing may hold a half
// together. Where others hold too much, a new transfer is refused until one is
// finished or rests too long: nobody can drop what others are doing.
type transferTable struct {
	limits BlockLimits
	byKey  map[transferKey]*transfer
	bytes  int
}

func newTransferTable(l BlockLimits) transferTable {
	return transferTable{limits: l, byKey: make(map[transferKey]*transfer)}
}

// get finds a transfer and notes that it goes on; nil when there is none.
func (t *transferTable) get(now time.Time, key transferKey) *transfer {
	x := t.byKey[key]
	if x == nil {
		return nil
	}
	if t.resting(now, x) {
		t.remove(x)
		return nil
	}
	x.touched = now
	return x
}

func (t *transferTable) resting(now time.Time, x *transfer) bool {
	return now.Sub(x.touched) > t.limits.Lifetime
}

func (t *transferTable) remove(x *transfer) {
	if x != nil && t.byKey[x.key] == x {
		delete(t.byKey, x.key)
		t.bytes -= x.held
	}
}

// put holds x in place of the transfer of the same key; false when there is no
// room.
func (t *transferTable) put(now time.Time, x *transfer) bool {
	t.remove(t.byKey[x.key])
	x.touched, x.held = now, cap(x.body)
	if !t.makeRoom(now, x.key, 1, x.held) {
		return false
	}
	t.byKey[x.key] = x
	t.bytes += x.held
	return true
}

// grow appends to the body of a transfer that comes in; false when there is no
// room.
func (t *transferTable) grow(now time.Time, x *transfer, b []byte) bool {
	if need := len(x.body) + len(b); need > cap(x.body) {
		room := min(max(2*cap(x.body), need), max(t.limits.MaxBody, need))
		if !t.makeRoom(now, x.key, 0, room-x.held) {
			return false
		}
		x.body = append(make([]byte, 0, room), x.body...)
		t.bytes += room - x.held
		x.held = room
	}
	x.body = append(x.body, b...)
	return true
}

// makeRoom drops transfers until so many more transfers and bytes fit for the
// peer of key, whose own transfer stays.
func (t *transferTable) makeRoom(now time.Time, key transferKey, count, bytes int) bool {
	for {
		victim, fits := t.crowded(now, key, count, bytes)
		if fits || victim == nil {
			return fits
		}
		t.remove(victim)
	}
}

// crowded reports whether so much more fits, and if not, what may go for it.
func (t *transferTable) crowded(now time.Time, key transferKey, count, bytes int) (victim *transfer, fits bool) {
	var own, open, all usage
	for _, x := range t.byKey {
		over := x.done || t.resting(now, x)
		all.add(x, key, over)
		if x.key.open {
			open.add(x, key, over)
		}
		if x.key.peer == key.peer {
			own.add(x, key, over)
		}
	}
	tooMuch := func(u usage, part int) bool {
		return u.count+count > max(t.limits.MaxTransfers/part, 1) || u.bytes+bytes > max(t.limits.MaxBytes/part, t.limits.MaxBody)
	}
	switch {
	case tooMuch(own, 4):
		return cmp.Or(own.finished, own.oldest), false
	case key.open && tooMuch(open, 2):
		return open.finished, false
	case tooMuch(all, 1):
		return all.finished, false
	}
	return nil, true
}

// usage is what some transfers hold, and which of them would go first.
type usage struct {
	count, bytes int
	oldest       *transfer
	finished     *transfer // the oldest that nobody waits for
}

// add counts x, which is never the one to go when it is the transfer of key.
func (u *usage) add(x *transfer, key transferKey, over bool) {
	u.count++
	u.bytes += x.held
	if x.key == key {
		return
	}
	if u.oldest == nil || x.touched.Before(u.oldest.touched) {
		u.oldest = x
	}
	if over && (u.finished == nil || x.touched.Before(u.finished.touched)) {
		u.finished = x
	}
}

// peerIdentity names who may go on with a transfer: the association, whatever
// its address, or without one the address. A group's member is one peer in both
// modes: what it began by multicast it continues in pairwise mode (RFC 10021,
// Section 14).
func peerIdentity(req *Request) string {
	switch p := &req.Peer; p.Kind {
	case PeerNone:
		return req.From.String()
	case PeerGroup, PeerPairwise:
		return fmt.Sprintf("group %q %x", p.Name, p.Cred)
	default:
		return fmt.Sprintf("%d %q %x", p.Kind, p.Name, p.KID)
	}
}

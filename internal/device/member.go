package device

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
)

// defaultCheckInterval is the Key Update Check Interval of a group that names
// none. KGO, Section 14.
const defaultCheckInterval = 3600 * time.Second

// member is the device in one group. Device.mu guards it.
type member struct {
	name  string
	rec   memberRecord
	epoch *epoch           // nil: the sequence number was lost, a new Sender ID is needed
	gmSeq *oscore.Sequence // nil: lost, the Group Manager cannot be asked
	gm    *join.Member     // made at the first use

	heard  *oscore.Window // of the Group Manager's requests, before the start; nil: there were none
	barred string         // why the Group Manager gives no keys over this association; empty: it does

	casts uint64 // how many requests the device sent to the group by itself
	hints uint64 // how often the Group Manager told whether the group is active

	checked time.Time // when the Group Manager last confirmed the keys; zero: not since the start
	failed  time.Time // when it was last asked in vain since; zero: it was not
	flights map[string]*flight
	absent  absences
	many    many
	creds   bucket // limits requests for credentials
	keys    bucket // limits requests for keys that strangers cause
}

// epoch is one Group OSCORE Security Context with what lives as long.
type epoch struct {
	ctx    *group.Context
	echo   bool                     // senders are challenged first
	past   map[string]oscore.Window // what was received before the start, by Sender ID
	newest map[string]uint64        // Partial IV of the latest request of a kind that was obeyed, by kind and Sender ID

	unwritten map[string]int // blocks since the replay window was stored, by Sender ID
}

// replayed reports whether a request was received before the start. The
// challenge would find that out too, but a replay is not worth one.
func (e *epoch) replayed(kid []byte, piv uint64) bool {
	w, known := e.past[string(kid)]
	return known && w.Check(piv) != nil
}

func newMember(name string, rec memberRecord) *member {
	return &member{
		name: name, rec: rec, flights: map[string]*flight{}, absent: absences{}, many: newMany(),
		creds: bucket{burst: 8, every: time.Second},
		keys:  bucket{burst: 4, every: 5 * time.Second},
	}
}

// sender is who a group request is from. It travels in [coap.Peer].Data.
type sender struct {
	epoch *epoch
	kid   string
	piv   uint64
	roles ace.Role
}

// What a later request of a sender outdates.
const (
	ofLight   = "light "
	ofSession = "session " // of firmware
)

// latest reports whether no later request of the sender for the same was obeyed yet,
// and notes this one. Device.mu is held.
func (s *sender) latest(what string) bool {
	newest, seen := s.epoch.newest[what+s.kid]
	if seen && s.piv < newest {
		return false
	}
	s.epoch.newest[what+s.kid] = s.piv
	return true
}

func (m *member) interval() time.Duration {
	if s := m.rec.Membership.CheckInterval; s > 0 {
		return time.Duration(min(s, 1<<32)) * time.Second
	}
	return defaultCheckInterval
}

// stale reports whether the keys have to be confirmed: after the start and every
// Key Update Check Interval.
func (m *member) stale(now time.Time) bool {
	return m.checked.IsZero() || now.Before(m.checked) || now.Sub(m.checked) >= m.interval()
}

// resting reports whether the Group Manager was asked in vain so recently that
// it is left alone.
func (m *member) resting(now time.Time) bool {
	return !m.failed.IsZero() && !now.Before(m.failed) && now.Sub(m.failed) < gmRest
}

// expired reports whether the keys must not be used any more. RFC 9594, Section
// 4.3.1 (exp).
func (m *member) expired(now time.Time) bool {
	exp := m.rec.Membership.Expires
	return exp != 0 && now.Unix() >= 0 && uint64(now.Unix()) >= exp
}

// outdated reports whether the Group Manager is known to have newer keys: these
// are not used any more. KGO, Section 11.3.
func (m *member) outdated() bool { return m.rec.Known > m.rec.Membership.Num }

func (m *member) state(now time.Time) GroupState {
	ms := m.rec.Membership
	return GroupState{
		Name: m.name, GID: ms.GID, SenderID: ms.SenderID, Num: ms.Num,
		Paused:  m.rec.Paused,
		InSync:  m.epoch != nil && !m.checked.IsZero() && m.failed.IsZero() && !m.expired(now) && !m.outdated(),
		Renew:   m.barred,
		Expires: m.rec.Association.Expires,
	}
}

// sortedMembers returns the memberships by name. d.mu is held.
func (d *Device) sortedMembers() []*member {
	return slices.SortedFunc(maps.Values(d.members), func(a, b *member) int { return cmp.Compare(a.name, b.name) })
}

// byGID finds the membership with the Gid. d.mu is held.
func (d *Device) byGID(gid []byte) *member {
	for _, m := range d.members {
		if bytes.Equal(m.rec.Membership.GID, gid) {
			return m
		}
	}
	return nil
}

// restoreMember makes a membership of what the store has. A sequence number
// whose mark is missing is not guessed: RFC 10021, Section 2.6.1.1.
func (d *Device) restoreMember(tx store.Tx, name string, rec memberRecord) (*member, error) {
	m := newMember(name, rec)
	mark, known, err := readMark(tx, associationMark(&rec.Association))
	if err != nil {
		return nil, err
	}
	if known {
		m.gmSeq = d.sequence(associationMark(&rec.Association), mark)
		heard, err := loadHeard(tx, &rec.Association)
		if err != nil {
			return nil, err
		}
		if heard == nil {
			heard = &oscore.WindowState{} // nothing was heard yet, or it was lost
		}
		d.hearGM(m, heard)
	}
	mark, known, err = readMark(tx, groupMark(&rec.Membership))
	if err != nil || !known {
		return m, err
	}
	windows, err := loadWindows(tx, name, rec.Membership.GID)
	if err != nil {
		return nil, err
	}
	seq := d.sequence(groupMark(&rec.Membership), mark)
	if m.epoch, err = d.newEpoch(&rec.Membership, seq, windows, true); err != nil {
		d.log.Error("the keys of a group are unusable", "group", name, "err", err)
	}
	return m, nil
}

// newEpoch makes the Security Context of a membership. With echo every sender is
// challenged before it is obeyed, those with a window too: a window tells what
// was received, but not what was held back while the device was off.
func (d *Device) newEpoch(ms *join.Membership, seq *oscore.Sequence, windows map[string]oscore.WindowState, echo bool) (*epoch, error) {
	e := &epoch{echo: echo, newest: map[string]uint64{}, past: map[string]oscore.Window{}, unwritten: map[string]int{}}
	if echo {
		for kid, state := range windows {
			w, err := oscore.NewWindow(0, state)
			if err != nil {
				return nil, err
			}
			e.past[kid] = w
		}
		windows = nil
	}
	bare := *ms
	bare.Peers = nil
	var err error
	e.ctx, err = bare.Context(d.cred, cose.NewEd25519(d.key), seq, d.cfg.Rand, func(p *group.Params) {
		p.Windows, p.EchoFirst = windows, echo
	})
	if err != nil {
		return nil, fmt.Errorf("deriving the group's keys: %w", err)
	}
	for _, p := range ms.Peers {
		if err := e.ctx.SetPeer(p); err != nil { // one bad credential does not cost the others
			d.log.Warn("a member's credential is unusable", "group", ms.Group, "err", err)
		}
	}
	return e, nil
}

// prepare makes the Security Context of a membership that is about to be
// adopted. Replay windows live as long as a Master Secret and Gid. Senders are
// challenged in an epoch that the device was in before, unless it is the one that
// goes on, and in one that it may have missed the beginning of. d.mu is held.
func (d *Device) prepare(name string, ms *join.Membership) (*epoch, error) {
	if err := d.keepWindows(d.members[name]); err != nil {
		return nil, err
	}
	var mark uint64
	var before bool
	var windows map[string]oscore.WindowState
	err := d.cfg.Store.View(d.life, func(tx store.Tx) (err error) {
		if mark, _, err = readMark(tx, groupMark(ms)); err != nil {
			return err
		}
		if _, before, err = readMark(tx, epochMark(ms)); err != nil {
			return err
		}
		windows, err = loadWindows(tx, name, ms.GID)
		return err
	})
	if err != nil {
		d.log.Error("reading failed", "err", err)
		return nil, errStore
	}
	echo := before
	if m := d.members[name]; m != nil {
		switch {
		case m.epoch == nil: // what lost the sequence number may have lost the rest
			echo = true
		case epochMark(&m.rec.Membership) == epochMark(ms):
			echo = m.epoch.echo
		case m.checked.IsZero(): // the epoch may have begun while the device was off
			echo = before || m.epoch.echo
		}
	}
	return d.newEpoch(ms, d.sequence(groupMark(ms), mark), windows, echo)
}

// writeMember writes a membership and raises the marks that it needs.
func writeMember(tx store.Tx, name string, rec *memberRecord) error {
	ms := &rec.Membership
	return cmp.Or(
		raiseMark(tx, associationMark(&rec.Association), rec.Association.NextSSN),
		raiseMark(tx, groupMark(ms), 0),
		raiseMark(tx, epochMark(ms), 0),
		dropWindows(tx, name, ms.GID),
		put(tx, prefixGroup+name, rec),
	)
}

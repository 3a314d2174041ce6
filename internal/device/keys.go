package device

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
)

// Times of the client at the Group Manager.
const (
	gmTimeout    = 10 * time.Second       // one conversation
	leaveTimeout = 5 * time.Second        // a leave that somebody waits for
	gmRest       = 10 * time.Second       // after it did not answer
	confirmWait  = 700 * time.Millisecond // how long a request waits for keys to be confirmed
)

// client returns the client at the Group Manager. d.mu is held.
func (d *Device) client(m *member) (*join.Member, error) {
	if m.gm != nil {
		return m.gm, nil
	}
	if m.gmSeq == nil || d.claim == nil {
		return nil, errNeedsGM
	}
	addr, err := netip.ParseAddrPort(d.claim.GM.Address)
	if err != nil {
		return nil, errNeedsGM
	}
	caller := d.gms.Caller(associationName(&m.rec.Association), boundExchanger{d}, addr)
	m.gm = join.NewMember(caller, m.name, m.rec.Membership.NodePath)
	return m.gm, nil
}

// boundExchanger is the exchanger that the device was bound to last.
type boundExchanger struct{ d *Device }

func (b boundExchanger) now() (coap.Exchanger, error) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	if b.d.ex == nil {
		return nil, coap.ErrLink
	}
	return b.d.ex, nil
}

func (b boundExchanger) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	ex, err := b.now()
	if err != nil {
		return nil, err
	}
	return ex.Exchange(ctx, to, req)
}

func (b boundExchanger) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	ex, err := b.now()
	if err != nil {
		return err
	}
	return ex.Multicast(ctx, to, req, wait, each)
}

// talk runs fn with the client of a membership that is still there, and judges
// its error: no answer means that the Group Manager is left alone for a while,
// and not being a member any more ends the membership.
func (d *Device) talk(m *member, fn func(*join.Member, join.Membership) error) error {
	d.mu.Lock()
	if d.members[m.name] != m {
		d.mu.Unlock()
		return errNeedsGM
	}
	client, err := d.client(m)
	old := m.rec.Membership
	d.mu.Unlock()
	if err == nil {
		err = fn(client, old)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var gm *join.GMError
	switch {
	case err == nil:
		m.failed = time.Time{}
	case errors.Is(err, join.ErrNotMember):
		why := EndEvicted
		if errors.As(err, &gm) && gm.ID == ace.ErrorDeleted {
			why = EndDeleted
		}
		return cmp.Or(d.endMembership(m, why), errNeedsGM)
	default:
		if errors.As(err, &gm) && gm.Code == coap.Forbidden {
			m.barred = cmp.Or(gm.Detail, "The Group Manager refuses this association.")
		} else if errors.Is(err, join.ErrNoToken) {
			m.barred = "The Group Manager does not know this association any more."
		}
		m.failed = d.cfg.Now()
		d.log.Warn("asking the Group Manager failed", "group", m.name, "err", err)
	}
	return err
}

// checkKeys asks for the version of the keys, and for the keys when it is another;
// then whether the group is active. KGO, Sections 11.3 and 9.9.
func (d *Device) checkKeys(ctx context.Context, m *member) error {
	current := false
	err := d.talk(m, func(gm *join.Member, old join.Membership) error {
		num, err := gm.Num(ctx)
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if current = num <= m.rec.Membership.Num; current {
			m.checked = d.cfg.Now()
			return nil
		}
		return d.newerKeys(m, num)
	})
	if err == nil && !current {
		err = d.getKeys(ctx, m)
	}
	if err != nil {
		return err
	}
	return d.checkStatus(ctx, m)
}

// getKeys brings the membership up to date. KGO, Section 11.3.
func (d *Device) getKeys(ctx context.Context, m *member) error {
	return d.talk(m, func(gm *join.Member, old join.Membership) error {
		cur, _, changed, err := gm.Update(ctx, &old)
		if err != nil {
			return errors.Join(err, d.keysRefused(ctx, m, gm, err))
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.members[m.name] != m || m.rec.Membership.Num > cur.Num {
			return nil // overtaken
		}
		if changed {
			if err := d.rekey(m, cur); err != nil {
				return err
			}
		}
		m.checked, m.barred = d.cfg.Now(), ""
		return nil
	})
}

// keysRefused finds out, when the Group Manager gives the device no keys, whether
// there are newer ones than it has. What it is not told counts as such. d.mu is not
// held.
func (d *Device) keysRefused(ctx context.Context, m *member, gm *join.Member, err error) error {
	var refusal *join.GMError
	if !errors.As(err, &refusal) || refusal.Code != coap.Forbidden || errors.Is(err, join.ErrNotMember) {
		return nil
	}
	num, err := gm.Num(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.As(err, &refusal) && refusal.Code == coap.Forbidden {
		num = m.rec.Membership.Num + 1
	}
	return d.newerKeys(m, num)
}

// renew gets a new Sender ID, the sequence number of the old one being lost.
// RFC 10021, Section 2.6.1.1.
func (d *Device) renew(ctx context.Context, m *member) error {
	return d.talk(m, func(gm *join.Member, old join.Membership) error {
		id, err := gm.Renew(ctx)
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.members[m.name] != m || m.epoch != nil {
			return nil
		}
		old.SenderID = id
		return d.rekey(m, &old)
	})
}

// rekey replaces the keys of a membership, durably. The replay windows of other
// keys go; those of purged senders are among them, since every purge comes with
// new keys. d.mu is held.
func (d *Device) rekey(m *member, cur *join.Membership) error {
	next, err := d.prepare(m.name, cur)
	if err != nil {
		return err
	}
	rec := m.rec
	rec.Membership = *cur
	if err := d.update(func(tx store.Tx) error { return writeMember(tx, m.name, &rec) }); err != nil {
		return err
	}
	m.rec, m.epoch, m.barred = rec, next, ""
	clear(m.absent)
	d.log.Info("new keys", "group", m.name, "num", cur.Num)
	return nil
}

// getCred gets the credential of a member that the device does not know.
func (d *Device) getCred(ctx context.Context, m *member, kid []byte) error {
	return d.talk(m, func(gm *join.Member, old join.Membership) error {
		peers, num, err := gm.Creds(ctx, [][]byte{kid})
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.members[m.name] != m || m.epoch == nil || !bytes.Equal(m.rec.Membership.GID, old.GID) {
			return nil
		}
		if err := d.newerKeys(m, num); err != nil {
			return err
		}
		for _, p := range peers {
			if bytes.Equal(p.KID, kid) {
				return d.addPeer(m, p)
			}
		}
		m.absent.add(absentPeer+string(kid), d.cfg.Now())
		return nil
	})
}

// addPeer makes another member known, durably. d.mu is held.
func (d *Device) addPeer(m *member, p group.Peer) error {
	if err := m.epoch.ctx.SetPeer(p); err != nil {
		d.log.Warn("a member's credential is unusable", "group", m.name, "err", err)
		m.absent.add(absentPeer+string(p.KID), d.cfg.Now())
		return nil
	}
	rec := m.rec
	rec.Membership.Peers = append(withoutPeer(rec.Membership.Peers, p.KID), p)
	if err := d.update(func(tx store.Tx) error { return put(tx, prefixGroup+m.name, rec) }); err != nil {
		m.epoch.ctx.RemovePeer(p.KID)
		return err
	}
	m.rec = rec
	return nil
}

// withoutPeer returns a copy of peers without the one with the Sender ID.
func withoutPeer(peers []group.Peer, kid []byte) []group.Peer {
	kept := make([]group.Peer, 0, len(peers)+1)
	for _, p := range peers {
		if !bytes.Equal(p.KID, kid) {
			kept = append(kept, p)
		}
	}
	return kept
}

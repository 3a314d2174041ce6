package gm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"lamplighter/internal/store"
)

var errNoSenderID = errors.New("no Sender ID left in this Gid")

const (
	gidPrefixLen     = 3
	masterSecretLen  = 16
	masterSaltLen    = 8
	maxSenderIDLen   = 7       // nonce length 13 less 6: RFC 10021, Section 2.2
	defaultSenderIDs = 1 << 16 // one and two bytes
	maxStaleSIDs     = 512     // in one set
)

// bigEndian is n in as few bytes as it takes, at least one.
func bigEndian(n uint64) []byte {
	b := bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, n), "\x00")
	if len(b) == 0 {
		return []byte{0}
	}
	return slices.Clone(b)
}

// gidOf makes the Gid of a version: a prefix that is this group's for ever and
// the version, so no Gid is ever issued twice. RFC 10021, Appendix C.
func gidOf(prefix []byte, num uint64) []byte {
	return append(slices.Clone(prefix), bigEndian(num)...)
}

// newMaterial draws the Master Secret and Master Salt of the group's version and
// sets its Gid and lifetime.
func (g *groupRecord) newMaterial(rand io.Reader, now time.Time) error {
	random := make([]byte, masterSecretLen+masterSaltLen)
	if _, err := io.ReadFull(rand, random); err != nil {
		return fmt.Errorf("drawing group keys: %w", err)
	}
	g.MasterSecret, g.MasterSalt = random[:masterSecretLen:masterSecretLen], random[masterSecretLen:]
	g.GID = g.gidAt(g.Num)
	g.RekeyedAt = uint64(now.Unix())
	g.Expires = g.RekeyedAt + g.Lifetime
	return nil
}

// nextKeys moves the group to the next version of its keys: new Gid, new Master
// Secret and Salt, a new empty stale set; members keep their Sender IDs. The caller
// saves the record. KGO, Sections 7, 7.1 and 11.
func (g *groupRecord) nextKeys(tx store.Tx, rand io.Reader, now time.Time) error {
	if err := tx.Delete(gidKey(g.GID)); err != nil {
		return err
	}
	g.Num++
	if err := g.newMaterial(rand, now); err != nil {
		return err
	}
	if n := len(g.Stale) - g.MaxStaleSets + 1; n > 0 {
		g.Stale = slices.Delete(g.Stale, 0, n)
	}
	g.Stale = append(g.Stale, staleSet{Num: g.Num})
	if g.NextSID > g.SenderIDs/2 {
		g.NextSID = 0
	}
	return tx.Put(gidKey(g.GID), []byte(g.Name))
}

// assign gives out a Sender ID that nobody had since the current Gid was
// assigned. The numbers only rise within a Gid; after a rekeying that began them
// anew, those that members hold or gave back are passed over. KGO, Section 6.3;
// RFC 10021, Section 12.2.1.2.
func (g *groupRecord) assign(tx store.Tx) ([]byte, error) {
	for g.NextSID < g.SenderIDs {
		sid := bigEndian(g.NextSID)
		g.NextSID++
		holder, err := tx.Get(senderKey(g.Name, sid))
		if err != nil {
			return nil, err
		}
		if holder == nil && !g.isStale(sid) {
			return sid, nil
		}
	}
	return nil, errNoSenderID
}

// current is the stale set of the current version.
func (g *groupRecord) current() *staleSet { return &g.Stale[len(g.Stale)-1] }

func (g *groupRecord) isStale(sid []byte) bool {
	return slices.ContainsFunc(g.current().SIDs, func(s []byte) bool { return bytes.Equal(s, sid) })
}

// relinquish makes a member's Sender ID stale.
func (g *groupRecord) relinquish(tx store.Tx, m *memberRecord) error {
	if m.SenderID == nil {
		return nil
	}
	set := g.current()
	set.SIDs = append(set.SIDs, m.SenderID)
	return tx.Delete(senderKey(g.Name, m.SenderID))
}

// staleSince is the union of the stale sets that a member at version v missed;
// ok is false when too few sets are kept to tell. v is below g.Num. KGO, Section
// 11.3.1.
func (g *groupRecord) staleSince(v uint64) (sids [][]byte, ok bool) {
	skew := g.Num - v + 1
	if skew > uint64(len(g.Stale)) {
		return nil, false
	}
	sids = [][]byte{}
	for _, set := range g.Stale[uint64(len(g.Stale))-skew:] {
		for _, sid := range set.SIDs {
			if !slices.ContainsFunc(sids, func(s []byte) bool { return bytes.Equal(s, sid) }) {
				sids = append(sids, sid)
			}
		}
	}
	return sids, true
}

// forget ends a membership. The caller rekeys the group and saves the record.
func (g *groupRecord) forget(tx store.Tx, m *memberRecord) error {
	if err := g.relinquish(tx, m); err != nil {
		return err
	}
	if err := g.burnLeaf(tx, m.Node); err != nil {
		return err
	}
	for _, key := range []string{subjectKey(g.Name, m.Subject), memberKey(g.Name, m.Node), progressKey(g.Name, m.Node)} {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

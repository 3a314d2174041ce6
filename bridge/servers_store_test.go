package main

import (
	"context"
	"encoding/hex"
	"strings"

	"lamplighter/internal/cbor"
	"lamplighter/internal/store"
)

// What of the Group Manager's records the test looks at; their form is in
// internal/gm/record.go.
type (
	storedGroup struct {
		Name         string `cbor:"1,keyasint"`
		Num          uint64 `cbor:"2,keyasint"`
		GID          []byte `cbor:"4,keyasint"`
		MasterSecret []byte `cbor:"5,keyasint"`
		Stale        []struct {
			Num  uint64   `cbor:"1,keyasint"`
			SIDs [][]byte `cbor:"2,keyasint"`
		} `cbor:"14,keyasint"`
	}
	storedMember struct {
		Node     string `cbor:"1,keyasint"`
		Subject  string `cbor:"2,keyasint"`
		SenderID []byte `cbor:"3,keyasint"`
	}
)

// checkStore looks at what a Group Manager left that was killed a moment ago. What was
// acknowledged until then is acknowledged to the clients, or its answer never comes.
func (s *killSite) checkStore() {
	db, err := openStore(context.Background(), s.data, gmName)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(context.Background(), func(tx store.Tx) error { return s.readStore(tx) }); err != nil {
		s.t.Fatal(err)
	}
	s.ledger.count("stores")
}

func (s *killSite) readStore(tx store.Tx) error {
	groups := map[string]storedGroup{}
	if err := scanAs(tx, "g/", func(name string, g storedGroup) { groups[name] = g }); err != nil {
		return err
	}
	members := map[string]map[string]storedMember{} // by group and subject
	if err := scanAs(tx, "m/", func(key string, m storedMember) {
		name, node, _ := strings.Cut(key, "/")
		if members[name] == nil {
			members[name] = map[string]storedMember{}
		}
		if _, twice := members[name][m.Subject]; twice || m.Node != node {
			s.ledger.fail("store: %s is in %s as two nodes", m.Subject, name)
		}
		members[name][m.Subject] = m
	}); err != nil {
		return err
	}
	for name := range members {
		if _, there := groups[name]; !there {
			s.ledger.fail("store: members of %s, which is no group", name)
		}
	}
	for name, g := range groups {
		s.ledger.keys(g.GID, g.MasterSecret)
		for _, m := range members[name] {
			s.ledger.holds(m.Subject, g.GID, m.SenderID)
		}
		if of, err := tx.Get("i/" + hex.EncodeToString(g.GID)); err != nil || string(of) != name {
			s.ledger.fail("store: the Gid of %s leads to %q (%v)", name, of, err)
		}
		s.checkStored(g)
		if err := s.checkIndexes(tx, name, members[name]); err != nil {
			return err
		}
	}
	s.checkAcknowledged(groups, members)
	return s.checkLeftovers(tx, groups)
}

// checkStored holds the stale sets against the version: there is one for each of the
// latest versions, the last is the current one's.
func (s *killSite) checkStored(g storedGroup) {
	want := min(g.Num+1, keptStaleSets)
	if g.Name != "hall-ceiling" && uint64(len(g.Stale)) != want {
		s.ledger.fail("store: %s has %d stale sets at version %d", g.Name, len(g.Stale), g.Num)
	}
	for i, set := range g.Stale {
		if set.Num != g.Num+1-uint64(len(g.Stale))+uint64(i) {
			s.ledger.fail("store: stale set %d of %s is for version %d of %d", i, g.Name, set.Num, g.Num)
		}
		for _, sid := range set.SIDs {
			if set.Num == g.Num {
				s.ledger.gaveBack(g.GID, sid)
			}
		}
	}
}

// checkIndexes: exactly the members stand in the indexes.
func (s *killSite) checkIndexes(tx store.Tx, name string, members map[string]storedMember) error {
	want := map[string]string{}
	for _, m := range members {
		want["s/"+name+"/"+hex.EncodeToString([]byte(m.Subject))] = m.Node
		want["k/"+name+"/"+hex.EncodeToString(m.SenderID)] = m.Node
	}
	if len(want) != 2*len(members) {
		s.ledger.fail("store: two members of %s have one Sender ID", name)
	}
	for _, prefix := range []string{"s/" + name + "/", "k/" + name + "/"} {
		if err := tx.Scan(prefix, func(key string, node []byte) bool {
			if want[key] != string(node) {
				s.ledger.fail("store: %s leads to %q, want %q", key, node, want[key])
			}
			delete(want, key)
			return true
		}); err != nil {
			return err
		}
	}
	for key := range want {
		s.ledger.fail("store: %s is missing", key)
	}
	return nil
}

// checkAcknowledged holds the store against what everybody was told.
func (s *killSite) checkAcknowledged(groups map[string]storedGroup, members map[string]map[string]storedMember) {
	for _, g := range s.admin.list() {
		stored, there := groups[g.name]
		switch state := g.state(); {
		case state == groupThere && !there, state == groupGone && there:
			s.ledger.fail("store: group %s: acknowledged is %d, stored is %v", g.name, state, there)
		case there && stored.Num < g.num.Load():
			s.ledger.fail("store: group %s is at version %d after %d", g.name, stored.Num, g.num.Load())
		}
	}
	for _, n := range s.everybody() {
		st := n.now.Load()
		if st.group == nil || st.open || n.goes() || st.group.state() != groupThere {
			continue
		}
		m, is := members[st.group.name][n.subject]
		if is != st.member || is && string(m.SenderID) != string(st.sid) {
			s.ledger.fail("store: %s in %s was told: member %v, Sender ID %x; stored is: %v, %x", n.subject, st.group.name, st.member, st.sid, is, m.SenderID)
		}
	}
}

// checkLeftovers: what is kept for members and groups goes with them.
func (s *killSite) checkLeftovers(tx store.Tx, groups map[string]storedGroup) error {
	for _, prefix := range []string{"s/", "k/", "r/j/", "r/p/", "r/l/", "e/"} {
		if err := tx.Scan(prefix, func(key string, _ []byte) bool {
			name, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
			if _, there := groups[name]; !there {
				s.ledger.fail("store: %s is left of a group that is gone", key)
			}
			return true
		}); err != nil {
			return err
		}
	}
	count := 0
	err := tx.Scan("i/", func(string, []byte) bool { count++; return true })
	if count != len(groups) {
		s.ledger.fail("store: %d Gids of %d groups", count, len(groups))
	}
	return err
}

// scanAs reads all records below a prefix.
func scanAs[T any](tx store.Tx, prefix string, each func(name string, v T)) error {
	var failed error
	err := tx.Scan(prefix, func(key string, data []byte) bool {
		var v T
		if failed = cbor.Unmarshal(data, &v); failed == nil {
			each(strings.TrimPrefix(key, prefix), v)
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

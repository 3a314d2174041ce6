package main

import (
	"strings"
	"testing"
)

// The Group Manager evicts whom it learns to be revoked by itself, after any check: that
// a Sender ID which may have become stale by a lost request does so then is no mistake of
// its. That one is told of a Sender ID which was stale before is.
func TestLedgerOfStaleSenderIDs(t *testing.T) {
	const sid = "\x03\xdb"
	for what, c := range map[string]struct {
		revoked bool   // after the check at version 5
		since   uint64 // what is asked for, at version 8
		told    bool
		wrong   string
	}{
		"revoked, evicted under version 7":         {true, 7, true, ""},
		"revoked, not told":                        {true, 7, false, ""}, // it may have been the lost request
		"revoked, told after it is gone":           {true, 8, true, "stale before (in 4 to 5, 5 to 7)"},
		"not revoked, the request was carried out": {false, 5, true, ""},
		"not revoked, told too long":               {false, 6, true, "stale before (in 4 to 5)"},
	} {
		l, g := newLedger(), &killGroup{name: "hall"}
		g.num.Store(4)
		g.gaveUp(surrender{sid: sid, least: 4, most: noNum, maybe: true}) // the answer is lost
		g.num.Store(5)
		g.settle(5)
		if c.revoked {
			g.ends(sid, true) // a member still
		}
		g.settle(6) // as a second check does
		if c.revoked {
			g.ends(sid, false)
		}
		g.settle(7)
		var told [][]byte
		if c.told {
			told = [][]byte{[]byte(sid)}
		}
		g.checkStale(l, "somebody", c.since, told, nil)
		wrong := strings.Join(l.taken(), "; ")
		if (wrong == "") != (c.wrong == "") || !strings.Contains(wrong, c.wrong) {
			t.Errorf("%s: %q", what, wrong)
		}
	}
}

package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"lamplighter/internal/ace"
)

// ledger is what Authorization Server and Group Manager ever said, to whomever, and
// what their stores held after a kill: it finds what they contradict.
type ledger struct {
	mu      sync.Mutex
	holders map[string]string // Gid/Sender ID -> whose it is, for ever
	over    map[string]bool   // Gid/Sender ID that was given back under that Gid
	secrets map[string]string // Gid -> Master Secret
	gids    map[string]string // Master Secret -> Gid
	tokens  map[string]bool   // numbers of tokens, and ids of their input material
	counts  map[string]int    // what happened
	wrong   []string
}

func newLedger() *ledger {
	return &ledger{
		holders: map[string]string{}, over: map[string]bool{}, secrets: map[string]string{},
		gids: map[string]string{}, tokens: map[string]bool{}, counts: map[string]int{},
	}
}

// count notes that something happened: a test in which nothing happens shows
// nothing.
func (l *ledger) count(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[what]++
}

func (l *ledger) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(format, args...)
}

func (l *ledger) failLocked(format string, args ...any) {
	if len(l.wrong) < 50 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// taken returns what was found wrong since the last call.
func (l *ledger) taken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := l.wrong
	l.wrong = nil
	return wrong
}

func slotOf(gid, sid []byte) string { return hex.EncodeToString(gid) + "/" + hex.EncodeToString(sid) }

// keys notes a Gid and its Master Secret: each has the other for ever.
func (l *ledger) keys(gid, secret []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.secrets[string(gid)]; ok && known != string(secret) {
		l.failLocked("Gid %x has two Master Secrets", gid)
	}
	if known, ok := l.gids[string(secret)]; ok && known != string(gid) {
		l.failLocked("one Master Secret serves the Gids %x and %x", known, gid)
	}
	l.secrets[string(gid)], l.gids[string(secret)] = string(secret), string(gid)
}

// holds notes that a subject has a Sender ID under a Gid: nobody else ever had it,
// and it was not given back.
func (l *ledger) holds(subject string, gid, sid []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slot := slotOf(gid, sid)
	if before, used := l.holders[slot]; used && before != subject {
		l.failLocked("Sender ID %s: of %s, then of %s", slot, before, subject)
	}
	if l.over[slot] {
		l.failLocked("Sender ID %s of %s was given back before", slot, subject)
	}
	l.holders[slot] = subject
}

// gaveBack notes that a Sender ID has no holder any more under a Gid.
func (l *ledger) gaveBack(gid, sid []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over[slotOf(gid, sid)] = true
}

// token notes the numbers of a token: no other has them.
func (l *ledger) token(key ace.TokenKey, tok *ace.TokenResponse) {
	claims, err := ace.OpenToken(key, tok.AccessToken)
	if err != nil || claims.CTI == nil || claims.CNF == nil || claims.CNF.OSCORE == nil {
		l.fail("a token that the Group Manager cannot use: %v", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, number := range []string{"cti " + string(claims.CTI), "id " + string(claims.CNF.OSCORE.ID)} {
		if l.tokens[number] {
			l.failLocked("two tokens have the same number %q", number)
		}
		l.tokens[number] = true
	}
}

// existence is whether a group is there as far as the Group Manager has
// acknowledged it.
type existence int32

const (
	groupOpen  existence = iota // what was asked for last had no answer
	groupThere                  // it was created
	groupGone                   // it was deleted, for ever
)

// keptStaleSets is max_stale_sets of all groups of the test.
const keptStaleSets = 8

// killGroup is a group as everybody together knows it.
type killGroup struct {
	name  string
	many  bool // with one-to-many rekeying
	fixed bool // never deleted
	is    atomic.Int32
	num   atomic.Uint64 // the newest version of the keys that anybody heard of

	// What its configuration may be; several when answers were lost. The
	// administrator's.
	may []ace.Configuration

	mu     sync.Mutex
	stale  []surrender
	ending map[string]bool // Sender IDs of people who are being revoked -> whether they are members still
}

func (g *killGroup) state() existence { return existence(g.is.Load()) }

// surrender is a Sender ID that became stale under some version from least to most.
type surrender struct {
	sid         string
	least, most uint64
	maybe       bool // the answer was lost: it may not have become stale
}

const noNum = 1<<64 - 1

// saw notes a version of the keys that was answered to a request made when asked was
// the newest that was known: the Group Manager never goes back.
func (g *killGroup) saw(l *ledger, asked, num uint64) {
	if num < asked {
		l.fail("group %s: version %d of the keys after %d", g.name, num, asked)
	}
	for old := g.num.Load(); old < num && !g.num.CompareAndSwap(old, num); old = g.num.Load() {
	}
}

// gaveUp notes that a Sender ID has become stale.
func (g *killGroup) gaveUp(s surrender) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stale = append(g.stale, s)
}

// ends notes that a Sender ID becomes stale without a request of its holder's, some
// time before that is a member no longer: whom the Group Manager learns to be revoked
// it evicts by itself.
func (g *killGroup) ends(sid string, member bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ending == nil {
		g.ending = map[string]bool{}
	}
	if _, known := g.ending[sid]; !known {
		g.stale = append(g.stale, surrender{sid: sid, least: g.num.Load(), most: noNum, maybe: true})
	}
	g.ending[sid] = member
}

// settle notes that nothing is under way while the version is num, but the eviction of
// who is revoked.
func (g *killGroup) settle(num uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.stale {
		if s := &g.stale[i]; !g.ending[s.sid] {
			s.most = min(s.most, num)
		}
	}
}

// checkStale holds the Sender IDs that became stale since version v, as the Group
// Manager says, against what happened: none is missing, none of somebody who holds
// it now is among them, and none that was stale before.
func (g *killGroup) checkStale(l *ledger, who string, v uint64, told [][]byte, held map[string]bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	listed, later, when := map[string]bool{}, map[string]bool{}, map[string][]string{}
	for _, sid := range told {
		listed[string(sid)] = true
		if held[string(sid)] {
			l.fail("group %s: Sender ID %x is called stale and is in use", g.name, sid)
		}
	}
	for _, s := range g.stale {
		if s.least >= v && !s.maybe && !listed[s.sid] {
			l.fail("group %s: %s at version %d is not told that Sender ID %x became stale (in %d to %d)", g.name, who, v, s.sid, s.least, s.most)
		}
		later[s.sid] = later[s.sid] || s.most >= v
		when[s.sid] = append(when[s.sid], fmt.Sprintf("%d to %d", s.least, s.most))
	}
	for sid := range listed {
		if known, is := later[sid]; is && !known {
			l.fail("group %s: %s at version %d is told of Sender ID %x, which was stale before (in %s)", g.name, who, v, sid, strings.Join(when[sid], ", "))
		}
	}
}

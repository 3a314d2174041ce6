//go:build !js

package gm

import (
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/store/bolt"
	"lamplighter/internal/store/storetest"
)

// childEnv names the store of a Group Manager that is going to be killed.
const childEnv = "LAMPLIGHTER_GM_CHILD"

const victims = 6 // subjects that join, renew and leave at the same time

// killWorld is a world on a disk whose keys are the same in every process.
func killWorld(t testing.TB, path string) (w *world, closeStore func()) {
	db, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w = &world{t: t, now: time.Unix(1_795_000_000, 0), rand: crand.Reader, store: db}
	key := newKey(seeded("gm"))
	w.cfg = Config{
		Store: db, Now: w.clock, Rand: crand.Reader,
		Key: key, Credential: cose.NewCCS("gm", key.Public().(ed25519.PublicKey)),
		Audience: "gm", Issuer: "as", TokenKey: ace.TokenKey{KID: []byte{1}, Key: make([]byte, ace.TokenKeySize)},
	}
	w.restart()
	if err := w.s.CreateGroup(context.Background(), GroupConfig{Name: testGroup, SenderIDs: 64}); err != nil {
		t.Fatal(err)
	}
	return w, func() { _ = db.Close() }
}

// TestChild is no test: it is the process that [TestSIGKILL] kills. It tells
// what it begins and what was acknowledged, one line each.
func TestChild(t *testing.T) {
	path := os.Getenv(childEnv)
	if path == "" {
		t.Skip("run by TestSIGKILL")
	}
	w, _ := killWorld(t, path)
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Fprintf(os.Stdout, "\n#"+format+"\n", args...)
	}
	var wg sync.WaitGroup
	for i := range victims {
		wg.Go(func() { w.victim(fmt.Sprint("v", i), say) })
	}
	wg.Wait()
}

// victim joins, renews and leaves for ever.
func (w *world) victim(subject string, say func(string, ...any)) {
	key := newKey(seeded(subject))
	n := &node{subject: subject, key: key, cred: cose.NewCCS(subject, key.Public().(ed25519.PublicKey))}
	c := w.claims(subject, scope(testGroup, both))
	c.CNF.OSCORE.ID = draw(w.rand, 8)
	assoc, gm := w.transfer(w.seal(c))
	for {
		say("begin %s", subject)
		m, answer, err := join.Self(context.Background(), gm, w.self(n, both, assoc.NS))
		if refusedWith(err, ace.ErrorNoIndividualMaterial) {
			_ = w.s.Rekey(context.Background(), testGroup, "")
			continue
		}
		if err != nil {
			say("error %s %v", subject, err)
			return
		}
		say("has %s %x %x", subject, m.GID, m.SenderID)
		client := join.NewMember(gm, testGroup, answer.NodePath)
		if rand.IntN(3) == 0 {
			say("begin %s", subject)
			if err := client.Leave(context.Background()); err != nil {
				say("error %s %v", subject, err)
				return
			}
			say("left %s", subject)
		}
	}
}

// told is what the child acknowledged last to one subject.
type told struct {
	pending bool // something was begun since
	member  bool
	gid     string
	sid     string
}

// A Group Manager killed at any moment loses no acknowledged member and never
// hands out a Sender ID twice in a Gid.
func TestSIGKILL(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 5
	}
	path := filepath.Join(t.TempDir(), "gm.db")
	owners := map[string]string{} // Gid and Sender ID → who was told, for ever
	count := 0
	for range kills {
		last, lines := runAndKill(t, path)
		for _, line := range lines {
			key := line.gid + "/" + line.sid
			if owners[key] != "" {
				t.Errorf("Sender ID %s was handed out twice under Gid %s: to %s and %s", line.sid, line.gid, owners[key], line.subject)
			}
			owners[key] = line.subject
		}
		count += len(lines)
		checkSurvivors(t, path, last)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d Sender IDs handed out", kills, count)
}

// handed is one Sender ID that somebody was told.
type handed struct{ subject, gid, sid string }

// runAndKill runs a child for a random time and returns what it said.
func runAndKill(t *testing.T, path string) (last map[string]*told, lines []handed) {
	t.Helper()
	last = map[string]*told{}
	storetest.Kill(t, "TestChild", childEnv+"="+path, 60*time.Millisecond, func(line string) {
		lines = append(lines, note(t, last, strings.Fields(line))...)
	})
	return last, lines
}

// note takes one line of a child.
func note(t *testing.T, last map[string]*told, f []string) []handed {
	t.Helper()
	if len(f) < 2 {
		return nil
	}
	s := last[f[1]]
	if s == nil {
		s = &told{}
		last[f[1]] = s
	}
	switch {
	case f[0] == "begin":
		s.pending = true
	case f[0] == "left":
		*s = told{}
	case f[0] == "has" && len(f) == 4:
		*s = told{member: true, gid: f[2], sid: f[3]}
		return []handed{{f[1], f[2], f[3]}}
	case f[0] == "error":
		t.Errorf("the child failed: %v", f)
	}
	return nil
}

// checkSurvivors opens what the killed process left.
func checkSurvivors(t *testing.T, path string, last map[string]*told) {
	t.Helper()
	w, closeStore := killWorld(t, path)
	defer closeStore()
	stored := map[string]Member{}
	for _, m := range w.members() {
		stored[m.Subject] = m
	}
	for subject, s := range last {
		m, ok := stored[subject]
		if s.pending {
			continue
		}
		if ok != s.member {
			t.Errorf("%s was told that it is a member: %v; it is: %v", subject, s.member, ok)
		}
		if s.member && hex.EncodeToString(m.SenderID) != s.sid {
			t.Errorf("%s was told Sender ID %s and has %x", subject, s.sid, m.SenderID)
		}
	}
}

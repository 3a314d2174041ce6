package gm

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// crash is when a process dies.
type crash int

const (
	never crash = iota
	beforeCommit
	afterCommit // and before the answer
)

var errCrash = errors.New("crashed")

// fragile is a store whose process dies at its next change.
type fragile struct {
	store.Store
	next crash
	dead bool
}

func (f *fragile) View(ctx context.Context, fn func(store.Tx) error) error {
	if f.dead {
		return errCrash
	}
	return f.Store.View(ctx, fn)
}

func (f *fragile) Update(ctx context.Context, fn func(store.Tx) error) error {
	switch {
	case f.dead:
		return errCrash
	case f.next == beforeCommit:
		f.dead = true
		return f.Store.Update(ctx, func(tx store.Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			return errCrash
		})
	}
	err := f.Store.Update(ctx, fn)
	if f.next == afterCommit {
		f.dead = true
		return errors.Join(err, errCrash)
	}
	return err
}

// model is what an observer of all answers holds the Group Manager to.
type model struct {
	w       *world
	store   *fragile
	rng     *rand.Rand
	people  []*person
	owners  map[string]string // Gid and Sender ID → subject, for ever
	retired map[string]bool   // Gid and Sender ID that somebody gave back
	secrets map[string]string // Gid → Master Secret
	gids    map[string]string // Master Secret → Gid
	num     uint64
	stale   staleModel
}

// person is a node and what the Group Manager acknowledged to it.
type person struct {
	*node
	gm     *direct
	ns     []byte
	member bool // an answer said so, and no later request may have changed it
	path   string
	sid    []byte // the latest acknowledged; nil: a request since then had no answer
}

func newModel(t *testing.T, seed uint64) *model {
	f := &fragile{Store: store.NewMemory()}
	w := newEmptyWorld(t, func(c *Config) { c.Store = f })
	w.store = f
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, SenderIDs: 7}); err != nil {
		t.Fatal(err)
	}
	m := &model{
		w: w, store: f, rng: rand.New(rand.NewPCG(seed, 0)), owners: map[string]string{},
		retired: map[string]bool{}, secrets: map[string]string{}, gids: map[string]string{},
	}
	for i := range 5 {
		p := &person{node: w.node(fmt.Sprint("p", i))}
		assoc, gm := w.transfer(w.seal(w.claims(p.subject, scope(testGroup, both))))
		p.gm, p.ns = gm, assoc.NS
		m.people = append(m.people, p)
	}
	return m
}

// step makes one random request, perhaps with a crash, and checks everything.
func (m *model) step() {
	p := m.people[m.rng.IntN(len(m.people))]
	m.store.next = crash(max(0, m.rng.IntN(6)-3))
	switch m.rng.IntN(8) {
	case 0, 1, 2:
		m.joinOrRejoin(p)
	case 3, 4:
		m.renew(p)
	case 5:
		m.leave(p)
	case 6:
		m.newToken(p)
	case 7:
		_ = m.w.s.Rekey(m.w.t.Context(), testGroup, "")
	}
	if m.store.dead || m.rng.IntN(10) == 0 {
		m.store.dead, m.store.next = false, never
		m.w.restart()
	}
	m.store.next = never
	m.check()
}

func (m *model) joinOrRejoin(p *person) {
	offer := join.NewOffer(testGroup, both, p.cred, m.w.rand)
	answer, err := join.Join(m.w.t.Context(), p.gm, testGroup, offer.Request(offer.Prove(p.key, p.ns), true))
	if refusedWith(err, ace.ErrorNoIndividualMaterial) {
		return
	}
	if err != nil {
		p.sid = nil
		m.mustHaveCrashed("join", err)
		return
	}
	mem, err := join.Accept(answer.Raw, offer.NC, m.w.cfg.Credential)
	if err != nil {
		m.w.t.Fatal(err)
	}
	if p.member && (!answer.Rejoined || answer.NodePath != p.path) {
		m.w.t.Errorf("a member joined as new: %v %s, was %s", answer.Rejoined, answer.NodePath, p.path)
	}
	p.member, p.path = true, answer.NodePath
	m.assigned(p, mem.GID, mem.SenderID)
}

func (m *model) renew(p *person) {
	if p.path == "" {
		return
	}
	sid, err := join.NewMember(p.gm, testGroup, p.path).Renew(m.w.t.Context())
	switch {
	case err == nil:
		m.assigned(p, m.w.group().GID, sid)
	case refusedWith(err, ace.ErrorNoIndividualMaterial), !p.member && errors.Is(err, join.ErrNotMember):
	case !p.member && refusedCode(err, coap.Forbidden): // it is another node by now
	default:
		p.sid = nil
		m.mustHaveCrashed("renewal", err)
	}
}

func (m *model) leave(p *person) {
	if p.path == "" {
		return
	}
	err := join.NewMember(p.gm, testGroup, p.path).Leave(m.w.t.Context())
	switch {
	case err == nil:
		p.member, p.path, p.sid = false, "", nil
	case !p.member && refusedCode(err, coap.Forbidden):
	default:
		p.member, p.sid = false, nil // not known until it asks
		m.mustHaveCrashed("leaving", err)
	}
}

func (m *model) newToken(p *person) {
	assoc, err := join.Transfer(m.w.t.Context(), plain{m.w}, gmAddr,
		m.w.seal(m.w.claims(p.subject, scope(testGroup, both))), []byte{1}, m.w.rand)
	if err != nil {
		m.mustHaveCrashed("token transfer", err)
		return
	}
	p.gm, p.ns = &direct{m.w, hex.EncodeToString(assoc.SenderID)}, assoc.NS
}

func (m *model) mustHaveCrashed(what string, err error) {
	m.w.t.Helper()
	if !m.store.dead {
		m.w.t.Errorf("%s failed without a crash: %v", what, err)
	}
}

func refusedWith(err error, id ace.ErrorID) bool {
	var e *join.GMError
	return errors.As(err, &e) && e.HasID && e.ID == id
}

func refusedCode(err error, code coap.Code) bool {
	var e *join.GMError
	return errors.As(err, &e) && e.Code == code
}

// assigned notes an answer that gave out a Sender ID: nobody ever got it under
// this Gid.
func (m *model) assigned(p *person, gid, sid []byte) {
	p.sid = sid
	key := string(gid) + "/" + string(sid)
	if m.retired[key] {
		m.w.t.Errorf("Sender ID %x was given out again under Gid %x", sid, gid)
	}
}

// check reads the store as it would be after a crash right now.
func (m *model) check() {
	g := m.w.group()
	gid, secret := string(g.GID), string(g.MasterSecret)
	if g.Num < m.num {
		m.w.t.Errorf("num went from %d back to %d", m.num, g.Num)
	}
	m.num = g.Num
	if old, ok := m.secrets[gid]; ok && old != secret {
		m.w.t.Errorf("Gid %x has a second Master Secret", gid)
	}
	if old, ok := m.gids[secret]; ok && old != gid {
		m.w.t.Errorf("a Master Secret serves the Gids %x and %x", old, gid)
	}
	m.secrets[gid], m.gids[secret] = secret, gid
	members, err := m.w.s.Members(m.w.t.Context(), testGroup)
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.stale.follow(m.w.t, g, members)
	held := map[string]bool{}
	stored := map[string]Member{}
	for _, mem := range members {
		stored[mem.Subject] = mem
		m.hold(gid, mem, held)
	}
	for key, owner := range m.owners { // what is no longer held under this Gid is gone for good
		if owner != "" && len(key) > len(gid) && key[:len(gid)+1] == gid+"/" && !held[key] {
			m.retired[key] = true
		}
	}
	for _, p := range m.people {
		mem, ok := stored[p.subject]
		if p.member && !ok {
			m.w.t.Errorf("the acknowledged member %s is lost", p.subject)
		}
		if p.member && p.sid != nil && string(mem.SenderID) != string(p.sid) {
			m.w.t.Errorf("%s was told Sender ID %x and has %x", p.subject, p.sid, mem.SenderID)
		}
	}
}

func (m *model) hold(gid string, mem Member, held map[string]bool) {
	key := gid + "/" + string(mem.SenderID)
	if held[key] {
		m.w.t.Errorf("two members hold Sender ID %x", mem.SenderID)
	}
	held[key] = true
	if owner := m.owners[key]; owner != "" && owner != mem.Subject {
		m.w.t.Errorf("Sender ID %x of %s is %s's under one Gid", mem.SenderID, owner, mem.Subject)
	}
	if m.retired[key] {
		m.w.t.Errorf("stale Sender ID %x is held again", mem.SenderID)
	}
	m.owners[key] = mem.Subject
}

// DESIGN S4: whatever the moment of a crash, no acknowledged member is lost, no
// Sender ID is handed out twice within a Gid, and no Gid and Master Secret are
// issued twice. The stale sets hold what became stale under their versions.
func TestCrashes(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(t, seed)
			for range 60 {
				if m.step(); t.Failed() {
					return
				}
			}
		})
	}
}

// The hooks stand where a test has to kill the process.
func TestHooks(t *testing.T) {
	var calls []string
	note := func(when string) func(string) {
		return func(what string) { calls = append(calls, when+" "+what) }
	}
	w := newWorld(t, func(c *Config) {
		c.Hooks = Hooks{BeforeCommit: note("before commit"), AfterCommit: note("after commit"), BeforeAnswer: note("before answer")}
	})
	a := w.applicant("dev", both)
	calls = nil
	wantAnswer(t, a.send(a.request(both)), coap.Created)
	want := []string{"before commit join", "after commit join", "before answer /ace-group/hall"}
	if fmt.Sprint(calls) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", calls, want)
	}
}

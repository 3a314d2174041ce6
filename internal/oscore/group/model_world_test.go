package group

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	modelMembers = 8       // at most, at a time
	modelFewest  = 4       // at least
	modelSpent   = 1 << 40 // the first number that no Partial IV has
)

var errModelDisk = errors.New("the disk is full")

// model is the world and what is known of it.
type model struct {
	t      *testing.T
	c      modelConfig
	seed   uint64
	source *rand.ChaCha8
	rng    *rand.Rand

	step  int
	now   time.Duration
	queue modelQueue
	born  int // events so far; equal times keep their order
	link  modelFaults

	people []*modelPerson // all that ever were
	gm     modelManager
	ghosts []*modelNode // members that left, with their keys

	oracle    modelOracle
	old, late []*modelDatagram // what the adversary has heard
	forged    uint64           // contexts that it made
	counts    map[verdict]int
	repeat    int // nonces.repeat before
	trace     []string
}

// modelFaults are the link's; probabilities per datagram and receiver.
type modelFaults struct{ loss, dup, slow float64 }

// modelEvent is something that happens at a time.
type modelEvent struct {
	at   time.Duration
	born int
	do   func()
}

type modelQueue []modelEvent

func (q modelQueue) Len() int      { return len(q) }
func (q modelQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q modelQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].born < q[j].born
}
func (q *modelQueue) Push(e any) { *q = append(*q, e.(modelEvent)) }
func (q *modelQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func newModel(t *testing.T, c modelConfig, seed uint64) *model {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	copy(key[8:], c.name)
	source := rand.NewChaCha8(key)
	m := &model{
		t: t, c: c, seed: seed, source: source, rng: rand.New(source),
		link:   modelFaults{loss: 0.1, dup: 0.1, slow: 0.1},
		oracle: newModelOracle(), counts: map[verdict]int{}, repeat: nonceRepeats(),
	}
	m.gm.kid, m.gm.cred = map[*modelNode]string{}, m.bytes(40)
	m.newEpoch()
	for range modelMembers - 1 {
		m.join()
	}
	return m
}

// nonceRepeats is how often a nonce was used twice under a key, anywhere in this
// test binary.
func nonceRepeats() int {
	nonces.Lock()
	defer nonces.Unlock()
	return nonces.repeat
}

func (m *model) chance(p float64) bool { return m.rng.Float64() < p }

// bytes draws n bytes.
func (m *model) bytes(n int) []byte {
	b := make([]byte, n)
	m.source.Read(b)
	return b
}

func pick[T any](m *model, from []T) T { return from[m.rng.IntN(len(from))] }

// after calls do when the clock has moved on by d.
func (m *model) after(d time.Duration, do func()) {
	m.born++
	heap.Push(&m.queue, modelEvent{m.now + d, m.born, do})
}

// advance moves the clock; what is due happens, in order.
func (m *model) advance(d time.Duration) {
	until := m.now + d
	for len(m.queue) > 0 && m.queue[0].at <= until {
		e := heap.Pop(&m.queue).(modelEvent)
		m.now = e.at
		e.do()
	}
	m.now = until
	for _, p := range m.gm.members {
		p.expire(m.now)
	}
}

// logf keeps the last steps for a failure's report.
func (m *model) logf(format string, args ...any) {
	if len(m.trace) >= 400 {
		m.trace = slices.Delete(m.trace, 0, 200)
	}
	m.trace = append(m.trace, fmt.Sprintf("%5d %v ", m.step, m.now.Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	last := m.trace[max(0, len(m.trace)-60):]
	m.t.Fatalf("%s\n\n%s, step %d: %s\nrepeat with LAMPLIGHTER_SEED=%d go test -run '%s'",
		strings.Join(last, "\n"), m.c.name, m.step, fmt.Sprintf(format, args...), m.seed, m.t.Name())
}

// modelManager is the Group Manager. It gives no Gid twice, and no Sender ID
// twice under one Gid. RFC 10021, Section 12.2.1.
type modelManager struct {
	cred    []byte
	epochs  []*modelEpoch
	members []*modelNode // in the order of joining
	kid     map[*modelNode]string
}

// modelEpoch is what the Group Manager distributes.
type modelEpoch struct {
	number            int
	gid, secret, salt []byte
	used              map[string]bool // Sender IDs that were given out under this Gid
}

// modelEntry says whose a Sender ID is.
type modelEntry struct {
	kid string
	who *modelPerson
}

func (g *modelManager) current() *modelEpoch { return g.epochs[len(g.epochs)-1] }

// roster is who is in the group now.
func (g *modelManager) roster() []modelEntry {
	var roster []modelEntry
	for _, p := range g.members {
		roster = append(roster, modelEntry{g.kid[p], p.person})
	}
	return roster
}

// owner returns the member that has a Sender ID now.
func (g *modelManager) owner(kid string) *modelNode {
	for _, p := range g.members {
		if g.kid[p] == kid {
			return p
		}
	}
	return nil
}

// newEpoch makes a new Gid and secret. Most members keep their Sender IDs;
// others, and who comes later, may get one that was someone else's before.
func (m *model) newEpoch() *modelEpoch {
	e := &modelEpoch{number: len(m.gm.epochs), secret: m.bytes(16), used: map[string]bool{}}
	e.gid = append(m.bytes(m.rng.IntN(4)), byte(e.number>>8), byte(e.number))
	if m.chance(0.5) {
		e.salt = m.bytes(8)
	}
	m.gm.epochs = append(m.gm.epochs, e)
	var renamed []*modelNode
	for _, p := range m.gm.members {
		if m.chance(0.85) {
			e.used[m.gm.kid[p]] = true
		} else {
			renamed = append(renamed, p)
		}
	}
	for _, p := range renamed {
		m.gm.kid[p] = m.newKID()
	}
	return e
}

// hasKIDs says whether Sender IDs are left under the current Gid.
func (m *model) hasKIDs() bool { return len(m.gm.current().used) < 24 }

// newKID draws a Sender ID that nobody had under the current Gid. They are few,
// so that they come again under other Gids, and of several lengths.
func (m *model) newKID() string {
	e := m.gm.current()
	for {
		n := m.rng.IntN(64)
		kid := string(byte(n % 16))
		switch n / 16 {
		case 1:
			kid = "\x00" + kid
		case 2:
			kid += "\x00\x07"
		case 3:
			kid = ""
		}
		if !e.used[kid] {
			e.used[kid] = true
			return kid
		}
	}
}

// rekey makes a new epoch and sends it to all members. RFC 10021, Section 12.2.
func (m *model) rekey() {
	e := m.newEpoch()
	m.logf("rekey to %d", e.number)
	roster := m.gm.roster()
	for _, p := range m.gm.members {
		m.sendKeys(p, e, roster)
	}
}

// sendKeys sends the keys of an epoch until they arrive or are overtaken.
func (m *model) sendKeys(p *modelNode, e *modelEpoch, roster []modelEntry) {
	m.after(m.delay()*4, func() {
		switch {
		case !p.in || p.view.epoch.number >= e.number:
		case m.chance(2 * m.link.loss):
			m.sendKeys(p, e, roster)
		default:
			m.install(p, e, roster)
		}
	})
}

// delay is how long the link takes: mostly milliseconds, at times seconds.
func (m *model) delay() time.Duration {
	most := 150 * time.Millisecond
	if m.chance(m.link.slow) {
		most = 10 * time.Second
	}
	return time.Millisecond + time.Duration(m.rng.Int64N(int64(most)))
}

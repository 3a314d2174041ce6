package group

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/oscore"
)

// modelPerson is an endpoint: a credential and an address. It stays who it is
// over reboots, and when it leaves and joins again.
type modelPerson struct {
	id       int
	key      cose.PrivateKey
	cred     []byte
	node     *modelNode   // its membership; nil: it is not in the group
	accepted map[int]bool // serials of the messages that its application was given
}

// modelNode is one membership of a person: the implementation, and beside it
// what the model knows of its state.
type modelNode struct {
	person *modelPerson
	in     bool // until it leaves; what it keeps then is the adversary's
	window int
	disk   *modelDisk

	member *Member
	view   *modelView   // of the current context
	held   []*modelView // of earlier contexts with open exchanges

	tokens  uint32
	asked   []*modelAsked
	serving []*modelServing
}

// modelDisk is where a member's sequence numbers are reserved; at times it fails.
type modelDisk struct {
	m      *model
	mark   uint64
	failed bool // when it was asked last
}

func (d *modelDisk) Reserve(mark uint64) error {
	if d.failed = d.m.chance(d.m.link.loss); d.failed {
		return errModelDisk
	}
	d.mark = max(d.mark, mark)
	return nil
}

func (d *modelDisk) Ahead(mark uint64) {
	if d.m.chance(0.5) {
		d.mark = max(d.mark, mark)
	}
}

func (m *model) newPerson() *modelPerson {
	p := &modelPerson{id: len(m.people), accepted: map[int]bool{}}
	if m.c.p256 {
		for p.key == nil {
			p.key, _ = p256.NewKey(m.bytes(32))
		}
	} else {
		p.key = cose.NewEd25519(ed25519.NewKeyFromSeed(m.bytes(ed25519.SeedSize)))
	}
	p.cred = p.key.Public().CCS(string(rune('a' + p.id%26)))
	m.people = append(m.people, p)
	return p
}

// context makes the context of p in an epoch.
func (m *model) context(p *modelNode, e *modelEpoch, kid string, edit func(*Params)) *Context {
	params := Params{
		Name: "hall", GID: e.gid, MasterSecret: e.secret, MasterSalt: e.salt, Algs: m.c.algs, GMCred: m.gm.cred,
		SenderID: []byte(kid), Cred: p.person.cred, Key: p.person.key,
		Sequence: oscore.NewSequence(p.disk.mark, p.disk), WindowSize: p.window, Rand: m.source,
	}
	if edit != nil {
		edit(&params)
	}
	c, err := New(params)
	if err != nil {
		m.fatalf("making a context: %v", err)
	}
	return c
}

// newDisk is for a new Sender Context. At times its numbers are nearly spent.
func (m *model) newDisk() *modelDisk {
	d := &modelDisk{m: m}
	if m.chance(0.03) {
		d.mark = modelSpent - 300
	}
	return d
}

// use makes a context and its view the current ones.
func (m *model) use(p *modelNode, c *Context, v *modelView, again bool, roster []modelEntry) {
	v.next = int64(p.disk.mark)
	v.peers = map[string]*modelPeer{}
	if !again {
		p.member, p.held = NewMember(c), nil
	}
	for _, entry := range roster {
		m.setPeer(c, v, entry)
	}
	if again {
		p.member.Rekey(c)
		if p.view.epoch != v.epoch {
			p.held = append(p.held, p.view)
		}
	}
	p.view = v
	for _, old := range p.held {
		old.purge(v)
	}
	p.release()
}

func (p *modelNode) String() string { return fmt.Sprintf("%d", p.person.id) }

// install takes up the keys of an epoch: all windows start anew. RFC 10021,
// Section 2.6.3.2.
func (m *model) install(p *modelNode, e *modelEpoch, roster []modelEntry) {
	var kid string
	for _, entry := range roster {
		if entry.who == p.person {
			kid = entry.kid
		}
	}
	p.disk = m.newDisk()
	m.logf("%v installs epoch %d as %x", p, e.number, kid)
	m.use(p, m.context(p, e, kid, nil), &modelView{epoch: e, kid: kid}, p.member != nil, roster)
}

// setPeer gives a member the credential of another.
func (m *model) setPeer(c *Context, v *modelView, entry modelEntry) {
	if err := c.SetPeer(Peer{KID: []byte(entry.kid), Cred: entry.who.cred}); err != nil {
		m.fatalf("adding a peer: %v", err)
	}
	if entry.kid == v.kid || v.peers[entry.kid] != nil {
		return
	}
	if old := v.restored[entry.kid]; old != nil {
		delete(v.restored, entry.kid)
		v.peers[entry.kid] = old
		return
	}
	v.peers[entry.kid] = newModelPeer(entry.who, !v.lossy)
}

// carry is the view of a member that keeps its epoch but not its memory: the
// windows that are stored are what it has, all others are invalid.
func (m *model) carry(p *modelNode, stored map[string]oscore.WindowState, kid string) *modelView {
	v := &modelView{epoch: p.view.epoch, kid: kid, lossy: true, restored: map[string]*modelPeer{}}
	if stored == nil {
		return v
	}
	for from, peer := range p.view.peers {
		if peer.valid && peer.high >= 0 {
			peer := *peer
			peer.challenges, peer.proven = nil, true
			v.restored[from] = &peer
		}
	}
	maps.Copy(v.restored, p.view.restored)
	if !slices.Equal(slices.Sorted(maps.Keys(stored)), slices.Sorted(maps.Keys(v.restored))) {
		m.fatalf("%v has windows of %x to store, and should have of %x", p,
			slices.Sorted(maps.Keys(stored)), slices.Sorted(maps.Keys(v.restored)))
	}
	return v
}

// reboot restarts a member: its exchanges are gone, and its windows if it was a
// crash. Its sequence goes on at the durable mark. RFC 8613, Appendix B.1.
func (m *model) reboot(p *modelNode, orderly bool) {
	m.logf("%v reboots, orderly: %v", p, orderly)
	var stored map[string]oscore.WindowState
	if orderly {
		stored = p.member.Current().Windows()
	}
	p.endExchanges()
	v := m.carry(p, stored, p.view.kid)
	c := m.context(p, v.epoch, v.kid, func(params *Params) { params.Windows, params.EchoFirst = stored, true })
	m.use(p, c, v, false, m.remembered(p))
}

// remembered are the credentials that a member has stored, but for some.
func (m *model) remembered(p *modelNode) []modelEntry {
	var entries []modelEntry
	for _, kid := range slices.Sorted(maps.Keys(p.view.peers)) {
		if m.chance(0.8) {
			entries = append(entries, modelEntry{kid, p.view.peers[kid].who})
		}
	}
	return entries
}

// lose lets a member lose everything, so that it joins again under a new Sender
// ID. RFC 10021, Section 2.6.1.1, lets its windows be valid; within one epoch a
// group request would then be new to it a second time, so they are not.
func (m *model) lose(p *modelNode) {
	m.gm.kid[p] = m.newKID()
	p.endExchanges()
	p.disk = m.newDisk()
	v := &modelView{epoch: m.gm.current(), kid: m.gm.kid[p], lossy: true}
	m.logf("%v lost everything and is %x", p, v.kid)
	c := m.context(p, v.epoch, v.kid, func(params *Params) { params.EchoFirst = true })
	m.use(p, c, v, false, m.gm.roster())
}

// rename gives a member a new Sender ID under the current Gid; it keeps its
// windows and its exchanges. RFC 10021, Section 2.6.3.1.
func (m *model) rename(p *modelNode) {
	m.gm.kid[p] = m.newKID()
	if p.view.epoch != m.gm.current() {
		m.install(p, m.gm.current(), m.gm.roster())
		return
	}
	old := p.view
	p.disk = m.newDisk()
	v := &modelView{epoch: old.epoch, kid: m.gm.kid[p], lossy: old.lossy}
	m.logf("%v is %x now", p, v.kid)
	m.use(p, m.context(p, v.epoch, v.kid, nil), v, true, m.gm.roster())
	for kid, peer := range old.peers {
		if v.peers[kid] != nil {
			v.peers[kid] = peer
		} else if peer.proven {
			v.lossy = true // a window is gone
		}
	}
	v.restored = map[string]*modelPeer{}
	for kid, peer := range old.restored {
		if v.peers[kid] != nil {
			v.peers[kid] = peer
		} else {
			v.restored[kid] = peer
		}
	}
}

// join takes in someone new, or someone who left, with the old credential.
func (m *model) join() {
	var person *modelPerson
	for _, p := range m.people {
		if p.node == nil && m.chance(0.3) {
			person = p
		}
	}
	if person == nil {
		person = m.newPerson()
	}
	p := &modelNode{person: person, in: true, window: pick(m, []int{0, 0, 1, 8, 64})}
	person.node = p
	m.gm.members = append(m.gm.members, p)
	m.gm.kid[p] = m.newKID()
	m.install(p, m.gm.current(), m.gm.roster())
}

// leave takes a member out; the group is always rekeyed then. RFC 10021, Section
// 12.2.
func (m *model) leave(p *modelNode) {
	m.logf("%v leaves", p)
	p.in, p.person.node = false, nil
	m.gm.members = slices.DeleteFunc(m.gm.members, func(other *modelNode) bool { return other == p })
	delete(m.gm.kid, p)
	m.ghosts = append(m.ghosts, p)
	m.rekey()
}

// forget lets a member delete a Recipient Context for want of memory. RFC 10021,
// Section 2.6.1.2.
func (m *model) forget(p *modelNode) {
	kids := slices.Sorted(maps.Keys(p.view.peers))
	if len(kids) == 0 {
		return
	}
	kid := pick(m, kids)
	if m.chance(0.3) {
		m.discard(p, kid) // which does it only to who never got through
		return
	}
	m.logf("%v forgets %x", p, kid)
	p.member.Current().RemovePeer([]byte(kid))
	delete(p.view.peers, kid)
	p.view.lossy = true
}

// fetchPeer asks the Group Manager for a credential, and reports whether the
// member knows more now. To one who is behind it gives the current keys.
func (m *model) fetchPeer(p *modelNode, kid string) bool {
	if p.view.epoch != m.gm.current() {
		return m.fetchKeys(p)
	}
	owner := m.gm.owner(kid)
	switch {
	case owner == nil || owner == p:
		m.counts[noMember]++
	case m.chance(m.link.loss / 2):
		m.counts[unreachable]++
	default:
		m.setPeer(p.member.Current(), p.view, modelEntry{kid, owner.person})
		return true
	}
	return false
}

// fetchKeys asks the Group Manager for the current keys.
func (m *model) fetchKeys(p *modelNode) bool {
	if m.chance(m.link.loss / 2) {
		m.counts[unreachable]++
		return false
	}
	if p.view.epoch == m.gm.current() {
		m.fatalf("%v has the latest keys", p)
	}
	m.install(p, m.gm.current(), m.gm.roster())
	return true
}

// fetchClaimed fetches, for a message that is not what it says, the credential of
// the Sender ID that it names.
func (m *model) fetchClaimed(p *modelNode, want verdict, err error) (kid string, ok bool) {
	unknown, ok := errors.AsType[*UnknownPeerError](err)
	if !ok || want == needsCredential || !bytes.Equal(unknown.GID, p.view.epoch.gid) || p.view.epoch != m.gm.current() || m.gm.owner(string(unknown.KID)) == nil {
		return "", false
	}
	kid = string(unknown.KID)
	return kid, m.fetchPeer(p, kid)
}

// discard takes the credential back, which costs nobody's window. RFC 10021,
// Section 2.6.1.2.
func (m *model) discard(p *modelNode, kid string) {
	peer := p.view.peers[kid]
	if peer == nil {
		return
	}
	if p.member.Current().Discard([]byte(kid)) == peer.proven {
		m.fatalf("%v discards %x, of whom a message verified: %v", p, kid, peer.proven)
	}
	if !peer.proven {
		delete(p.view.peers, kid)
	}
}

// expire ends the exchanges whose time is over.
func (p *modelNode) expire(now time.Duration) {
	p.asked = slices.DeleteFunc(p.asked, func(x *modelAsked) bool {
		if x.until < now {
			p.member.Close(x.b)
		}
		return x.until < now
	})
	p.serving = slices.DeleteFunc(p.serving, func(x *modelServing) bool {
		if x.until < now {
			x.over = true
			p.member.Close(x.b)
		}
		return x.over
	})
	p.release()
}

// endExchanges is what a restart does to them.
func (p *modelNode) endExchanges() {
	for _, x := range p.serving {
		x.over = true
	}
	p.asked, p.serving = nil, nil
}

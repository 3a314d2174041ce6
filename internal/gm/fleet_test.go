package gm

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

var manyAddr = netip.MustParseAddrPort("224.0.1.187:5684")

// fleet is a Group Manager with members that it reaches over a network.
type fleet struct {
	*line
	lamps []*lamp
	next  map[string]time.Time // of groups that wait
}

func newFleet(t testing.TB, group GroupConfig, edits ...func(*Config)) *fleet {
	t.Helper()
	net := sim.NewNetwork(7)
	edits = append([]func(*Config){func(c *Config) {
		c.Exchange, c.Pace = net.From(gmAddr), 1
		c.ControlURI = func(string, string) bool { return true }
	}}, edits...)
	f := &fleet{line: &line{newEmptyWorld(t, edits...), net}, next: map[string]time.Time{}}
	net.Attach(gmAddr, f.s.Handler())
	group.Name = testGroup
	if err := f.s.CreateGroup(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	return f
}

// lamp is a member in few lines: it takes what the Group Manager tells it.
type lamp struct {
	f       *fleet
	subject string
	addr    netip.AddrPort
	key     ed25519.PrivateKey
	cred    []byte
	claims  *ace.CWTClaims
	assoc   *join.Association
	srv     *oscore.Server
	gm      coap.Caller
	client  *join.Member
	seq     uint64

	mu      sync.Mutex
	m       *join.Membership
	mat     *ace.MgtKeyMaterial
	heard   []*ace.RekeyingMessage // what came, new or not
	ways    map[string]int         // how it came
	ended   string
	refuses bool
}

func lampAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 2, byte(i >> 8), byte(i)}), 5683)
}

// lampKind says how a lamp wants to be told.
type lampKind struct {
	control, observe bool
	actor            string
	roles            ace.Role
	life             time.Duration
}

var controlled = lampKind{control: true}

// add joins a new lamp.
func (f *fleet) add(k lampKind) *lamp {
	f.t.Helper()
	i := len(f.lamps)
	l := &lamp{f: f, subject: fmt.Sprintf("lamp%d", i), addr: lampAddr(i), ways: map[string]int{}}
	l.key = newKey(f.rand)
	l.cred = cose.NewCCS(l.subject, l.key.Public().(ed25519.PublicKey))
	f.lamps = append(f.lamps, l)
	f.net.Attach(l.addr, coap.HandlerFunc(l.serve))
	f.net.JoinGroup(manyAddr, l.addr)
	l.connect(k)
	l.join(k)
	return l
}

// connect transfers a token for the lamp.
func (l *lamp) connect(k lampKind) {
	l.f.t.Helper()
	if k.roles == 0 {
		k.roles = both
	}
	l.claims = l.f.claims(l.subject, scope(testGroup, k.roles))
	l.claims.Actor = k.actor
	if k.life != 0 {
		l.claims.EXP = uint64(l.f.clock().Add(k.life).Unix())
	}
	a, err := join.Transfer(l.f.t.Context(), l.f.net.From(l.addr), gmAddr, l.f.seal(l.claims), []byte{0xa1}, l.f.rand)
	if err != nil {
		l.f.t.Fatal(err)
	}
	c, err := a.Context(oscore.NewSequence(0, nil))
	if err != nil {
		l.f.t.Fatal(err)
	}
	l.assoc, l.srv = a, oscore.NewServer(l.f.rand)
	l.srv.Add("gm", nil, c)
	l.gm = l.srv.Caller("gm", l.f.net.From(l.addr), gmAddr)
}

// join joins over the association that there is now.
func (l *lamp) join(k lampKind) *ace.JoinResponse {
	l.f.t.Helper()
	if k.roles == 0 {
		k.roles = both
	}
	p := l.f.self(&node{subject: l.subject, key: l.key, cred: l.cred}, k.roles, l.assoc.NS)
	p.GetCreds = len(l.f.lamps) < 100 // or joining would take longer than what is tested
	if k.control {
		p.ControlURI = fmt.Sprintf("coap://%v/ace-group/%s/node", l.addr, testGroup)
	}
	m, answer, err := join.Self(l.f.t.Context(), l.gm, p)
	if err != nil {
		l.f.t.Fatal(err)
	}
	raw, err := ace.Decode[ace.JoinResponse](answer.Raw)
	if err != nil {
		l.f.t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.m, l.ended, l.client = m, "", join.NewMember(l.gm, testGroup, m.NodePath)
	l.takeMaterial(raw.MgtKeyMaterial)
	return raw
}

func (l *lamp) takeMaterial(raw []byte) {
	if raw == nil {
		return
	}
	mat, err := ace.Decode[ace.MgtKeyMaterial](raw)
	if err != nil {
		l.f.t.Error(err)
		return
	}
	l.mat = mat
}

// serve takes what comes to the lamp's socket.
func (l *lamp) serve(ctx context.Context, req *coap.Request) *coap.Message {
	if req.Multicast {
		l.many(req)
		return nil
	}
	return coap.Secure(coap.HandlerFunc(l.control), l.srv).Serve(ctx, req)
}

func (l *lamp) control(_ context.Context, req *coap.Request) *coap.Message {
	if req.Peer.Kind != coap.PeerACE || coap.Path(req.Message) != "/ace-group/hall/node" {
		return coap.Problem(coap.Unauthorized, "")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuses {
		return coap.Problem(coap.ServiceUnavailable, "")
	}
	if req.Code == coap.DELETE {
		l.ended = "DELETE"
		return coap.Respond(coap.Deleted, coap.NoFormat, nil)
	}
	c, err := ace.ParseControl(req.Payload)
	if err != nil {
		l.f.t.Error("a control message:", err)
		return coap.Problem(coap.BadRequest, "")
	}
	if c.Kind == ace.ControlDeleted {
		l.ended = "deleted"
	} else if c.Kind == ace.ControlRekeying {
		l.take("post", c.Rekeying)
	}
	return coap.Respond(coap.Changed, coap.NoFormat, nil)
}

// many opens a message for many.
func (l *lamp) many(req *coap.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mat == nil || l.ended != "" {
		return
	}
	gm, err := cose.ParseCCS(l.m.GMCred)
	if err != nil {
		l.f.t.Error(err)
		return
	}
	_, payload, err := l.mat.OpenOneToMany(testGroup, req.Payload, &gm)
	if err != nil {
		l.ways[errName(err)]++
		return
	}
	msg, err := ace.Decode[ace.RekeyingMessage](payload)
	if err != nil {
		l.f.t.Error(err)
		return
	}
	l.take("many", msg)
}

func errName(err error) string {
	for _, e := range []error{ace.ErrStale, ace.ErrGeneration, ace.ErrNotCovered, cose.ErrVerify} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return "else"
}

// take installs keys. It is called with l.mu held.
func (l *lamp) take(how string, msg *ace.RekeyingMessage) {
	l.heard = append(l.heard, msg)
	l.ways[how]++
	next, _, news, err := l.m.Hear(&ace.Control{Kind: ace.ControlRekeying, Rekeying: msg})
	if err != nil {
		l.f.t.Errorf("%s: %v", l.subject, err)
		return
	}
	if news == join.NewKeys || news == join.MissedKeys {
		l.m = next
	}
	if msg.MgtKeyMaterial != nil {
		l.takeMaterial(msg.MgtKeyMaterial)
	} else if l.mat != nil && l.m.Num > l.mat.Num {
		if mat, err := l.mat.Advance(l.m.Num); err == nil {
			l.mat = mat
		} else {
			l.f.t.Errorf("%s: %v", l.subject, err)
		}
	}
}

// observe registers for a resource over the lamp's association; what comes is sent
// to the channel.
func (l *lamp) observe(path string) chan *coap.Message {
	l.f.t.Helper()
	news := make(chan *coap.Message, 64)
	l.reset()
	c := oscore.NewClient(l.context(), l.f.net.From(l.addr), gmAddr)
	l.reset()
	ctx, cancel := context.WithCancel(context.Background())
	l.f.t.Cleanup(cancel)
	req := coap.NewRequest(coap.GET, path, nil)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	_, err := c.Observe(ctx, req, func(m *coap.Message, err error) {
		if err == nil {
			news <- m
		}
	})
	if err != nil {
		l.f.t.Fatal(err)
	}
	return news
}

// reset makes another context of the lamp's association, whose numbers come after
// those of all before.
func (l *lamp) reset() { l.srv.Add("gm", nil, l.context()) }

func (l *lamp) context() *oscore.Context {
	l.f.t.Helper()
	l.seq += 1 << 12
	c, err := l.assoc.Context(oscore.NewSequence(l.seq, nil))
	if err != nil {
		l.f.t.Fatal(err)
	}
	return c
}

// get waits for what an observation brings.
func (f *fleet) get(news chan *coap.Message) *coap.Message {
	f.t.Helper()
	select {
	case m := <-news:
		return m
	case <-time.After(30 * time.Second):
		f.t.Fatal("no notification")
		return nil
	}
}

// quiet checks that nothing comes.
func (f *fleet) quiet(news chan *coap.Message) {
	f.t.Helper()
	select {
	case m := <-news:
		f.t.Errorf("a notification: %v", m)
	case <-time.After(20 * time.Millisecond):
	}
}

// work does what is due now.
func (f *fleet) work() error {
	for _, name := range f.s.jobs.take() {
		f.next[name] = time.Time{}
	}
	var failed error
	for name, at := range f.next {
		if at.After(f.clock()) {
			continue
		}
		delete(f.next, name)
		next, err := f.s.advance(f.t.Context(), name)
		failed = errors.Join(failed, err)
		if !next.IsZero() {
			f.next[name] = next
		}
	}
	return failed
}

// settle lets time pass until nothing is left to be done.
func (f *fleet) settle() {
	f.t.Helper()
	for range 200 {
		if err := f.work(); err != nil {
			f.t.Fatal(err)
		}
		soonest := time.Time{}
		f.s.jobs.mu.Lock()
		more := len(f.s.jobs.due) > 0
		f.s.jobs.mu.Unlock()
		for _, at := range f.next {
			soonest = sooner(soonest, at)
		}
		if more {
			continue
		}
		if soonest.IsZero() {
			return
		}
		if d := soonest.Sub(f.clock()); d > 0 {
			f.pass(d)
		}
	}
	f.t.Error("it never ends")
}

// inStep checks that a lamp has the group's keys.
func (f *fleet) inStep(l *lamp) {
	f.t.Helper()
	g := f.group()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m.Num != g.Num || string(l.m.GID) != string(g.GID) || string(l.m.MasterSecret) != string(g.MasterSecret) {
		f.t.Errorf("%s has version %d, the group %d", l.subject, l.m.Num, g.Num)
	}
}

// behind checks that a lamp does not have the group's keys, nor ever was told them.
func (f *fleet) behind(l *lamp) {
	f.t.Helper()
	g := f.group()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, msg := range l.heard {
		if string(msg.Key.MasterSecret) == string(g.MasterSecret) {
			f.t.Errorf("%s was told the keys of version %d", l.subject, g.Num)
		}
	}
	if string(l.m.MasterSecret) == string(g.MasterSecret) {
		f.t.Errorf("%s has the keys of version %d", l.subject, g.Num)
	}
}

func (f *fleet) progress() Progress {
	f.t.Helper()
	p, err := f.s.Progress(f.t.Context(), testGroup)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fleet) evict(nodes ...string) {
	f.t.Helper()
	if err := f.s.Evict(f.t.Context(), testGroup, nodes...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) rekey() {
	f.t.Helper()
	if err := f.s.Rekey(f.t.Context(), testGroup, "test"); err != nil {
		f.t.Fatal(err)
	}
}

// stored reads a record of the test group.
func stored[T any](f *fleet, key string) *T {
	f.t.Helper()
	var v *T
	if err := f.store.View(f.t.Context(), func(tx store.Tx) (err error) {
		v, err = load[T](tx, key)
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return v
}

// renewed begins a new tree, as a rekeying does that cannot go on with the old one.
func (f *fleet) renewed(tx store.Tx, g *groupRecord) error {
	if g.Tree == nil {
		return f.s.renewTree(tx, g)
	}
	for leaf := range uint32(maxBurnt + 1) {
		g.Tree.Burnt = append(g.Tree.Burnt, 1<<19+leaf)
	}
	return f.s.rekey(tx, g, cause{reason: "test"})
}

func (f *fleet) period(d time.Duration) func(store.Tx, *groupRecord) error {
	return func(_ store.Tx, g *groupRecord) error {
		g.Period = uint64(d / time.Second)
		return nil
	}
}

// behindOf counts the members without the newest keys; one was evicted.
func (f *fleet) behindOf(evicted int) (n int) {
	num := f.group().Num
	for i, l := range f.lamps {
		l.mu.Lock()
		if i != evicted && l.m.Num != num {
			n++
		}
		l.mu.Unlock()
	}
	return n
}

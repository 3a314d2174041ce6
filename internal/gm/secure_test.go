package gm

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

var clientAddr = netip.MustParseAddrPort("127.1.0.1:5683")

// line is a world whose clients come over a network, protected.
type line struct {
	*world
	net *sim.Network
}

func newLine(t testing.TB, edits ...func(*Config)) *line {
	l := &line{newWorld(t, edits...), sim.NewNetwork(1)}
	l.net.Attach(gmAddr, l.s.Handler())
	return l
}

// reboot restarts the Group Manager behind its address.
func (l *line) reboot() {
	l.restart()
	l.net.Attach(gmAddr, l.s.Handler())
}

// connect transfers a token over the network and protects what follows.
func (l *line) connect(tok *ace.TokenResponse, id1 []byte) (*join.Association, *oscore.Client) {
	l.t.Helper()
	ex := l.net.From(clientAddr)
	a, err := join.Transfer(l.t.Context(), ex, gmAddr, tok, id1, l.rand)
	if err != nil {
		l.t.Fatal(err)
	}
	return a, l.client(a)
}

func (l *line) client(a *join.Association) *oscore.Client {
	l.t.Helper()
	c, err := a.Context(oscore.NewSequence(a.NextSSN, nil))
	if err != nil {
		l.t.Fatal(err)
	}
	return oscore.NewClient(c, l.net.From(clientAddr), gmAddr)
}

func (l *line) joinOver(subject string) *admitted {
	l.t.Helper()
	n := l.node(subject)
	a, gm := l.connect(l.seal(l.claims(subject, scope(testGroup, both))), []byte{})
	m, answer, err := join.Self(l.t.Context(), gm, l.self(n, both, a.NS))
	if err != nil {
		l.t.Fatal(err)
	}
	return &admitted{n, a, nil, m, answer, join.NewMember(gm, testGroup, m.NodePath)}
}

func TestProtectedJoin(t *testing.T) {
	l := newLine(t)
	a, b := l.joinOver("a"), l.joinOver("b")
	if len(b.m.Peers) != 1 || string(b.m.Peers[0].Cred) != string(a.cred) {
		t.Errorf("b's peers %+v", b.m.Peers)
	}
	if num, err := a.client.Num(t.Context()); err != nil || num != 0 {
		t.Errorf("num %d %v", num, err)
	}
	if err := a.client.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := a.client.Num(t.Context()); !errors.Is(err, join.ErrNotMember) {
		t.Errorf("after leaving: %v", err)
	}
}

// A client loses no association to a reboot of the Group Manager, and what was
// recorded before it does nothing after it.
func TestReboot(t *testing.T) {
	l := newLine(t)
	var last []byte
	l.net.Record = func(d sim.Datagram) {
		if d.Kind == sim.Request {
			last = d.Bytes
		}
	}
	a, b := l.joinOver("a"), l.joinOver("b")
	for range 5 {
		l.reboot()
		if _, err := a.client.Num(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.client.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	renewal, before := last, l.members()
	l.net.Inject(t.Context(), clientAddr, gmAddr, renewal, false)
	l.reboot()
	l.net.Inject(t.Context(), clientAddr, gmAddr, renewal, false)
	if after := l.members(); string(after[1].SenderID) != string(before[1].SenderID) {
		t.Error("a replayed renewal took effect")
	}
}

// However often the Group Manager restarts, its challenges never take a Partial
// IV twice.
func TestChallengesNeverRepeat(t *testing.T) {
	l := newLine(t)
	a := l.joinOver("a")
	var challenges []string
	l.net.Record = func(d sim.Datagram) {
		if d.Kind != sim.Response {
			return
		}
		m, err := coap.UnmarshalUDP(d.Bytes)
		if err != nil {
			t.Error(err)
			return
		}
		if piv := coap.GetOption(m, coap.OptionOSCORE); len(piv) > 0 {
			challenges = append(challenges, string(piv))
		}
	}
	const restarts = 6
	for range restarts {
		l.reboot()
		if _, err := a.client.Num(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, c := range challenges {
		if seen[c] {
			t.Errorf("OSCORE option %x twice", c)
		}
		seen[c] = true
	}
	if len(seen) != restarts {
		t.Errorf("%d challenges for %d restarts", len(seen), restarts)
	}
}

func TestExpiredTokenUnprotected(t *testing.T) {
	l := newLine(t)
	a := l.joinOver("a")
	l.pass(time.Hour)
	for range 2 { // the second finds no context
		_, err := a.client.Num(t.Context())
		var u *oscore.UnprotectedError
		if !errors.Is(err, join.ErrNoToken) || !errors.As(err, &u) || u.Response.Code != coap.Unauthorized {
			t.Errorf("%v, want an unprotected 4.01", err)
		}
	}
	// A new token for the same subject, and it is the member that it was.
	again, gm := l.connect(l.seal(l.claims("a", scope(testGroup, both))), []byte{2})
	m, answer, err := join.Self(t.Context(), gm, l.self(a.node, both, again.NS))
	if err != nil || !answer.Rejoined || m.NodePath != a.m.NodePath {
		t.Errorf("%+v %v", answer, err)
	}
}

// 36 over the line: the old association answers until the new one is used.
func TestRepostOverTheLine(t *testing.T) {
	l := newLine(t)
	tok := l.seal(l.claims("a", scope(testGroup, both)))
	assoc, gm := l.connect(tok, []byte{1})
	n := l.node("a")
	m, _, err := join.Self(t.Context(), gm, l.self(n, both, assoc.NS))
	if err != nil {
		t.Fatal(err)
	}
	old := join.NewMember(gm, testGroup, m.NodePath)
	_, gm2 := l.connect(tok, []byte{1})
	if _, err := old.Num(t.Context()); err != nil {
		t.Errorf("the old association before the new one is used: %v", err)
	}
	if _, err := join.NewMember(gm2, testGroup, m.NodePath).Num(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := old.Num(t.Context()); !errors.Is(err, join.ErrNoToken) {
		t.Errorf("the old association afterwards: %v", err)
	}
	l.reboot()
	if _, err := join.NewMember(gm2, testGroup, m.NodePath).Num(t.Context()); err != nil {
		t.Errorf("the new one after a reboot: %v", err)
	}
}

// Over a link that loses and repeats, everybody becomes a member once.
func TestJoinsOverABadLink(t *testing.T) {
	l := newLine(t)
	l.net.SetFaults(sim.Faults{Loss: 0.2, Dup: 0.2})
	for _, subject := range []string{"a", "b", "c", "d"} {
		n := l.node(subject)
		tok := l.seal(l.claims(subject, scope(testGroup, both)))
		joined := false
		for try := 0; try < 20 && !joined; try++ {
			a, err := join.Transfer(t.Context(), l.net.From(clientAddr), gmAddr, tok, []byte{1}, l.rand)
			if err != nil {
				continue
			}
			_, _, err = join.Self(t.Context(), l.client(a), l.self(n, both, a.NS))
			joined = err == nil
		}
		if !joined {
			t.Errorf("%s never joined", subject)
		}
	}
	if m := l.members(); len(m) != 4 {
		t.Errorf("%d members, want 4", len(m))
	}
}

// An assisted join: the installer's browser carries, the device proves and then
// talks by itself.
func TestAssistedJoin(t *testing.T) {
	l := newLine(t)
	installer := l.joinOver("anna")
	dev := l.node("000b57fffe401ac2")

	// The device offers; the browser gets a token for it and transfers it.
	id1, offer := []byte{9}, join.NewOffer(testGroup, ace.RoleResponder, dev.cred, l.rand)
	c := l.claims(dev.subject, scope(testGroup, ace.RoleResponder))
	c.CredThumbprint, c.Actor = thumbprint(dev.cred), "anna"
	assoc, err := join.Transfer(t.Context(), l.net.From(clientAddr), gmAddr, l.seal(c), id1, l.rand)
	if err != nil {
		t.Fatal(err)
	}
	seq := oscore.NewSequence(0, nil)
	octx, err := assoc.Context(seq)
	if err != nil {
		t.Fatal(err)
	}
	// The device signs; the browser joins for it and hands everything over.
	proof := offer.Prove(dev.key, assoc.NS)
	answer, err := join.Join(t.Context(), oscore.NewClient(octx, l.net.From(clientAddr), gmAddr), testGroup, offer.Request(proof, true))
	if err != nil {
		t.Fatal(err)
	}
	assoc.NextSSN = seq.Stop()
	m, err := join.Accept(answer.Raw, offer.NC, l.cfg.Credential)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Peers) != 1 || string(m.Peers[0].Cred) != string(installer.cred) {
		t.Errorf("the device's peers %+v", m.Peers)
	}
	own := join.NewMember(l.client(assoc), testGroup, answer.NodePath)
	if _, err := own.Num(t.Context()); err != nil {
		t.Errorf("the device's own request: %v", err)
	}
	peers, _, err := installer.client.Creds(t.Context(), [][]byte{m.SenderID})
	if err != nil || len(peers) != 1 || string(peers[0].Cred) != string(dev.cred) {
		t.Errorf("the installer's view %+v %v", peers, err)
	}
}

// The store is all that survives.
func TestAssociationsAreDurable(t *testing.T) {
	l := newLine(t)
	assoc, gm := l.connect(l.seal(l.claims("a", scope(testGroup, both))), []byte{1})
	l.reboot() // between the token and the join
	m, _, err := join.Self(t.Context(), gm, l.self(l.node("a"), both, assoc.NS))
	if err != nil {
		t.Fatal(err)
	}
	l.reboot()
	if _, err := join.NewMember(gm, testGroup, m.NodePath).Keys(t.Context(), m); err != nil {
		t.Error(err)
	}
	_ = l.store.View(t.Context(), func(tx store.Tx) error {
		n := 0
		err := eachAssociation(tx, func(*associationRecord) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d associations %v", n, err)
		}
		return nil
	})
}

// A path with an empty segment leads nowhere: not past the checks, not to the
// own node.
func TestEmptySegments(t *testing.T) {
	w := newWorld(t)
	a := w.join("a", both)
	for _, path := range [][]string{{"ace-group", ""}, {"ace-group", "", "num"}, {"ace-group", testGroup, "nodes", ""}} {
		for _, method := range []coap.Code{coap.GET, coap.POST, coap.FETCH, coap.DELETE} {
			m := &coap.Message{Code: method}
			for _, s := range path {
				coap.AddOption(m, coap.OptionURIPath, []byte(s))
			}
			func() {
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("%v %q: panics: %v", method, path, p)
					}
				}()
				resp, _ := a.gm.Call(t.Context(), m)
				if resp.Code != coap.NotFound && resp.Code != coap.MethodNotAllowed {
					t.Errorf("%v %q: %v", method, path, resp.Code)
				}
			}()
		}
	}
}

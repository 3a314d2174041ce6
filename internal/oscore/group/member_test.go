package group

import (
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// An exchange that outlives two rekeyings, the old contexts with it.
func TestMemberRekey(t *testing.T) {
	w := newWorld(t, 3)
	client, server := NewMember(w.members[0]), NewMember(w.members[1])
	req := get("/a")
	coap.AddUint(req, coap.OptionObserve, 0)
	outer, cb, err := client.ProtectRequest(req, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	notify := func() *coap.Message {
		t.Helper()
		n := content("n")
		coap.AddUint(n, coap.OptionObserve, 1)
		resp, err := server.ProtectResponse(n, sb, Group)
		if err != nil {
			t.Fatal(err)
		}
		return over(t, resp)
	}
	first, late := notify(), notify()
	if _, _, _, err := client.UnprotectResponse(first, cb); err != nil {
		t.Fatal(err)
	}
	w.rekey()
	client.Rekey(w.members[0])
	if len(client.contexts) != 2 || client.Current() != w.members[0] {
		t.Fatalf("%d contexts", len(client.contexts))
	}
	if _, _, _, err := client.UnprotectResponse(late, cb); err != nil {
		t.Errorf("a response of the old epoch, under way at the rekeying: %v", err)
	}
	server.Rekey(w.members[1])
	if len(server.contexts) != 1 {
		t.Errorf("the server keeps %d contexts", len(server.contexts))
	}
	if _, _, _, err := client.UnprotectResponse(notify(), cb); err != nil {
		t.Error(err)
	}
	if _, _, _, err := client.UnprotectResponse(late, cb); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("the late one again: %v", err)
	}
	client.Close(cb)
	client.Close(cb)
	client.Close(sb)
	if len(client.contexts) != 1 {
		t.Errorf("%d contexts after the exchange", len(client.contexts))
	}
	if _, _, _, err := client.UnprotectResponse(notify(), cb); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("after the exchange: %v", err)
	}
}

// notification is one of the server, in the form in which it arrives.
func notification(t *testing.T, server *Member, sb *Binding, mode Mode) *coap.Message {
	t.Helper()
	n := content("n")
	coap.AddUint(n, coap.OptionObserve, 1)
	resp, err := server.ProtectResponse(n, sb, mode)
	if err != nil {
		t.Fatal(err)
	}
	return over(t, resp)
}

// observed has server accept an Observe registration of client.
func observed(t *testing.T, client, server *Member, to []byte) (cb, sb *Binding) {
	t.Helper()
	req := get("/a")
	coap.AddUint(req, coap.OptionObserve, 0)
	outer, cb, err := client.ProtectRequest(req, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, sb, err = server.UnprotectRequest(over(t, outer)); err != nil {
		t.Fatal(err)
	}
	return cb, sb
}

// An observation of hours: notifications get lost and come late, the group is
// rekeyed now and then, on one side first, and nothing piles up.
func TestObserveOverHours(t *testing.T) {
	for _, to := range [][]byte{nil, {1}} {
		w := newWorld(t, 2)
		w.members[1] = w.member(1, func(p *Params) { p.Sequence = oscore.NewSequence(0xfff0, nil) })
		client, server := NewMember(w.members[0]), NewMember(w.members[1])
		cb, sb := observed(t, client, server, to)
		accepted, want := 0, 0
		receive := func(m *coap.Message, err error) {
			t.Helper()
			if _, _, _, got := client.UnprotectResponse(m, cb); !errors.Is(got, err) || err == nil && got != nil {
				t.Fatalf("after %d: %v, want %v", accepted, got, err)
			} else if got == nil {
				accepted++
			}
		}
		for hour := range 6 {
			var held *coap.Message
			for i := range 50 {
				m := notification(t, server, sb, Mode(i%2))
				switch i % 10 {
				case 3: // lost
				case 5:
					held = m
				default:
					receive(m, nil)
					want++
				}
				if i%10 == 7 {
					receive(held, oscore.ErrReplay) // late
				}
			}
			last := notification(t, server, sb, Group)
			w.rekey()
			if hour%2 == 0 {
				client.Rekey(w.members[0])
				receive(last, nil)
				server.Rekey(w.members[1])
			} else {
				server.Rekey(w.members[1])
				receive(last, nil)
				early := notification(t, server, sb, Group)
				receive(early, coap.ErrNoContext)
				client.Rekey(w.members[0])
				receive(early, nil)
				want++
			}
			want++
			// In group mode other servers could still answer under the first.
			if most := map[Mode]int{Group: 3, Pairwise: 2}[cb.Mode]; len(client.contexts) > most || len(server.contexts) != 1 {
				t.Fatalf("hour %d: %d and %d contexts", hour, len(client.contexts), len(server.contexts))
			}
		}
		if accepted != want || len(cb.servers) != 1 || len(client.open) != 1 || len(server.open) != 0 {
			t.Errorf("%d of %d accepted, of %d servers", accepted, want, len(cb.servers))
		}
		client.Close(cb)
		if len(client.contexts) != 1 {
			t.Errorf("%d contexts", len(client.contexts))
		}
	}
}

// After the first response in the new epoch the Gid may be left out. The context
// is found nevertheless, and not that of the request in its place.
func TestMemberWithoutGID(t *testing.T) {
	w := newWorld(t, 2)
	client, server := NewMember(w.members[0]), NewMember(w.members[1])
	cb, sb := observed(t, client, server, nil)
	w.rekey()
	client.Rekey(w.members[0])
	server.Rekey(w.members[1])
	bare := func() *coap.Message {
		c := server.Current()
		piv, err := c.nextPIV(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.plaintext = []byte{byte(coap.Content)}
		m, err := c.seal(&coap.Message{Code: coap.Changed}, nil, oscore.Option{Group: true, KID: c.senderID, PIV: piv}, &message{
			request: sb.request, nonceID: c.senderID, noncePIV: piv, cred: c.cred,
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for i, m := range []*coap.Message{bare(), notification(t, server, sb, Group), bare(), bare()} {
		if _, _, _, err := client.UnprotectResponse(m, cb); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, s := range cb.servers {
		if s.id.epoch != w.members[0].id.epoch || s.next != 4 {
			t.Errorf("%+v", s)
		}
	}
	if _, _, _, err := client.UnprotectResponse(get("/a"), cb); !errors.Is(err, oscore.ErrDecode) {
		t.Errorf("got %v", err)
	}
	m := bare()
	m.Payload[0] ^= 1
	if _, _, _, err := client.UnprotectResponse(m, cb); !errors.Is(err, oscore.ErrVerify) {
		t.Errorf("forged: %v", err)
	}
}

// Who is no member any more is none in the old context either; who is, may be
// late. RFC 10021, Sections 12.2 and 13.
func TestStaleMember(t *testing.T) {
	w := newWorld(t, 3)
	client := NewMember(w.members[0])
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var late []*coap.Message
	for _, server := range w.members[1:] {
		_, sb, err := server.UnprotectRequest(outer)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.ProtectResponse(content("late"), sb, Group)
		if err != nil {
			t.Fatal(err)
		}
		late = append(late, resp)
	}
	w.creds[2] = nil // it left
	w.gid, w.secret = []byte{0xee}, randomBytes(16)
	p := w.params(0)
	next, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.SetPeer(Peer{KID: []byte{7}, Cred: w.creds[1]}); err != nil { // with a new Sender ID
		t.Fatal(err)
	}
	client.Rekey(next)
	if _, _, _, err := client.UnprotectResponse(late[0], cb); err != nil {
		t.Errorf("from a member: %v", err)
	}
	if _, _, _, err := client.UnprotectResponse(late[1], cb); !errors.As(err, new(*UnknownPeerError)) {
		t.Errorf("from a former member: %v", err)
	}
	// Requests of the old epoch are over, and of the Echo values nothing is left.
	request, _, err := w.members[1].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.UnprotectRequest(request); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("a request of the old epoch: %v", err)
	}
}

// The Echo values of an epoch end with it. RFC 10021, Section 9.
func TestEchoEndsWithEpoch(t *testing.T) {
	w := newWorld(t, 2)
	server := NewMember(w.member(1, func(p *Params) { p.EchoFirst = true }))
	old := server.Current()
	if _, _, err := server.ProtectRequest(get("/a"), nil); err != nil { // keeps the context
		t.Fatal(err)
	}
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	challenged(t, old, outer)
	w.rekey()
	server.Rekey(w.members[1])
	if len(server.contexts) != 2 || fmt.Sprint(old.peers["\x00"].echo) != fmt.Sprint(oscore.Echo{}) {
		t.Errorf("%d contexts, Echo value %v", len(server.contexts), old.peers["\x00"].echo)
	}
}

// A new Sender ID within the epoch: windows, Echo values and open exchanges go
// on. RFC 10021, Section 2.6.2.1.
func TestMemberNewSenderID(t *testing.T) {
	w := newWorld(t, 4)
	client, peer := NewMember(w.members[0]), w.members[1]
	cb, peerSB := observed(t, client, NewMember(peer), nil)
	_, sb := observed(t, NewMember(w.members[2]), client, nil)
	seen, _, err := peer.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.UnprotectRequest(over(t, seen)); err != nil {
		t.Fatal(err)
	}
	renewed := w.member(0, func(p *Params) { p.SenderID = []byte{9} })
	client.Rekey(renewed)
	if len(client.contexts) != 1 || client.Current().Sequence().Peek() != 0 {
		t.Errorf("%d contexts", len(client.contexts))
	}
	if _, _, err := client.UnprotectRequest(over(t, seen)); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("replayed: %v", err)
	}
	// For the server nothing has changed: it may use the nonce of the request.
	resp, err := peer.ProtectResponse(content("x"), peerSB, Group)
	if err != nil || optionOf(t, resp).PIV != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.UnprotectResponse(over(t, resp), cb); err != nil {
		t.Error(err)
	}
	// A response under the new Sender ID has a Partial IV of its own.
	answer, err := client.ProtectResponse(content("x"), sb, Group)
	if err != nil || optionOf(t, answer).PIV == nil {
		t.Errorf("%v", err)
	}
	// The same Sender ID again, from a careless caller: its sequence goes on.
	again := w.member(0, func(p *Params) { p.SenderID = []byte{9} })
	client.Rekey(again)
	if n := client.Current().Sequence().Peek(); n != 1 {
		t.Errorf("the sequence is at %d", n)
	}
}

// What the current context knows of its peers holds for its successor in the
// epoch, whose own idea of them does not count.
func TestInherit(t *testing.T) {
	w := newWorld(t, 4)
	old := w.member(0, func(p *Params) { p.EchoFirst = true })
	for kid, r := range old.peers { // 1: valid; 2: challenged; 3: valid, and gone later
		r.valid = kid != "\x02"
		r.proven = true
	}
	outer, _, err := w.members[2].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	challenge := challenged(t, old, outer)
	next := w.member(0, func(p *Params) {
		p.SenderID, p.Windows = []byte{9}, map[string]oscore.WindowState{"\x05": {Next: 1, Seen: 1}}
	})
	delete(next.peers, "\x03")
	_, cred := newCred(t, "another")
	if err := next.SetPeer(Peer{KID: []byte{4}, Cred: cred}); err != nil {
		t.Fatal(err)
	}
	m := NewMember(old)
	m.Rekey(next)
	if err := next.SetPeer(Peer{KID: []byte{5}, Cred: cred}); err != nil || next.peers["\x05"].valid {
		t.Errorf("a window of the caller's is relied on: %v", err)
	}
	if next.peers["\x01"].valid != true || next.peers["\x02"].valid || next.peers["\x04"].valid || !next.echoFirst {
		t.Errorf("%+v", next.Peers())
	}
	if challenge == nil || fmt.Sprint(next.peers["\x02"].echo) != fmt.Sprint(old.peers["\x02"].echo) {
		t.Error("another Echo value")
	}
}

// Who verifies signatures elsewhere finds the context of a response as others do:
// one that was begun under the wrong keys is tried under the right ones.
func TestMemberBeginResponse(t *testing.T) {
	w := newWorld(t, 2)
	client, server := NewMember(w.members[0]), NewMember(w.members[1])
	req := get("/a")
	coap.AddUint(req, coap.OptionObserve, 0)
	outer, cb, err := client.ProtectRequest(req, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	respond := func(mode Mode) *coap.Message {
		t.Helper()
		n := content("n")
		coap.AddUint(n, coap.OptionObserve, 1)
		resp, err := server.ProtectResponse(n, sb, mode)
		if err != nil {
			t.Fatal(err)
		}
		return over(t, resp)
	}
	open := func(what string, m *coap.Message) {
		t.Helper()
		u, err := client.BeginResponse(m, cb)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		good := u.Sig == nil || u.Public.Verify(u.Message, u.Sig)
		if _, _, _, err := client.FinishResponse(u, good); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	open("first", respond(Group))
	late := [2]*coap.Message{respond(Group), respond(Pairwise)}
	w.rekey()
	client.Rekey(w.members[0])
	open("late, group mode", late[0])
	open("late, pairwise", late[1])
	server.Rekey(w.members[1])
	open("new keys", respond(Group))
	open("new keys, pairwise", respond(Pairwise))
	if u, err := client.BeginResponse(late[0], cb); err == nil {
		if _, _, _, err = client.FinishResponse(u, true); err == nil {
			t.Error("a replay passed")
		}
	}
	client.Close(cb)
	if _, err := client.BeginResponse(respond(Group), cb); err == nil {
		t.Error("the exchange was closed")
	}
}

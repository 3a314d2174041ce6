package device

import (
	"bytes"
	"context"
	"net/netip"
	"sync"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

const lampSubject = "000b57fffe401a01"

func TestJoin(t *testing.T) {
	w, in := commissioned(t)
	m, ok := w.members()[lampSubject]
	if !ok || !bytes.Equal(m.Credential, w.lamp.Credential()) || m.Roles != ace.RoleResponder {
		t.Fatalf("the Group Manager has %+v", w.members())
	}
	var groups []groupAnswer
	if err := do(in.ownerSession(), coap.GET, "/ll/groups", nil, &groups); err != nil {
		t.Fatal(err)
	}
	if len(groups) != 1 || groups[0].Name != "hall" || !groups[0].InSync || !bytes.Equal(groups[0].SenderID, m.SenderID) ||
		!bytes.Equal(groups[0].GID, in.ms.GID) || groups[0].Num != in.ms.Num {
		t.Errorf("groups %+v", groups)
	}
	on := true
	if l, err := in.light(lightRequest{On: &on}); err != nil || !l.On || !w.lamp.State().Light.On {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestHandoverRepeated(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	owner := in.ownerSession()
	h, err := in.obtain(owner)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := do(owner, coap.PUT, "/ll/groups/hall", h, nil); err != nil {
			t.Fatal(err)
		}
		w.boot()
		owner = in.ownerSession()
	}
	// Changed by a byte it is another one, and its offer is used up.
	h.Association.NextSSN++
	wantCode(t, "not identical", do(owner, coap.PUT, "/ll/groups/hall", h, nil), coap.Conflict)
	h.Association.NextSSN--
	if err := do(owner, coap.DELETE, "/ll/groups/hall", nil, nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "after leaving", do(owner, coap.PUT, "/ll/groups/hall", h, nil), coap.Conflict)
}

func TestHandoverRefused(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	owner := in.ownerSession()
	stale, err := in.obtain(owner)
	if err != nil {
		t.Fatal(err)
	}
	good, err := in.obtain(owner)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "an offer that was replaced", do(owner, coap.PUT, "/ll/groups/hall", stale, nil), coap.Conflict)
	wantCode(t, "another group", do(owner, coap.PUT, "/ll/groups/shed", func() *handover {
		h := *good
		h.NodePath = "/ace-group/shed/nodes/n1"
		return &h
	}(), nil), coap.Conflict)
	for name, c := range map[string]struct {
		edit func(*handover)
		code coap.Code
	}{
		"the answer to another offer": {func(h *handover) { h.JoinResponse = stale.JoinResponse }, coap.Conflict},
		"another's association":       {func(h *handover) { h.Association = stale.Association }, coap.Conflict},
		"a bit of the answer":         {func(h *handover) { h.JoinResponse = flip(h.JoinResponse, len(h.JoinResponse)-1) }, coap.Conflict},
		"a cut answer":                {func(h *handover) { h.JoinResponse = h.JoinResponse[:40] }, coap.BadRequest},
		"no answer":                   {func(h *handover) { h.JoinResponse = nil }, coap.BadRequest},
		"equal IDs":                   {func(h *handover) { h.Association.SenderID = h.Association.RecipientID }, coap.BadRequest},
		"a short secret":              {func(h *handover) { h.Association.MasterSecret = h.Association.MasterSecret[:8] }, coap.BadRequest},
		"a long ID":                   {func(h *handover) { h.Association.SenderID = make([]byte, 8) }, coap.BadRequest},
		"a spent sequence":            {func(h *handover) { h.Association.NextSSN = 1 << 40 }, coap.BadRequest},
		"another node path":           {func(h *handover) { h.NodePath = "/ace-group/shed/nodes/n1" }, coap.BadRequest},
		"no address":                  {func(h *handover) { h.Multicast = "" }, coap.BadRequest},
		"a unicast address":           {func(h *handover) { h.Multicast = "192.0.2.1:5683" }, coap.BadRequest},
		"an address it is deaf to":    {func(h *handover) { h.Multicast = "224.0.1.188:5683" }, coap.BadRequest},
	} {
		h := *good
		c.edit(&h)
		wantCode(t, name, do(owner, coap.PUT, "/ll/groups/hall", &h, nil), c.code)
	}
	if len(w.lamp.State().Groups) != 0 {
		t.Fatal("it joined")
	}
	if err := do(owner, coap.PUT, "/ll/groups/hall", good, nil); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte, at int) []byte {
	c := bytes.Clone(b)
	c[at] ^= 1
	return c
}

// A Group Manager other than that of the claim.
func TestForeignGroupManager(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	c := w.claimFor(in)
	c.GM.Cred = credOf("gm", key(91))
	if err := do(in.labelSession(), coap.POST, "/ll/claim", c, nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "a foreign Group Manager", in.assist(), coap.Conflict)
}

func TestRejoin(t *testing.T) {
	w, in := commissioned(t)
	before := w.members()[lampSubject]
	if err := in.assist(); err != nil {
		t.Fatal(err)
	}
	after := w.members()[lampSubject]
	if before.Node != after.Node || bytes.Equal(before.SenderID, after.SenderID) || len(w.members()) != 2 {
		t.Errorf("%+v became %+v", before, after)
	}
	in.refresh()
	on := true
	if _, err := in.light(lightRequest{On: &on}); err != nil {
		t.Error(err)
	}
}

func TestLeave(t *testing.T) {
	w, in := commissioned(t)
	owner := in.ownerSession()
	for range 2 { // the second leaves nothing
		if err := do(owner, coap.DELETE, "/ll/groups/hall", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, still := w.members()[lampSubject]; still || len(w.lamp.State().Groups) != 0 {
			t.Error("still a member")
		}
		w.boot()
	}
	if got := in.cast(lightMessage(nil)); len(got) != 0 {
		t.Errorf("it answers: %+v", got)
	}
	in.refresh()
	if err := in.assist(); err != nil {
		t.Fatal(err)
	}
	in.refresh()
	if _, err := in.light(nil); err != nil {
		t.Error(err)
	}
}

func TestLeaveWithoutGroupManager(t *testing.T) {
	w, in := commissioned(t)
	owner := in.ownerSession()
	w.net.Down(gmAddr, true)
	wantCode(t, "leaving", do(owner, coap.DELETE, "/ll/groups/hall", nil, nil), coap.ServiceUnavailable)
	wantCode(t, "release", do(owner, coap.DELETE, "/ll/claim", nil, nil), coap.ServiceUnavailable)
	if s := w.lamp.State(); !s.Claimed || len(s.Groups) != 1 {
		t.Fatalf("%+v", s)
	}
	w.net.Down(gmAddr, false)
	if err := do(owner, coap.DELETE, "/ll/groups/hall", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := in.assist(); err != nil {
		t.Fatal(err)
	}
	w.net.Down(gmAddr, true)
	if err := do(owner, coap.DELETE, "/ll/claim?force", nil, nil); err != nil || w.lamp.State().Claimed {
		t.Errorf("forced release: %v", err)
	}
}

func TestRelease(t *testing.T) {
	w, in := commissioned(t)
	owner := in.ownerSession()
	cred := w.lamp.Credential()
	if err := do(owner, coap.DELETE, "/ll/claim", nil, nil); err != nil {
		t.Fatal(err)
	}
	if s := w.lamp.State(); s.Claimed || s.Name != "" || len(s.Groups) != 0 || len(w.members()) != 1 {
		t.Errorf("%+v, members %v", s, w.members())
	}
	wantCode(t, "the former owner", do(owner, coap.POST, "/ll/blink", nil, nil), coap.Unauthorized)
	bert := w.installer("bert", 2)
	for range 2 {
		if err := bert.claim(); err != nil {
			t.Fatal(err)
		}
		w.boot()
	}
	bert.self(ace.RoleRequester)
	if err := bert.assist(); err != nil {
		t.Fatal(err)
	}
	bert.refresh()
	if _, err := bert.light(nil); err != nil {
		t.Error(err)
	}
	wantCode(t, "the former owner", do(in.ownerSession(), coap.POST, "/ll/blink", nil, nil), coap.Unauthorized)
	if !bytes.Equal(cred, w.lamp.Credential()) {
		t.Error("the device's key changed")
	}
}

// The Group Manager removed the device behind its back.
func TestEvicted(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	in.self(ace.RoleRequester)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	owner := in.ownerSession()
	h, err := in.obtain(owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(owner, coap.PUT, "/ll/groups/hall", h, nil); err != nil {
		t.Fatal(err)
	}
	octx, err := h.Association.Context(oscore.NewSequence(h.Association.NextSSN+20, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := join.NewMember(oscore.NewClient(octx, in.ex, gmAddr), "hall", h.NodePath).Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	in.refresh()
	if got := in.cast(lightMessage(nil)); len(got) != 0 { // unknown Gid: it asks
		t.Errorf("answers %+v", got)
	}
	if s := w.lamp.State(); len(s.Groups) != 0 {
		t.Errorf("it believes to be in %+v", s.Groups)
	}
}

// A sequence number never sinks, whoever hands in the keys again and whatever was
// in between.
func TestMarksNeverSink(t *testing.T) {
	s := store.NewMemory()
	read := func(k string) (n uint64) {
		if err := s.View(t.Context(), func(tx store.Tx) (err error) { n, _, err = readMark(tx, k); return err }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	raise := func(k string, n uint64) {
		if err := s.Update(t.Context(), func(tx store.Tx) error { return raiseMark(tx, k, n) }); err != nil {
			t.Fatal(err)
		}
	}
	raise("mark/a", 5)
	raise("mark/a", 3)
	raise("mark/b", 1)
	if read("mark/a") != 5 || read("mark/b") != 1 || read("mark/c") != 0 {
		t.Error("a mark sank")
	}
	other := &Device{life: t.Context(), cfg: Config{Store: s}, sequences: map[string]*oscore.Sequence{}}
	if other.sequence("mark/b", 1) != other.sequence("mark/b", 1) {
		t.Error("two live sequences for one key")
	}
	d := &Device{life: t.Context(), cfg: Config{Store: s}, sequences: map[string]*oscore.Sequence{}}
	first := d.sequenceFrom("mark/a", read("mark/a"), 2)
	if n, err := first.Next(); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if second := d.sequenceFrom("mark/a", read("mark/a"), 2); second == first {
		if n, _ := second.Next(); n < 6 {
			t.Errorf("a number twice: %d", n)
		}
	} else if _, err := first.Next(); err == nil {
		t.Error("two live sequences for one key")
	}
	third := d.sequenceFrom("mark/a", read("mark/a"), 1000)
	if n, err := third.Next(); n < 1000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := first.Next(); err == nil {
		t.Error("two live sequences for one key")
	}
}

// lateGM passes requests on when it is told to.
type lateGM struct {
	coap.Exchanger
	mu   sync.Mutex
	gate chan struct{}
	n    int
}

func (l *lateGM) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	l.mu.Lock()
	l.n++
	gate := l.gate
	l.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return l.Exchanger.Exchange(ctx, to, req)
}

func (l *lateGM) requests() int { l.mu.Lock(); defer l.mu.Unlock(); return l.n }

func (l *lateGM) close() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate = make(chan struct{})
	return l.gate
}

// watched puts a lateGM between the lamp and its Group Manager.
func (w *world) watched() *lateGM {
	l := &lateGM{Exchanger: w.net.From(lampAddr)}
	w.lamp.Bind(l)
	return l
}

// Every number that was given out lies below a durable mark, and a restart begins
// at that mark.
func TestMarksAreAhead(t *testing.T) {
	s := store.NewMemory()
	last := uint64(0)
	for range 3 {
		var mark uint64
		read := func() {
			if err := s.View(t.Context(), func(tx store.Tx) (err error) { mark, _, err = readMark(tx, "mark/a"); return err }); err != nil {
				t.Fatal(err)
			}
		}
		read()
		d := &Device{life: t.Context(), cfg: Config{Store: s}, sequences: map[string]*oscore.Sequence{}}
		seq := d.sequence("mark/a", mark)
		for range 300 {
			n, err := seq.Next()
			if read(); err != nil || n >= mark || last != 0 && n <= last {
				t.Fatalf("%d after %d with the mark at %d, %v", n, last, mark, err)
			}
			last = n
		}
	}
}

package gm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
)

// Statement 29 (RFC 9770, Section 11.1): a token that was revoked after it was
// accepted ends its membership, and posted again it is refused; one that is revoked
// before it ever came is refused the first time.
func TestStatement029_RevokedTokenIsRefused(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b := f.add(controlled), f.add(controlled)
	token := f.seal(a.claims)
	// The list names the very bytes that were posted.
	posted := stored[associationRecord](f, associationKey(fmt.Sprintf("%x", a.assoc.SenderID)))
	if err := f.s.Revoked(t.Context(), [][]byte{posted.Hash}); err != nil {
		t.Fatal(err)
	}
	f.settle()
	if m := f.members(); len(m) != 1 || m[0].Subject != b.subject {
		t.Fatalf("members %+v", m)
	}
	if a.ended != "DELETE" {
		t.Errorf("the evicted member heard %q", a.ended)
	}
	f.behind(a)
	f.inStep(b)
	if _, err := a.client.Num(t.Context()); !errors.Is(err, join.ErrNoToken) {
		t.Errorf("over the association: %v", err)
	}
	never := f.claims("late", scope(testGroup, both))
	sealed := f.seal(never)
	if err := f.s.Revoked(t.Context(), [][]byte{posted.Hash, ace.TokenHash(sealed.AccessToken)}); err != nil {
		t.Fatal(err)
	}
	for name, tok := range map[string][]byte{"unseen": sealed.AccessToken} {
		resp := f.postToken(tok)
		wantCode(t, name, resp, coap.Unauthorized)
	}
	wantCode(t, "another token", f.postToken(token.AccessToken), coap.Created)
	// The hash is kept when the list has it no longer, until the token has expired.
	if err := f.s.Revoked(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "no longer on the list", f.postToken(sealed.AccessToken), coap.Unauthorized)
	f.pass(2 * time.Hour)
	if err := f.s.Revoked(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if kept := stored[cbor.RawMessage](f, revokedKey(posted.Hash)); kept != nil {
		t.Error("the hash of an expired token is kept")
	}
}

func (w *world) postToken(token []byte) *coap.Message {
	return w.post(ace.Encode(ace.AuthzInfoRequest{AccessToken: token, Nonce1: draw(w.rand, 8), ID1: []byte{9}}))
}

// Statement 41 (RFC 9200, Section 5.10.3): when the token expires, observations
// over its association get 4.01 and end; that of nodes/NODE ends with 4.04, error 5
// (RFC 9594, Section 5).
func TestStatement041_ExpiredObservations(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a := f.add(lampKind{life: time.Hour})
	f.add(lampKind{control: true, life: 3 * time.Hour})
	group, active, node := a.observe("/ace-group/hall"), a.observe("/ace-group/hall/active"), a.observe(a.m.NodePath)
	for _, c := range []chan *coap.Message{group, active, node} {
		wantCode(t, "registration", f.get(c), coap.Content)
	}
	f.pass(time.Hour - time.Minute)
	if err := f.s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.quiet(group)
	f.pass(time.Minute - evictAhead/2)
	if err := f.s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := f.get(node)
	wantProblem(t, "nodes/NODE", last, coap.NotFound, ace.ErrorTerminated)
	if coap.HasOption(last, coap.OptionObserve) {
		t.Error("the last word has an Observe Option")
	}
	wantCode(t, "the group", f.get(group), coap.Unauthorized)
	wantCode(t, "its status", f.get(active), coap.Unauthorized)
	if len(f.members()) != 1 {
		t.Errorf("members %+v", f.members())
	}
	if n := len(f.s.observed.lists); n != 0 {
		t.Errorf("%d lists of observers are left", n)
	}
	f.settle()
	f.inStep(f.lamps[1])
	if f.group().Num != 1 {
		t.Errorf("version %d after one eviction", f.group().Num)
	}
}

// Statement 84 (KGO, Sections 9.11 and 10): DELETE nodes/NODE is answered 2.02
// without payload; all others get new keys with num+1 and a new Gid.
func TestStatement084_LeaveRekeysTheOthers(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b, c := f.add(controlled), f.add(controlled), f.add(lampKind{})
	news := c.observe("/ace-group/hall")
	f.get(news)
	before := f.group()
	resp := f.call(a.gm, coap.DELETE, a.m.NodePath, -1, nil)
	wantCode(t, "leaving", resp, coap.Deleted)
	if len(resp.Payload) != 0 {
		t.Errorf("payload %x", resp.Payload)
	}
	after := f.group()
	if after.Num != before.Num+1 || bytes.Equal(after.GID, before.GID) || bytes.Equal(after.MasterSecret, before.MasterSecret) {
		t.Errorf("from version %d, Gid %x to %d, %x", before.Num, before.GID, after.Num, after.GID)
	}
	f.settle()
	f.inStep(b)
	f.behind(a)
	msg, err := ace.Decode[ace.RekeyingMessage](f.get(news).Payload)
	if err != nil || msg.Num != after.Num || !bytes.Equal(msg.Key.GID, after.GID) || !slices.ContainsFunc(msg.StaleIDs, func(id []byte) bool { return bytes.Equal(id, a.m.SenderID) }) {
		t.Errorf("the observer got %+v (%v)", msg, err)
	}
	if p := f.progress(); p.Confirmed != 1 || p.Told != 1 || p.Total != 2 || p.Reason != ReasonLeft || p.Ended.IsZero() {
		t.Errorf("progress %+v", p)
	}
}

// Statement 85 (RFC 9594, Section 4.8.3.1): who has left gets 4.03 with error 0,
// and joins again with the same token.
func TestStatement085_LeaverMayComeBack(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a := f.add(controlled)
	f.add(controlled)
	wantCode(t, "leaving", f.call(a.gm, coap.DELETE, a.m.NodePath, -1, nil), coap.Deleted)
	for _, path := range []string{"/ace-group/hall", a.m.NodePath, "/ace-group/hall/num"} {
		wantProblem(t, path, f.call(a.gm, coap.GET, path, -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
	}
	old := a.m.NodePath
	a.join(controlled)
	f.settle()
	f.inStep(a)
	if a.m.NodePath == old || len(f.members()) != 2 || a.ended != "" {
		t.Errorf("back as %s, members %+v, heard %q", a.m.NodePath, f.members(), a.ended)
	}
}

// Statement 86 (RFC 9594, Section 5): an evicted member that observes nodes/NODE
// gets 4.04 with error 5, without Observe Option, in concise problem details.
func TestStatement086_EvictedObserver(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b := f.add(lampKind{}), f.add(controlled)
	node, group := a.observe(a.m.NodePath), a.observe("/ace-group/hall")
	f.get(node)
	f.get(group)
	f.evict("n0")
	last := f.get(node)
	wantProblem(t, "the notice", last, coap.NotFound, ace.ErrorTerminated)
	if format, _ := coap.ContentFormat(last); coap.HasOption(last, coap.OptionObserve) || format != ace.FormatProblem {
		t.Errorf("the notice is %v", last)
	}
	f.settle()
	f.inStep(b)
	f.quiet(group) // taken off the list, and told no new keys
	f.behind(a)
}

// Statement 87 (KGO, Section 10): an evicted member with a control_uri gets a DELETE
// there, and then no word of its observation: one notice of the two.
func TestStatement087_OneNotice(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b, c := f.add(controlled), f.add(lampKind{}), f.add(controlled)
	both, other := a.observe(a.m.NodePath), b.observe(b.m.NodePath)
	f.get(both)
	f.get(other)
	f.evict("n0", "n1")
	f.settle()
	if a.ended != "DELETE" {
		t.Errorf("with a control_uri: %q", a.ended)
	}
	f.quiet(both)
	wantProblem(t, "without one", f.get(other), coap.NotFound, ace.ErrorTerminated)
	if b.ended != "" {
		t.Errorf("without a control_uri, and it heard %q", b.ended)
	}
	f.inStep(c)
	if f.group().Num != 1 {
		t.Errorf("%d rekeyings for one eviction of two", f.group().Num)
	}
	if err := f.s.Evict(t.Context(), testGroup, "n2", "n0"); err != ErrNoMember || len(f.members()) != 1 {
		t.Errorf("evicting one who is a member and one who is not: %v, members %+v", err, f.members())
	}
}

// Statement 91 (KGO, Section 11.1): a rekeying message has exactly the parameters 7
// to 12 and 34, and `key` exactly ms, contextId and where there is one salt; when
// somebody joined there are 13, 14 and 15 too, all three.
func TestStatement091_RekeyingMessages(t *testing.T) {
	f := newFleet(t, GroupConfig{RekeyOnJoin: true})
	var posted []byte
	a := f.add(controlled)
	f.settle()
	f.net.Attach(a.addr, coap.HandlerFunc(func(ctx context.Context, req *coap.Request) *coap.Message {
		return coap.Secure(coap.HandlerFunc(func(ctx context.Context, req *coap.Request) *coap.Message {
			posted = slices.Clone(req.Payload)
			if format, ok := coap.ContentFormat(req.Message); !ok || format != ace.FormatACEGroupcomm || req.Code != coap.POST {
				t.Errorf("%v in Content-Format %d", req.Code, format)
			}
			return a.control(ctx, req)
		}), a.srv).Serve(ctx, req)
	}))
	labels := func() (outer, key []int64) {
		var m map[int64]cbor.RawMessage
		if err := cbor.Unmarshal(posted, &m); err != nil {
			t.Fatal(err)
		}
		var k map[int64]cbor.RawMessage
		if err := cbor.Unmarshal(m[ace.GroupcommKey], &k); err != nil {
			t.Fatal(err)
		}
		return sortedKeys(m), sortedKeys(k)
	}
	f.rekey()
	f.settle()
	outer, key := labels()
	if !slices.Equal(outer, []int64{7, 8, 9, 10, 11, 12, 34}) || !slices.Equal(key, []int64{2, 5, 6}) {
		t.Errorf("parameters %v, key %v", outer, key)
	}
	b := f.add(controlled)
	f.settle()
	outer, key = labels()
	if !slices.Equal(outer, []int64{7, 8, 9, 10, 11, 12, 13, 14, 15, 34}) || !slices.Equal(key, []int64{2, 5, 6}) {
		t.Errorf("after a join: parameters %v, key %v", outer, key)
	}
	msg := a.heard[len(a.heard)-1]
	if len(msg.Creds) != 1 || !bytes.Equal(msg.Creds[0], b.cred) || msg.PeerRoles[0] != both || !bytes.Equal(msg.PeerIDs[0], b.m.SenderID) {
		t.Errorf("who joined: %+v", msg)
	}
	f.inStep(a)
	f.inStep(b)
	if len(b.heard) != 0 {
		t.Error("who joined was told what its answer had said")
	}
}

func sortedKeys(m map[int64]cbor.RawMessage) []int64 {
	var keys []int64
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Statement 92, the Group Manager's side (KGO, Sections 11.2 and 11.3): a member that
// missed rekeyings gets the newest keys once it asks or can be reached, with a
// version that lets it see the gap, and the stale Sender IDs of all of them.
func TestStatement092_MissedRekeyings(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b, c := f.add(controlled), f.add(controlled), f.add(controlled)
	f.net.Down(b.addr, true)
	old := *b.m
	f.evict("n0")
	f.settle()
	f.inStep(c)
	if p := f.progress(); p.Confirmed != 1 || !slices.Equal(p.Failed, []string{"n1"}) || p.Ended.IsZero() {
		t.Errorf("progress %+v", p)
	}
	if _, err := c.client.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.rekey()
	f.settle()
	f.net.Down(b.addr, false)
	purge, err := b.client.StaleSIDs(t.Context(), old.Num)
	if err != nil || purge.All {
		t.Fatal(purge, err)
	}
	for _, sid := range [][]byte{a.m.SenderID, c.m.SenderID} {
		if !slices.ContainsFunc(purge.SIDs, func(s []byte) bool { return bytes.Equal(s, sid) }) {
			t.Errorf("Sender ID %x is not among the stale %x", sid, purge.SIDs)
		}
	}
	next, err := b.client.Keys(t.Context(), &old)
	if err != nil || next.Num != 2 {
		t.Fatal(next, err)
	}
	b.m = next
	f.inStep(b)
	if p := f.progress(); p.Confirmed != 2 || len(p.Failed) != 0 {
		t.Errorf("after it has asked: %+v", p)
	}
	// One that comes back while it is being told jumps from version 0 to 3.
	d := f.add(controlled)
	f.net.Down(d.addr, true)
	f.rekey()
	if err := f.work(); err != nil {
		t.Fatal(err)
	}
	f.rekey()
	f.net.Down(d.addr, false)
	f.settle()
	if len(d.heard) != 1 || d.heard[0].Num != 4 {
		t.Errorf("it heard %d messages", len(d.heard))
	}
	f.inStep(d)
}

// Statement 93 (KGO, Section 7): a rekeying leaves every member its Sender ID.
func TestStatement093_SenderIDsStay(t *testing.T) {
	f := newFleet(t, GroupConfig{RekeyOnJoin: true})
	for range 5 {
		f.add(controlled)
	}
	if _, err := f.lamps[2].client.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := map[string]string{}
	for _, m := range f.members() {
		before[m.Node] = string(m.SenderID)
	}
	for range 3 {
		f.rekey()
	}
	f.evict("n4")
	f.settle()
	for _, m := range f.members() {
		if before[m.Node] != string(m.SenderID) {
			t.Errorf("%s had Sender ID %x and has %x", m.Node, before[m.Node], m.SenderID)
		}
	}
	for _, l := range f.lamps[:4] {
		f.inStep(l)
	}
}

// Statement 94 (KGO, Section 7.1; GMA, Section 6.6): there are never more stale sets
// than max_stale_sets; when that is lowered, the newest are kept.
func TestStatement094_StaleSets(t *testing.T) {
	f := newFleet(t, GroupConfig{MaxStaleSets: 4})
	a := f.add(controlled)
	for range 7 {
		if _, err := a.client.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.rekey()
		if g := f.group(); len(g.Stale) > 4 || g.Stale[len(g.Stale)-1].Num != g.Num || len(g.current().SIDs) != 0 {
			t.Fatalf("stale sets %+v at version %d", g.Stale, g.Num)
		}
	}
	g := f.group()
	if len(g.Stale) != 4 || g.Stale[0].Num != 4 {
		t.Fatalf("stale sets %+v", g.Stale)
	}
	newest := slices.Clone(g.Stale[2:])
	g.MaxStaleSets = 2
	g.trimStale()
	if len(g.Stale) != 2 || g.Stale[0].Num != newest[0].Num || g.Stale[1].Num != newest[1].Num || len(g.Stale[0].SIDs) != len(newest[0].SIDs) {
		t.Errorf("kept %+v, want %+v", g.Stale, newest)
	}
	g.MaxStaleSets = 5
	if g.trimStale(); len(g.Stale) != 2 {
		t.Errorf("raised: %+v", g.Stale)
	}
}

// Statement 95 (KGO, Section 11): in a group whose Gids come round again, a member
// whose Birth Gid is the next Gid is evicted before the rekeying that brings it, and
// its coming back causes none; after a further rekeying it is forgotten.
func TestStatement095_ElderMembers(t *testing.T) {
	f := newFleet(t, GroupConfig{GIDReuse: 3, RekeyOnJoin: true})
	old := f.add(controlled) // joins with a rekeying: version 1
	f.settle()
	birth := f.group().GID
	f.rekey() // version 2
	young := f.add(controlled)
	f.settle() // version 3, the Gid of version 0
	if got := f.group(); got.Num != 3 || len(f.members()) != 2 {
		t.Fatalf("version %d with %d members", got.Num, len(f.members()))
	}
	f.rekey() // version 4: the Gid of version 1, the elder's birth
	f.settle()
	g := f.group()
	if !bytes.Equal(g.GID, birth) || g.Num != 4 {
		t.Fatalf("version %d has Gid %x, want %x again", g.Num, g.GID, birth)
	}
	if m := f.members(); len(m) != 1 || m[0].Subject != young.subject {
		t.Fatalf("members %+v", m)
	}
	if old.ended != "DELETE" {
		t.Errorf("the elder heard %q", old.ended)
	}
	f.behind(old)
	f.inStep(young)
	if stale := g.Stale[len(g.Stale)-2].SIDs; !slices.ContainsFunc(stale, func(s []byte) bool { return bytes.Equal(s, old.m.SenderID) }) {
		t.Errorf("the elder's Sender ID %x is not stale: %x", old.m.SenderID, stale)
	}
	old.join(controlled)
	f.settle()
	if f.group().Num != 4 {
		t.Error("an elder that came back caused a rekeying")
	}
	if m := stored[memberRecord](f, memberKey(testGroup, "n2")); m == nil || !bytes.Equal(m.BirthGID, birth) {
		t.Errorf("its new Birth Gid: %+v", m)
	}
	f.add(controlled) // anybody else does, and the list of elders is over
	f.settle()
	wantCode(t, "leaving", f.call(old.gm, coap.DELETE, old.m.NodePath, -1, nil), coap.Deleted)
	before := f.group().Num
	old.join(controlled)
	if f.group().Num != before+1 {
		t.Error("who is no elder any more came back without a rekeying")
	}
	f.settle()
	f.inStep(old)
	f.inStep(f.lamps[2])
	f.behind(young) // whose own Birth Gid came round at version 6
}

// Statement 96 (KGO, Section 7): num starts at 0 when a group is created, and only
// rises.
func TestStatement096_NumStartsAtZero(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	if g := f.group(); g.Num != 0 {
		t.Errorf("a new group has version %d", g.Num)
	}
	a := f.add(controlled)
	if num, err := a.client.Num(t.Context()); err != nil || num != 0 || a.m.Num != 0 {
		t.Errorf("num %d, in the Join Response %d (%v)", num, a.m.Num, err)
	}
	f.rekey()
	if num, err := a.client.Num(t.Context()); err != nil || num != 1 {
		t.Errorf("after a rekeying %d (%v)", num, err)
	}
	if _, err := join.NewMember(a.gm, testGroup, a.m.NodePath).Keys(t.Context(), a.m); err != nil {
		t.Fatal(err)
	}
}

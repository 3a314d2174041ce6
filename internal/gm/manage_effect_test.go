package gm

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// Other algorithms come with other keys: a member that asks for the version of the
// keys notices and gets both; its Sender ID stays. GMA, Section 6.6.2.
func TestAlgorithmChange(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	a := w.join("dev", both)
	before := w.group()
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{GpEncAlg: ace.Alg(cose.A128CTR), Alg: ace.Alg(cose.A256GCM)}, coap.Changed)
	g := w.group()
	if g.Num != before.Num+1 || g.ConfigNum != g.Num || bytes.Equal(g.GID, before.GID) || bytes.Equal(g.MasterSecret, before.MasterSecret) {
		t.Errorf("num %d, ConfigNum %d", g.Num, g.ConfigNum)
	}
	cur, _, changed, err := a.client.Update(t.Context(), a.m)
	if err != nil || !changed || cur.Algs.GroupEnc != cose.A128CTR || cur.Algs.AEAD != cose.A256GCM || !bytes.Equal(cur.SenderID, a.m.SenderID) {
		t.Errorf("update: %v %v %+v", changed, err, cur)
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{GpEncAlg: ace.Alg(cose.A128CTR), GroupDescription: ace.Is("x")}, coap.Changed)
	if after := w.group(); after.Num != g.Num {
		t.Error("a change without other algorithms rekeyed the group")
	}
	w.must(boss, coap.POST, "/manage/hall", ace.Configuration{Active: ace.Is(true)}, coap.Changed)
	if after := w.group(); after.Num != g.Num+1 || after.Algs != before.Algs {
		t.Errorf("overwritten: num %d, %+v", after.Num, after.Algs)
	}
}

// Shorter nonces: members whose Sender IDs are too long are evicted and the group is
// rekeyed once; they can come back, and no Sender ID is too long any more.
func TestTooLongSenderIDs(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	short := w.join("short", both)
	w.edit(func(g *groupRecord) { g.NextSID = 0x100 })
	long, gone := w.join("long", both), w.join("gone", both)
	before := w.group()
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Alg: ace.Alg(cose.AESCCM64_64_128)}, coap.Changed)
	g := w.group()
	if m := w.members(); len(m) != 1 || m[0].Subject != "short" || g.Num != before.Num+1 {
		t.Fatalf("%+v, num %d", m, g.Num)
	}
	stale := g.Stale[len(g.Stale)-2].SIDs
	if !slices.ContainsFunc(stale, func(s []byte) bool { return bytes.Equal(s, long.m.SenderID) }) ||
		!slices.ContainsFunc(stale, func(s []byte) bool { return bytes.Equal(s, gone.m.SenderID) }) {
		t.Errorf("stale Sender IDs %x", stale)
	}
	if cur, purged, changed, err := short.client.Update(t.Context(), short.m); err != nil || !changed || cur.Algs.AEAD != cose.AESCCM64_64_128 || len(purged.SIDs) != 2 {
		t.Errorf("update of who stays: %v %v %+v", changed, err, purged)
	}
	wantProblem(t, "the evicted", w.call(long.gm, coap.GET, "/ace-group/hall/num", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
	if back := w.joinAs(long.node, both); len(back.m.SenderID) != 1 {
		t.Errorf("Sender ID %x after coming back", back.m.SenderID)
	}
	if g := w.group(); g.SenderIDs != 256 {
		t.Errorf("%d Sender IDs", g.SenderIDs)
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Alg: ace.Alg(cose.AESCCM16_64_128)}, coap.Changed)
	if g := w.group(); g.SenderIDs != defaultSenderIDs || len(w.members()) != 2 {
		t.Errorf("back again: %d Sender IDs, %d members", g.SenderIDs, len(w.members()))
	}
}

// edit changes the test group's record behind the Group Manager's back.
func (w *world) edit(f func(*groupRecord)) {
	w.t.Helper()
	g := w.group()
	f(g)
	if err := w.store.Update(context.Background(), func(tx store.Tx) error { return save(tx, groupKey(g.Name), g) }); err != nil {
		w.t.Fatal(err)
	}
}

// Another signature algorithm: members stay members, their credentials are dropped,
// and they join again, or upload, with one that fits; the group is not rekeyed for
// each of them. GMA, Sections 6.6.2 and 10.1.
func TestCurveChange(t *testing.T) {
	w := newWorld(t, withP256)
	boss := w.chief()
	a, b := w.join("a", both), w.join("b", both)
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{
		SignAlg: ace.Alg(cose.ES256), SignParams: ace.Is(ace.Capabilities(ace.SignParams(cose.ES256))), ECDHParams: ace.Is(ace.Capabilities(ace.ECDHParams(cose.P256))),
	}, coap.Changed)
	if g := w.group(); g.Num != 1 || len(w.members()) != 2 || g.Curve != cose.P256 {
		t.Fatalf("num %d, %d members, %v", g.Num, len(w.members()), g.Curve)
	}
	if creds := w.call(a.gm, coap.GET, "/ace-group/hall/creds", -1, nil); !bytes.Equal(creds.Payload, []byte{0x40}) {
		t.Errorf("credentials: %x", creds.Payload)
	}
	wantCode(t, "keys", w.call(a.gm, coap.GET, a.m.NodePath, -1, nil), coap.Content)
	resp := w.call(a.gm, coap.POST, "/ace-group/hall", cf261, ace.Encode(ace.JoinRequest{
		Scope: ace.EncodeJoinScope(scope(testGroup, both)), ClientCred: []byte{}, CNonce: draw(w.rand, 8),
	}))
	wantCode(t, "re-join with the old credential", resp, coap.BadRequest)
	for i, m := range []*admitted{a, b} {
		key, err := p256.NewKey(draw(w.rand, 32))
		if err != nil {
			t.Fatal(err)
		}
		p := w.self(m.node, both, nil)
		p.Key, p.Cred = key, key.Public().CCS(m.subject)
		again, answer, err := join.Self(t.Context(), m.gm, p)
		if err != nil || !answer.Rejoined || again.Algs.Sign != cose.ES256 {
			t.Fatalf("member %d: %v", i, err)
		}
		m.m = again
	}
	if g := w.group(); g.Num != 1 {
		t.Errorf("num %d after both came back", g.Num)
	}
	if peers, _, err := a.client.AllCreds(t.Context()); err != nil || len(peers) != 2 {
		t.Errorf("%v, %d credentials", err, len(peers))
	}
}

// While a group is inactive nobody joins, renews or uploads; members can still ask
// for its status and keys. GMA, Section 6.6.2.
func TestInactiveGroup(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	a, b := w.join("dev", both), w.applicant("new", both)
	for _, active := range []bool{false, true} {
		w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(active)}, coap.Changed)
		if got, err := a.client.Active(t.Context()); err != nil || got != active {
			t.Errorf("active: %v %v, want %v", got, err, active)
		}
		wantCode(t, "keys", w.call(a.gm, coap.GET, a.m.NodePath, -1, nil), coap.Content)
		join, renewal := b.send(b.request(both)), w.call(a.gm, coap.POST, a.m.NodePath, -1, nil)
		upload := w.call(a.gm, coap.POST, a.m.NodePath+"/cred", cf261, []byte{0xa0})
		if active {
			wantCode(t, "join", join, coap.Created)
			wantCode(t, "renewal", renewal, coap.Content)
			wantCode(t, "upload", upload, coap.BadRequest)
			continue
		}
		for what, m := range map[string]*coap.Message{"join": join, "renewal": renewal, "upload": upload} {
			wantProblem(t, what, m, coap.ServiceUnavailable, ace.ErrorNotActive)
		}
	}
}

// Members that do not observe the status hear of it at their control_uris, barred
// ones too; those that observe it there alone. KGO, Section 9.9.
func TestMembersHearOfAPause(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b, lost := f.add(controlled), f.add(controlled), f.add(assisted)
	status := b.observe("/ace-group/hall/active")
	f.get(status)
	if err := f.s.Bar(t.Context(), []string{assisted.actor}); err != nil {
		t.Fatal(err)
	}
	f.settle()
	var barred int
	var posted []*ace.ConfigNotice
	for _, l := range []*lamp{a, b, lost} {
		f.net.Attach(l.addr, coap.Secure(coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
			c, err := ace.ParseControl(req.Payload)
			if err != nil || c.Kind != ace.ControlConfig || c.Config.Active == nil {
				t.Errorf("posted %x: %v", req.Payload, err)
			} else if l == b {
				t.Error("told twice")
			} else if l == lost {
				barred++
			} else {
				posted = append(posted, c.Config)
			}
			return coap.Respond(coap.Changed, coap.NoFormat, nil)
		}), l.srv))
	}
	for i, active := range []bool{false, true} {
		for range 2 { // nothing changes the second time
			if err := f.s.SetActive(t.Context(), testGroup, active); err != nil {
				t.Fatal(err)
			}
			f.settle()
		}
		if len(posted) != i+1 || *posted[i].Active != active || posted[i].Num != 1 || barred != i+1 {
			t.Fatalf("posted %+v, and %d times to who is barred", posted, barred)
		}
		if n := f.get(status); !bytes.Equal(n.Payload, ace.Encode(active)) {
			t.Errorf("notified %x", n.Payload)
		}
	}
	f.quiet(status)
}

// Statement 94 by an administrator (GMA, Section 6.6): fewer stale sets, and the newest
// stay.
func TestStatement094_LoweredByAnAdministrator(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{MaxStaleSets: ace.Is[uint64](5)}, coap.Changed)
	a := w.join("dev", both)
	for range 6 {
		if _, err := a.client.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.rekey()
	}
	sets := w.group().Stale
	if len(sets) != 5 {
		t.Fatalf("%d sets", len(sets))
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{MaxStaleSets: ace.Is[uint64](2)}, coap.Changed)
	left := w.group().Stale
	if len(left) != 2 || left[0].Num != sets[3].Num || left[1].Num != sets[4].Num || len(left[0].SIDs) != 1 {
		t.Errorf("left: %+v of %+v", left, sets)
	}
	w.must(boss, coap.POST, "/manage/hall", ace.Configuration{MaxStaleSets: ace.Is[uint64](9)}, coap.Changed)
	if got := w.group(); len(got.Stale) != 2 || got.MaxStaleSets != 9 {
		t.Errorf("more again: %d sets", len(got.Stale))
	}
}

// What the operator made beyond an administrator's bounds does not keep
// administrators from changing the rest.
func TestOperatorsGroup(t *testing.T) {
	w := newEmptyWorld(t)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, MaxStaleSets: 1000, KeyLifetime: time.Second, Policies: Policies{None: true}}); err != nil {
		t.Fatal(err)
	}
	boss := w.chief()
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{GroupDescription: ace.Is("x")}, coap.Changed)
	c, _ := w.configurationOf(boss, "hall")
	if c.MaxStaleSets != ace.Is[uint64](1000) || c.Policies.Value.KeyLifetime != ace.Is[uint64](1) || c.Policies.Value.CheckInterval != ace.Is[uint64](0) {
		t.Errorf("%x", ace.Encode(c))
	}
}

// exp is about the current keys: an earlier one is taken over, a later one brings
// new keys, as no keys live on past what was said of them. KGO, Section 7.
func TestExpiration(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	a := w.join("dev", both)
	now := uint64(w.clock().Unix())
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{EXP: ace.Is(now + 100)}, coap.Changed)
	if g := w.group(); g.Num != 0 || g.Expires != now+100 {
		t.Errorf("earlier: num %d, exp %d", g.Num, g.Expires)
	}
	k, err := ace.Decode[ace.KeyResponse](w.call(a.gm, coap.GET, "/ace-group/hall", -1, nil).Payload)
	if err != nil || k.EXP != now+100 || k.EXI != 100 {
		t.Errorf("told %v %+v", err, k)
	}
	w.must(boss, coap.POST, "/manage/hall", ace.Configuration{Active: ace.Is(true)}, coap.Changed)
	if g := w.group(); g.Num != 0 || g.Expires != now+100 {
		t.Errorf("left out: num %d, exp %d", g.Num, g.Expires)
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{EXP: ace.Is(now + 200)}, coap.Changed)
	if g := w.group(); g.Num != 1 || g.Expires != now+200 || g.ConfigNum != 0 {
		t.Errorf("later: num %d, exp %d", g.Num, g.Expires)
	}
	w.pass(201 * time.Second)
	if c, _ := w.configurationOf(boss, "hall"); c.EXP != ace.Is(now+200) {
		t.Errorf("expired: %v", c.EXP)
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{GroupDescription: ace.Is("x")}, coap.Changed) // exp in the past is not asked for
}

// The policies that members are told are those of the standard; this project's are
// for administrators.
func TestPoliciesReachMembers(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	mine := ace.AdminPolicies{CheckInterval: ace.Is[uint64](60), Multicast: ace.Is("224.0.1.187:5683"), KeyLifetime: ace.Is[uint64](7200)}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Policies: ace.Is(mine)}, coap.Changed)
	a := w.join("dev", both)
	if p, err := a.client.Policies(t.Context()); err != nil || p != (ace.GroupPolicies{CheckInterval: 60}) {
		t.Errorf("members: %v %+v", err, p)
	}
	mine.ExpirationDelta = ace.Is[uint64](0)
	if c, _ := w.configurationOf(boss, "hall"); c.Policies != ace.Is(mine) {
		t.Errorf("administrators: %+v", c.Policies)
	}
	w.rekey()
	if g := w.group(); g.Expires != uint64(w.clock().Unix())+7200 || g.Multicast != "224.0.1.187:5683" {
		t.Errorf("exp %d, multicast %q", g.Expires, g.Multicast)
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Policies: ace.Is(ace.AdminPolicies{})}, coap.Changed)
	want := ace.AdminPolicies{CheckInterval: ace.Is[uint64](3600), ExpirationDelta: ace.Is[uint64](0)}
	if c, _ := w.configurationOf(boss, "hall"); c.Policies != ace.Is(want) {
		t.Errorf("defaults: %+v", c.Policies)
	}
}

// rekey gives the test group new keys.
func (w *world) rekey() {
	w.t.Helper()
	if err := w.s.Rekey(context.Background(), testGroup, ""); err != nil {
		w.t.Fatal(err)
	}
}

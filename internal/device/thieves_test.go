package device

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/sim"
)

// since is what was recorded of one kind.
func (tap *wiretap) since(n int, kind sim.Kind) (list []sim.Datagram) {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	for _, d := range tap.all[n:] {
		if d.Kind == kind {
			list = append(list, d)
		}
	}
	return list
}

func (tap *wiretap) mark() int {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	return len(tap.all)
}

func parsed(t *testing.T, d sim.Datagram) *coap.Message {
	t.Helper()
	m, err := coap.UnmarshalUDP(bytes.Clone(d.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// requestOf finds what a recorded response is for, by its token.
func requestOf(t *testing.T, resp sim.Datagram, requests []sim.Datagram) *coap.Message {
	t.Helper()
	token := parsed(t, resp).Token
	for _, d := range requests {
		if m := parsed(t, d); d.From == resp.To && string(m.Token) == string(token) {
			return m
		}
	}
	return nil
}

// reading is what somebody with keys of a group makes of what was recorded.
type reading struct{ requests, responses, toMany, toOne int }

// readAll tries every key of every version that was kept, under the Gid of its time
// and of now, on all that was recorded: requests to the group and to one, as
// themselves; responses in the place of who asked; rekeying messages to many with the
// keys of the tree; and those to one with the own association with the Group Manager.
func (k *keeper) readAll(gid []byte, requests, responses []sim.Datagram) (r reading) {
	t := k.w.t.(*testing.T)
	t.Helper()
	r.requests = k.read(gid, requests)
	for _, ms := range k.kept {
		for _, id := range [][]byte{ms.GID, gid} {
			for _, d := range responses {
				if k.opensResponse(ms, id, d, requests) {
					r.responses++
				}
			}
		}
		for _, d := range requests {
			if _, err := ms.OpenMany(parsed(t, d).Payload, join.Trusts(k.w.gmCred)); err == nil {
				r.toMany++
			}
		}
	}
	r.toOne = k.w.told(*k.assoc, requests)
	return r
}

// told counts what of the Group Manager's own requests an association opens, in either
// direction.
func (w *world) told(with join.Association, requests []sim.Datagram) (n int) {
	t := w.t.(*testing.T)
	for _, turned := range []bool{false, true} {
		for _, d := range requests {
			if d.From != gmAddr {
				continue
			}
			a := with
			if turned {
				a.SenderID, a.RecipientID = a.RecipientID, a.SenderID
			}
			c, err := a.Context(oscore.NewSequence(1<<30, nil))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.UnprotectRequest(parsed(t, d)); err == nil {
				n++
			}
		}
	}
	return n
}

// opensResponse poses as whoever asked: it makes the same request under the keys that
// it has, so that the response would belong to it.
func (k *keeper) opensResponse(ms *join.Membership, gid []byte, d sim.Datagram, requests []sim.Datagram) bool {
	t := k.w.t.(*testing.T)
	asked := requestOf(t, d, requests)
	if asked == nil {
		return false
	}
	o, err := oscore.MessageOption(asked)
	if err != nil || o.KID == nil || o.PIV == nil {
		return false
	}
	c, err := ms.Context(k.cred, cose.NewEd25519(k.key), oscore.NewSequence(oscore.PIVNumber(o.PIV), nil), k.w.rand,
		func(p *group.Params) { p.GID, p.SenderID = gid, o.KID })
	if err != nil {
		t.Fatal(err)
	}
	posing.Store(true)
	_, binding, err := c.ProtectRequest(lightMessage(nil), nil)
	posing.Store(false)
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = c.UnprotectResponse(parsed(t, d), binding)
	return err == nil
}

// knock makes every request that the Group Manager knows about a group, over one
// association, and fails when anything but a refusal comes back. nodes are the
// NODENAMEs of others.
func (k *keeper) knock(what, where string, caller coap.Caller, nodes ...string) {
	t := k.w.t.(*testing.T)
	t.Helper()
	base := "/ace-group/" + where
	filter := ace.Encode(ace.CredsRequest{GetCreds: ace.GetCreds{Filter: &ace.CredsFilter{Inclusive: true, Roles: []ace.Role{}, IDs: [][]byte{{0}, {1}, {2}}}}})
	type ask struct {
		method coap.Code
		path   string
		body   []byte
	}
	asks := []ask{
		{coap.GET, base, nil}, {coap.POST, base, nil}, {coap.GET, base + "/num", nil}, {coap.GET, base + "/active", nil},
		{coap.GET, base + "/creds", nil}, {coap.FETCH, base + "/creds", filter}, {coap.GET, base + "/policies", nil},
		{coap.GET, base + "/kdc-cred", nil}, {coap.FETCH, base + "/stale-sids", cbor.MustMarshal(0)}, {coap.GET, base + "/verif-data", nil},
		{coap.FETCH, base + "/kdc-cred", ace.Encode(ace.KDCCredRequest{CNonce: make([]byte, 8)})},
		{coap.GET, "/manage", nil}, {coap.GET, "/manage/" + where, nil}, {coap.DELETE, "/manage/" + where, nil},
		{coap.GET, "/manage/" + where + "/members", nil}, {coap.GET, "/manage/" + where + "/rekey", nil},
		{coap.POST, "/manage/" + where + "/evict", ace.Encode(ace.EvictRequest{Nodes: nodes})},
		{coap.POST, "/manage/" + where + "/rekey", ace.Encode(ace.RekeyRequest{})},
	}
	for _, n := range nodes {
		node := base + "/nodes/" + n
		asks = append(asks, ask{coap.GET, node, nil}, ask{coap.POST, node, nil}, ask{coap.DELETE, node, nil}, ask{coap.POST, node + "/cred", nil})
	}
	before := k.w.groups(where)
	for _, a := range asks {
		for _, format := range []uint32{ace.FormatACEGroupcomm, formatCBOR} {
			req := coap.NewRequest(a.method, a.path, a.body)
			if a.body != nil {
				coap.AddUint(req, coap.OptionContentFormat, format)
			}
			resp, err := caller.Call(t.Context(), req)
			if err == nil && coap.Class(resp.Code) == 2 {
				t.Errorf("%s: %v %s is answered %s", what, a.method, a.path, coap.CodeString(resp.Code))
			}
		}
	}
	if after := k.w.groups(where); before != after {
		t.Errorf("%s: %s became %s", what, before, after)
	}
}

// groups is a group's state at the Group Manager, in short.
func (w *world) groups(name string) string {
	w.t.Helper()
	list, err := w.gm.Members(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := w.gm.Progress(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range list {
		list[i].Joined = time.Time{}
	}
	return string(cbor.MustMarshal([]any{p.Num, list}))
}

// comesBack tries to join with a token and all else that a member has.
func (k *keeper) comesBack(tok *ace.TokenResponse) error {
	t := k.w.t.(*testing.T)
	id1 := make([]byte, 3)
	k.w.rand.Read(id1)
	a, err := join.Transfer(t.Context(), k.ex, gmAddr, tok, id1, k.w.rand)
	if err != nil {
		return err
	}
	c, err := a.Context(oscore.NewSequence(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	caller := oscore.NewClient(c, k.ex, gmAddr)
	k.knock("another association of the token", k.where, caller, nodeOf(k.ms), "n0", "n1")
	return k.joins(caller, a.NS)
}

func (k *keeper) joins(caller coap.Caller, ns []byte) error {
	_, _, err := join.Self(k.w.t.Context(), caller, join.SelfParams{
		Group: k.where, Roles: ace.RoleRequester, Cred: k.cred, Key: cose.NewEd25519(k.key), GMCred: k.w.gmCred, NS: ns, Rand: k.w.rand,
	})
	return err
}

func nodeOf(ms *join.Membership) string {
	return ms.NodePath[bytes.LastIndexByte([]byte(ms.NodePath), '/')+1:]
}

// Somebody was evicted and has kept all that he had: the keys of every version, his
// own key, the association with the Group Manager, his token, one that he got in
// advance, and all that was sent. He neither reads nor writes after the rekeying, and
// does not come back with any of it. Members do, and so did he before.
func TestEvictedWithEverything(t *testing.T) {
	for name, c := range map[string]struct {
		where string
		off   bool // the lamp, during the rekeying
		mute  bool // the Group Manager, when the lamp comes back
	}{
		"told one by one":                 {"hall", false, false},
		"told by a message to many":       {"cellar", false, false},
		"lamp off meanwhile":              {"hall", true, false},
		"and the message was for many":    {"cellar", true, false},
		"and no Group Manager afterwards": {"hall", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			mode := group.Group // so that members can read each other's answers
			w := newWorld(t, func(cfg *Config) {
				cfg.ResponseMode = &mode
				cfg.Policy = func(string) Policy { return Policy{RefuseWhenSilent: c.mute} }
			})
			tap := w.wiretap()
			w.telling()
			anna := &keeper{installer: w.installer("anna", 1)}
			bert := &keeper{installer: w.installer("bert", 2)}
			anna.where, bert.where = c.where, c.where
			anna.self(ace.RoleRequester)
			if err := cmpErr(anna.claim(), anna.assist()); err != nil {
				t.Fatal(err)
			}
			bert.self(ace.RoleRequester)
			anna.keep()
			bert.keep()
			if _, err := anna.light(on(false)); err != nil {
				t.Fatal(err)
			}
			if _, err := bert.light(on(false)); err != nil {
				t.Fatal(err)
			}
			start := tap.mark()
			if _, err := anna.light(nil); err != nil {
				t.Fatal(err)
			}
			if r := bert.readAll(bert.ms.GID, tap.since(start, sim.Request), tap.since(start, sim.Response)); r.requests == 0 || r.responses == 0 {
				t.Fatalf("as a member he reads %+v: this test cannot fail", r)
			}
			hoarded, err := bert.token("", ace.RoleRequester)
			if err != nil {
				t.Fatal(err)
			}
			held := bert.seal(lightMessage(on(true)))
			lampID := w.lamp.State().Groups[0].SenderID

			w.clock.Advance(time.Second)
			w.net.Down(lampAddr, c.off)
			evicted := tap.mark()
			before := w.num(c.where)
			if err := w.gm.Evict(t.Context(), c.where, nodeOf(bert.ms)); err != nil {
				t.Fatal(err)
			}
			if anna.keep(); c.off {
				w.net.Down(gmAddr, c.mute)
				w.net.Down(lampAddr, false)
				w.boot()
			} else {
				w.eventually("keys", func() bool { return w.num(c.where) == before+1 })
			}
			attack := func(when string, first uint64) {
				t.Helper()
				tap.replay()
				bert.send(held)
				bert.write(anna.ms.GID, lampID, first)
				if w.lamp.State().Light.On {
					t.Fatalf("%s: he commands the lamp", when)
				}
			}
			attack("at once", 1<<32)
			if c.mute {
				w.net.Down(gmAddr, false)
				w.clock.Advance(gmRest)
				attack("with a Group Manager again", 1<<35)
			}
			bert.knock("the evicted", c.where, bert.gm, nodeOf(bert.ms), nodeOf(anna.ms), "n1")
			if err := bert.joins(bert.gm, nil); err == nil {
				t.Error("he joins again")
			}
			for what, tok := range map[string]*ace.TokenResponse{"his token": bert.tok, "the one that he got in advance": hoarded} {
				if err := bert.comesBack(tok); err == nil {
					t.Errorf("he comes back with %s", what)
				}
			}
			if _, err := anna.light(on(false)); err != nil {
				t.Fatal(err)
			}
			requests, responses := tap.since(evicted, sim.Request), tap.since(evicted, sim.Response)
			if r := bert.readAll(anna.ms.GID, requests, responses); r != (reading{}) {
				t.Errorf("he reads %+v", r)
			}
			if r := anna.readAll(anna.ms.GID, requests, responses); r.responses == 0 || c.where == "cellar" && !c.off && r.toMany == 0 {
				t.Errorf("a member reads %+v", r)
			}
			if n := w.told(w.lamp.members[c.where].rec.Association, requests); n == 0 && c.where == "hall" && !c.off {
				t.Error("the lamp was told nothing")
			}
			attack("afterwards", 1<<33)
			w.boot()
			attack("after a reboot", 1<<34)
			if l, err := anna.light(on(true)); err != nil || !l.On {
				t.Errorf("a member: %+v, %v", l, err)
			}
		})
	}
}

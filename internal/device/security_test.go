package device

import (
	"bytes"
	"net/netip"
	"sync"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/sim"
)

// wiretap is somebody who has recorded everything.
type wiretap struct {
	w    *world
	mu   sync.Mutex
	all  []sim.Datagram
	mute bool // what the attackers send themselves is not of interest
}

func (w *world) wiretap() *wiretap {
	tap := &wiretap{w: w}
	w.net.Record = func(d sim.Datagram) {
		tap.mu.Lock()
		defer tap.mu.Unlock()
		if !tap.mute {
			d.Bytes = bytes.Clone(d.Bytes)
			tap.all = append(tap.all, d)
		}
	}
	return tap
}

// recorded lists the messages of a kind that reach an address.
func (tap *wiretap) recorded(to ...netip.AddrPort) []sim.Datagram {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	var list []sim.Datagram
	for _, d := range tap.all {
		for _, addr := range to {
			if d.Kind == sim.Request && d.To == addr {
				list = append(list, d)
			}
		}
	}
	return list
}

// replay delivers all that ever went to the lamp or to a group once more, to it alone
// and to all.
func (tap *wiretap) replay() {
	tap.mu.Lock()
	tap.mute = true
	tap.mu.Unlock()
	for _, d := range tap.recorded(lampAddr, groupAddr) {
		for _, multicast := range []bool{false, true} {
			tap.w.net.Inject(tap.w.t.Context(), d.From, lampAddr, d.Bytes, multicast)
		}
	}
	tap.mu.Lock()
	defer tap.mu.Unlock()
	tap.mute = false
}

// keeper is a member who keeps the keys of every version that he ever had.
type keeper struct {
	*installer
	kept []*join.Membership
}

func (k *keeper) keep() {
	k.refresh()
	k.kept = append(k.kept, k.ms)
}

// contexts are what somebody can make of the keys that he has kept: as they were,
// and under a Gid of now.
func (k *keeper) contexts(gid []byte, first uint64) []*group.Context {
	var list []*group.Context
	for i, ms := range k.kept {
		for j, id := range [][]byte{ms.GID, gid} {
			c, err := ms.Context(k.cred, cose.NewEd25519(k.key), oscore.NewSequence(first+uint64(2*i+j)<<20, nil), k.w.rand, func(p *group.Params) { p.GID = id })
			if err != nil {
				k.w.t.Fatal(err)
			}
			list = append(list, c)
		}
	}
	return list
}

// write tries to switch the light on, in both modes.
func (k *keeper) write(gid, lampID []byte, first uint64) {
	k.w.t.Helper()
	for _, c := range k.contexts(gid, first) {
		for _, to := range [][]byte{nil, lampID} {
			outer, _, err := c.ProtectRequest(lightMessage(on(true)), to)
			if err != nil {
				continue // the lamp is unknown under these keys
			}
			k.send(outer)
		}
	}
}

// read tries to open messages to the group.
func (k *keeper) read(gid []byte, sent []sim.Datagram) (opened int) {
	for _, c := range k.contexts(gid, 1<<30) {
		for _, d := range sent {
			m, err := coap.UnmarshalUDP(bytes.Clone(d.Bytes))
			if err != nil || !coap.HasOption(m, coap.OptionOSCORE) {
				continue
			}
			if _, _, err := c.UnprotectRequest(m); err == nil {
				opened++
			}
		}
	}
	return opened
}

// After the next rekeying nobody who is no member any more reads or writes in the
// group, and neither does who never was one: not an evicted member with all keys
// that he had, not who has recorded everything, not a member of another group, not a
// former installer with everything that he ever held; not even at a lamp that was off
// during the rekeying and comes back. (The one thing that such an installer has is in
// TestFormerInstaller.)
func TestNobodyElse(t *testing.T) {
	for name, off := range map[string]bool{"lamp on": false, "lamp off meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.telling()
			tap := w.wiretap()
			anna := w.installer("anna", 1)
			anna.where = "cellar" // told by messages to many
			anna.self(ace.RoleRequester)
			if err := cmpErr(anna.claim(), anna.assist()); err != nil {
				t.Fatal(err)
			}
			bert := &keeper{installer: w.installer("bert", 2)}
			bert.where = "cellar"
			bert.self(ace.RoleRequester)
			bert.keep()
			dora := &keeper{installer: w.installer("dora", 3)}
			dora.where = "attic"
			dora.self(ace.RoleRequester)
			dora.keep()
			anna.refresh()
			lampID := w.lamp.State().Groups[0].SenderID
			for range 2 { // traffic and keys to keep
				if _, err := bert.light(on(true)); err != nil {
					t.Fatal(err)
				}
				if _, err := anna.light(on(false)); err != nil {
					t.Fatal(err)
				}
				before := w.num("cellar")
				if err := w.gm.Rekey(t.Context(), "cellar", ""); err != nil {
					t.Fatal(err)
				}
				w.eventually("keys", func() bool { return w.num("cellar") == before+1 })
				anna.refresh()
				bert.keep()
			}
			held := bert.seal(lightMessage(on(true)))

			w.net.Down(lampAddr, off)
			before := anna.ms.Num
			if err := w.gm.Evict(t.Context(), "cellar", nodeName(bert.ms.NodePath)); err != nil {
				t.Fatal(err)
			}
			anna.refresh()
			if off {
				w.net.Down(lampAddr, false)
				w.boot()
			} else {
				w.eventually("keys", func() bool { return w.num("cellar") == before+1 })
			}
			attack := func(when string, first uint64) {
				t.Helper()
				tap.replay()
				bert.send(held)
				bert.write(anna.ms.GID, lampID, first)
				dora.write(anna.ms.GID, lampID, first)
				if w.lamp.State().Light.On {
					t.Fatalf("%s: somebody else commands the lamp", when)
				}
			}
			attack("before anybody else says something", 1<<32)
			tap.mu.Lock()
			tap.all = nil
			tap.mu.Unlock()
			if _, err := anna.light(on(false)); err != nil {
				t.Fatal(err)
			}
			now := tap.recorded(lampAddr, groupAddr)
			if len(now) == 0 {
				t.Fatal("nothing was recorded")
			}
			for who, k := range map[string]*keeper{"the evicted": bert, "of another group": dora} {
				if n := k.read(anna.ms.GID, now); n != 0 {
					t.Errorf("%s reads %d messages", who, n)
				}
			}
			attack("afterwards", 1<<33)
			w.boot()
			attack("after a reboot", 1<<34)
			if l, err := anna.light(on(true)); err != nil || !l.On {
				t.Errorf("a member: %+v, %v", l, err)
			}
			// The message that brought the new keys to many, and keys of the tree.
			for _, d := range tap.recorded(groupAddr) {
				m, err := coap.UnmarshalUDP(bytes.Clone(d.Bytes))
				if err != nil || coap.Path(m) != "/ace-group/cellar" {
					continue
				}
				for _, ms := range bert.kept {
					if c, err := ms.OpenMany(m.Payload, join.Trusts(w.gmCred)); err == nil && c.Rekeying.Num >= anna.ms.Num {
						t.Error("the evicted opens the message with the new keys")
					}
				}
			}
		})
	}
}

func nodeName(path string) string { return path[len("/ace-group/cellar/nodes/"):] }

// A former installer has kept the association that he obtained for the lamp. The
// Group Manager gives no keys over it, so he reads nothing; and when somebody else
// has renewed it, it opens nothing at the lamp either.
func TestFormerInstaller(t *testing.T) {
	w := newWorld(t)
	w.telling()
	anna := w.installer("anna", 1)
	carl := &keeper{installer: w.installer("carl", 4)}
	anna.self(ace.RoleRequester)
	carl.self(ace.RoleRequester)
	if err := anna.claim(); err != nil {
		t.Fatal(err)
	}
	if err := anna.list(2, commissioner{anna.cred, allRights}, commissioner{carl.cred, allRights}); err != nil {
		t.Fatal(err)
	}
	session := carl.commissionerSession()
	h, err := carl.obtain(session)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(session, coap.PUT, "/ll/groups/hall", h, nil); err != nil {
		t.Fatal(err)
	}
	anna.refresh()
	carl.keep()
	if _, err := anna.light(on(false)); err != nil {
		t.Fatal(err)
	}
	kept := w.lamp.members["hall"].rec.Association
	tap := w.wiretap()

	// Revoked: off the list, out of the group, and barred.
	if err := anna.list(3, commissioner{anna.cred, allRights}); err != nil {
		t.Fatal(err)
	}
	obtainer := w.members()[lampSubject].Obtainer
	if err := w.gm.Bar(t.Context(), []string{obtainer}); err != nil {
		t.Fatal(err)
	}
	if err := w.gm.Evict(t.Context(), "hall", nodeOf(carl.ms)); err != nil {
		t.Fatal(err)
	}
	anna.refresh()
	anna.cast(lightMessage(on(false)))

	octx, err := kept.Context(oscore.NewSequence(1<<30, nil))
	if err != nil {
		t.Fatal(err)
	}
	thief := join.NewMember(oscore.NewClient(octx, carl.ex, gmAddr), "hall", w.lamp.members["hall"].rec.Membership.NodePath)
	if ms, err := thief.Keys(t.Context(), carl.ms); err == nil {
		t.Fatalf("he gets keys of version %d over the lamp's association", ms.Num)
	}
	for _, d := range tap.recorded(lampAddr) {
		m, err := coap.UnmarshalUDP(bytes.Clone(d.Bytes))
		if err != nil || d.From != gmAddr {
			continue
		}
		lamp, err := kept.Context(oscore.NewSequence(1<<31, nil))
		if err != nil {
			t.Fatal(err)
		}
		if req, _, err := lamp.UnprotectRequest(m); err == nil {
			if c, err := ace.ParseControl(req.Payload); err == nil && c.Kind == ace.ControlRekeying && c.Rekeying.Num > carl.ms.Num {
				t.Error("the Group Manager sends new keys over the association")
			}
		}
	}
	if n := carl.read(anna.ms.GID, tap.recorded(groupAddr)); n > 1 { // what was sent under the old keys
		t.Errorf("he reads %d messages", n)
	}

	// Renewed by Anna.
	if err := anna.assist(); err != nil {
		t.Fatal(err)
	}
	anna.refresh()
	if l, err := anna.light(on(false)); err != nil || l.On {
		t.Fatalf("%+v, %v", l, err)
	}
	forged := *anna.ms
	forged.Num += 5
	forged.GID, forged.MasterSecret = []byte("mine"), bytes.Repeat([]byte{1}, 16)
	poser := w.controlOf(kept)
	if err := poser.tell(node, rekeying(&forged)); err == nil {
		t.Error("he poses as the Group Manager")
	}
	if err := poser.send(coap.NewRequest(coap.DELETE, node, nil)); err == nil {
		t.Error("he evicts the lamp")
	}
	for _, c := range []coap.Caller{session, carl.commissionerSession()} {
		if err := do(c, coap.GET, "/ll/groups", nil, nil); err == nil {
			t.Error("he manages the lamp")
		}
		if err := do(c, coap.PUT, "/ll/groups/hall", h, nil); err == nil {
			t.Error("he puts the old membership in place again")
		}
	}
	carl.write(anna.ms.GID, w.lamp.State().Groups[0].SenderID, 1<<34)
	tap.replay()
	if s := w.lamp.State(); s.Light.On || len(s.Groups) != 1 || s.Groups[0].Num != anna.ms.Num {
		t.Errorf("%+v", s)
	}
}

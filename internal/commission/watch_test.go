package commission

import (
	"context"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
)

// eventually waits until something has come true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatalf("not in time: %s", what)
}

func (b *browser) group(name string) Group {
	for _, g := range b.Snapshot().Groups {
		if g.Name == name {
			return g
		}
	}
	return Group{}
}

// hears hands the engine what the Group Manager would say about the hall.
func (b *browser) hears(kind watched, code coap.Code, format int, payload []byte) error {
	b.t.Helper()
	s := b.current()
	g, err := s.knownGroup(hall)
	if err != nil {
		b.t.Fatal(err)
	}
	return s.heed(b.t.Context(), g, heard{kind: kind, msg: coap.Respond(code, format, payload), term: s.term(g)})
}

// newerKeys makes the Group Manager rekey the hall and returns the keys as another
// member gets them.
func (w *world) newerKeys(b *browser) *join.Membership {
	w.t.Helper()
	if err := w.gm.Rekey(w.t.Context(), hall, ""); err != nil {
		w.t.Fatal(err)
	}
	s := b.current()
	g, _ := s.knownGroup(hall)
	client, old, err := s.client(g)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := client.Keys(w.t.Context(), old)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func rekeyingOf(m *join.Membership, stale ...[]byte) []byte {
	return ace.Encode(ace.RekeyingMessage{
		GKTY: 1, Profile: 1, Num: m.Num, EXP: m.Expires, EXI: m.ExpiresIn, StaleIDs: append([][]byte{}, stale...),
		Key: ace.KeyMaterial{MasterSecret: m.MasterSecret, Salt: m.MasterSalt, GID: m.GID},
	})
}

// Statement 92 at the browser (KGO, Section 11.2): the next version is installed at
// once, a later one when it is known who became stale, an older one never.
func TestStatement092_BrowserHearsOfKeys(t *testing.T) {
	w := newWorld(t, 3)
	b := w.enrolled()
	b.joined()
	first := b.group(hall)
	next := w.newerKeys(b)
	b.must(nil, b.hears(watchKeys, coap.Content, ace.FormatACEGroupcomm, rekeyingOf(next)))
	if g := b.group(hall); g.Epoch != first.Epoch+1 || g.KeysFrom == 0 {
		t.Errorf("%+v", g)
	}
	b.verified(3) // the lamps get the keys by asking
	forged := *next
	forged.MasterSecret = []byte("another secret 16")
	b.must(nil, b.hears(watchKeys, coap.Content, ace.FormatACEGroupcomm, rekeyingOf(&forged)))
	b.verified(3)
	w.newerKeys(b)
	last := w.newerKeys(b)
	b.must(nil, b.hears(watchKeys, coap.Content, ace.FormatACEGroupcomm, rekeyingOf(last)))
	if g := b.group(hall); g.Epoch != first.Epoch+3 {
		t.Errorf("%+v", g)
	}
	b.verified(3)
	// The answer to a registration brings keys without what became stale: it asks.
	again := w.newerKeys(b)
	answer := ace.Encode(ace.KeyResponse{GKTY: 1, Profile: 1, Num: again.Num, Key: ace.KeyMaterial{MasterSecret: again.MasterSecret, GID: again.GID, CredFmt: 14}})
	b.must(nil, b.hears(watchKeys, coap.Content, ace.FormatACEGroupcomm, answer))
	if g := b.group(hall); g.Epoch != first.Epoch+4 {
		t.Errorf("%+v", g)
	}
	if err := b.hears(watchKeys, coap.Content, ace.FormatACEGroupcomm, []byte{0xa0, 0}); err == nil {
		t.Error("garbage is news")
	}
}

// A paused group's commands are refused, in a sentence, until it goes on.
func TestPaused(t *testing.T) {
	w := newWorld(t, 1)
	b := w.enrolled()
	b.joined()
	b.must(nil, b.hears(watchActive, coap.Content, ace.FormatCBOR, cbor.MustMarshal(false)))
	s := b.current()
	g, _ := s.knownGroup(hall)
	s.setTold(g, true) // so that it is not asked about
	on := true
	if _, err := b.SetLight(t.Context(), hall, Light{On: &on}); asProblem(err).ID != "group-paused" || !b.group(hall).Paused {
		t.Errorf("%v, %+v", err, b.group(hall))
	}
	if _, err := b.RollCall(t.Context(), hall); asProblem(err).ID != "group-paused" {
		t.Errorf("%v", err)
	}
	if w.lamps[0].State().Light.On {
		t.Error("sent")
	}
	b.must(nil, b.hears(watchActive, coap.Content, ace.FormatCBOR, cbor.MustMarshal(true)))
	b.verified(1)
	// Nobody tells: it is asked once more before a command is refused.
	b.must(nil, b.hears(watchActive, coap.Content, ace.FormatCBOR, cbor.MustMarshal(false)))
	s.setTold(g, false)
	b.verified(1)
}

// The browser is removed, or the group deleted: it says so, also after a reload, and
// sends nothing any more; it joins again when somebody wants that.
func TestMembershipEnds(t *testing.T) {
	for name, c := range map[string]struct {
		id  ace.ErrorID
		end MembershipEnd
		id2 string
	}{
		"removed": {ace.ErrorTerminated, EndRemoved, "removed-from-group"},
		"deleted": {ace.ErrorDeleted, EndDeleted, "group-deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			b := w.engine(nil)
			// Nobody who administers groups: the Group Manager still lists the group.
			rule := as.Rule{Group: hall, Self: ace.RoleRequester, Devices: ace.RoleRequester | ace.RoleResponder}
			b.must(b.AcceptInvitation(t.Context(), w.invite("Ann", rule)))
			b.must(b.ImportLabels(t.Context(), w.table()))
			b.joined()
			told := ace.Problem(coap.NotFound, c.id, "")
			b.must(nil, b.hears(watchNode, told.Code, ace.FormatProblem, told.Payload))
			for _, reload := range []bool{false, true} {
				if reload {
					b.Close()
					b = w.engine(b.store)
				}
				if g := b.group(hall); g.Joined || g.Ended != c.end {
					t.Fatalf("%+v", g)
				}
				if _, err := b.RollCall(t.Context(), hall); asProblem(err).ID != c.id2 {
					t.Errorf("%v", err)
				}
			}
			b.must(nil, b.Enter(t.Context(), hall))
			if g := b.group(hall); !g.Joined || g.Ended != "" {
				t.Errorf("%+v", g)
			}
			b.verified(1)
		})
	}
}

// telling makes the Group Manager tell its members by itself.
func (w *world) telling() {
	w.t.Helper()
	w.gmCfg.Exchange = w.net.From(gmAddr)
	w.gmCfg.ControlURI = func(string, string) bool { return true }
	w.gmCfg.Pace = time.Millisecond
	w.bootGM()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.gm.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
}

// The Group Manager of this program and the browser: new keys are there before the
// next command, a pause and the own removal are said at once, also after the link was
// lost.
func TestBrowserIsTold(t *testing.T) {
	w := newWorld(t, 3)
	w.telling()
	b := w.enrolled(func(c *Config) { c.Tuning.Ask = time.Hour }) // it must not come of asking
	b.joined()
	eventually(t, "it observes", func() bool { return b.group(hall).Told })
	for range 2 {
		before := b.group(hall).Epoch
		if err := w.gm.Rekey(t.Context(), hall, ""); err != nil {
			t.Fatal(err)
		}
		eventually(t, "new keys", func() bool { return b.group(hall).Epoch == before+1 })
		if call := b.verified(3); call.Multicasts != 1 {
			t.Errorf("it took %d multicasts", call.Multicasts)
		}
		w.net.Unobserve(browserAddr) // the link is lost
	}
	eventually(t, "it observes again", func() bool { return b.group(hall).Told })
	if err := w.gm.SetActive(t.Context(), hall, false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pause", func() bool { return b.group(hall).Paused })
	if _, err := b.RollCall(t.Context(), hall); asProblem(err).ID != "group-paused" {
		t.Errorf("%v", err)
	}
	if err := w.gm.SetActive(t.Context(), hall, true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on", func() bool { return !b.group(hall).Paused })
	b.verified(3)

	s := b.current()
	g, _ := s.knownGroup(hall)
	path := s.membership(g).NodePath
	if err := w.gm.Evict(t.Context(), hall, path[strings.LastIndexByte(path, '/')+1:]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its removal", func() bool { return b.group(hall).Ended == EndRemoved })
	if _, err := b.RollCall(t.Context(), hall); asProblem(err).ID != "removed-from-group" {
		t.Errorf("%v", err)
	}
	b.must(nil, b.Enter(t.Context(), hall))
	b.verified(3)
}

// A browser that was away for three rekeyings comes back, with a reload or by its
// link, and commands the group again.
func TestBrowserRecovers(t *testing.T) {
	for name, reload := range map[string]bool{"reload": true, "link": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			w.telling()
			b := w.enrolled()
			b.joined()
			before := b.group(hall).Epoch
			if reload {
				b.Close()
			} else {
				eventually(t, "it observes", func() bool { return b.group(hall).Told })
				w.net.Unobserve(browserAddr)
				b.SetLink(false, 0, "")
			}
			for range 3 {
				if err := w.gm.Rekey(t.Context(), hall, ""); err != nil {
					t.Fatal(err)
				}
			}
			if reload {
				b = w.engine(b.store)
			} else {
				b.SetLink(true, 0, "")
			}
			eventually(t, "the keys of now", func() bool { return b.group(hall).Epoch == before+3 })
			b.verified(2)
		})
	}
}

// A browser that was evicted and hears of it by asking does not come back by itself.
func TestBrowserAsksAfterEviction(t *testing.T) {
	w := newWorld(t, 1)
	b := w.enrolled()
	b.joined()
	s := b.current()
	g, _ := s.knownGroup(hall)
	path := s.membership(g).NodePath
	if err := w.gm.Evict(t.Context(), hall, path[strings.LastIndexByte(path, '/')+1:]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.updateKeys(t.Context(), g); asProblem(err).ID != "removed-from-group" {
		t.Errorf("%v", err)
	}
	if b.group(hall).Ended != EndRemoved {
		t.Errorf("%+v", b.group(hall))
	}
	if _, err := b.RollCall(t.Context(), hall); asProblem(err).ID != "removed-from-group" {
		t.Errorf("%v", err)
	}
	b.must(nil, b.Enter(t.Context(), hall))
	b.verified(1)
}

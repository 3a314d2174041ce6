package commission

import (
	"testing"
	"time"

	"lamplighter/internal/ace"
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
	return s.heed(b.t.Context(), g, heard{kind: kind, msg: coap.Respond(code, format, payload)})
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
			b := w.enrolled()
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

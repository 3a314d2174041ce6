package device

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/sim"
)

// withSender is a building whose last device, a switch or sensor, may send requests.
func withSender(t *testing.T, lamps int) (*building, *bulb) {
	b := newBuilding(t, lamps)
	b.anna.gives = ace.RoleRequester
	s := b.newBulb(lamps)
	b.bulbs = append(b.bulbs, s)
	b.configured(lamps + 1)
	if err := cmpErr(s.at(b.anna).claim(), s.at(b.anna).assist()); err != nil {
		t.Fatal(err)
	}
	b.anna.refresh()
	for _, l := range b.bulbs {
		b.anna.nonceOf(l) // challenges are met
	}
	return b, s
}

// eventually waits for what goes on in the background.
func (b *building) eventually(what string, done func() bool) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s: in vain; %+v", what, b.lights())
		}
	}
}

func (b *building) lights() (all []Light) {
	for _, l := range b.bulbs {
		all = append(all, l.lamp.State().Light)
	}
	return all
}

// requestsOf counts the requests from addr that go to many, for each receiver, and to
// one.
func (b *building) requestsOf(addr netip.AddrPort) (many, one *atomic.Int64) {
	many, one = new(atomic.Int64), new(atomic.Int64)
	record := func(d sim.Datagram) {
		if d.Kind != sim.Request || d.From != addr {
			return
		}
		if d.To == groupAddr {
			many.Add(1)
		} else if d.To != gmAddr {
			one.Add(1)
		}
	}
	b.record.Store(&record)
	return many, one
}

func press(t *testing.T, l *bulb, button uint) {
	t.Helper()
	if err := l.lamp.Press(t.Context(), button); err != nil {
		t.Fatal(err)
	}
}

// A switch commands a group by its own Group OSCORE messages: lamps that never heard
// of it, lamps that know it, and lamps that challenge it after a restart.
func TestSwitch(t *testing.T) {
	b, s := withSender(t, 3)
	lamps, in := b.bulbs[:3], b.anna
	in.set(s, settings.Map{31: int64(3), 30: settings.Map{
		0: settings.Map{1: "hall"}, 1: settings.Map{1: "hall", 2: int64(actionRecall), 3: int64(4)}, 2: settings.Map{1: "hall", 2: int64(actionOff)},
	}})
	for i, l := range lamps {
		in.set(l, settings.Map{6: settings.Map{4: settings.Map{1: int64(10 * (i + 1))}}})
	}
	all := func(want func(i int, l Light) bool) func() bool {
		return func() bool {
			for i, l := range b.lights()[:3] {
				if !want(i, l) {
					return false
				}
			}
			return true
		}
	}
	on := func(_ int, l Light) bool { return l.On }
	off := func(_ int, l Light) bool { return !l.On }
	scene := func(i int, l Light) bool { return l == Light{On: true, Level: uint8(10 * (i + 1))} }

	many, one := b.requestsOf(s.addr) // 5 receive what goes to all: the switch and the world's own lamp do, too
	press(t, s, 0)
	b.eventually("on", all(on))
	press(t, s, 0)
	b.eventually("off", all(off))
	press(t, s, 1)
	b.eventually("the scene", all(scene))
	b.eventually("the last copies", func() bool { return many.Load() == 3*3*5 })
	many.Store(0)
	one.Store(0)
	lamps[1].boot()
	lamps[2].boot()
	press(t, s, 2)
	b.eventually("off, also those that restarted", all(off))
	b.eventually("three times to all, once to each that challenges", func() bool { return many.Load() == 3*5 && one.Load() == 2 })
	for _, l := range lamps {
		l.boot()
	}
	press(t, s, 1)
	b.eventually("the scene after a restart", all(scene))

	s.boot()
	press(t, s, 2)
	b.eventually("off, by a switch that restarted", all(off))
}

// A sensor says that somebody is there, again and again, to those with its link.
func TestSensor(t *testing.T) {
	b, s := withSender(t, 2)
	lamps, in := b.bulbs[:2], b.anna
	in.set(s, settings.Map{8: int64(600), 33: int64(9), 34: int64(60), 35: "hall"})
	in.set(lamps[0], settings.Map{7: int64(9), 8: int64(100)})
	if err := s.lamp.Moved(t.Context(), 39); err != nil {
		t.Fatal(err)
	}
	if err := s.lamp.Moved(t.Context(), 40); err != nil {
		t.Fatal(err)
	}
	b.eventually("light", func() bool { return lamps[0].lamp.State().Light.On })
	if lamps[1].lamp.State().Light.On {
		t.Error("another link")
	}
	for range 9 { // reports keep it on
		b.pass(60 * time.Second)
		now := b.clock.Now()
		b.eventually("a report", func() bool {
			lamps[0].lamp.mu.Lock()
			defer lamps[0].lamp.mu.Unlock()
			return !lamps[0].lamp.occupancy.until.Before(now.Add(100 * time.Second))
		})
	}
	b.pass(101 * time.Second)
	if lamps[0].lamp.State().Light.On {
		t.Error("on in an empty room")
	}
}

// A member without the right to manage, and a commissioner whose right was taken, get
// nothing of settings and tests, be it alone or to the group.
func TestSettingsOfTheRevoked(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.emergencyLight(time.Hour)
	bert := b.installer("bert", 2)
	bert.self(ace.RoleRequester)
	requests := func(txn string) map[string]*coap.Message {
		stage := settings.Transaction{Txn: []byte(txn), Mode: settings.ModeStage, Schema: 1, Patch: settings.Map{2: int64(50)}}
		return map[string]*coap.Message{
			"values": request(coap.FETCH, settings.PathValues, (&settings.StatusRequest{Fields: settings.FieldNonce}).Append(nil)),
			"all":    request(coap.GET, settings.PathValues, nil),
			"stage":  request(coap.POST, settings.PathTransaction, stage.Append(nil)),
			"log":    request(coap.GET, PathEmergency, nil),
			"test":   request(coap.POST, PathEmergency, answer(coap.Changed, testRequest{TestFunction, 1}).Payload),
		}
	}
	refused := func(when string) {
		t.Helper()
		for what, req := range requests("no " + when[:1]) {
			_, err := bert.to(l, req)
			wantCode(t, when+" "+what, err, coap.Forbidden)
			if got := bert.cast(req); len(got) != 0 {
				t.Errorf("%s: %s to the group is answered", when, what)
			}
		}
		if v := l.lamp.Settings().View(); v.State != settings.Idle || l.lamp.State().Emergency.Testing != 0 {
			t.Errorf("%s: %+v", when, v)
		}
	}
	bert.refresh()
	refused("before")
	if err := l.at(b.anna).list(2, commissioner{b.anna.cred, allRights}, commissioner{bert.cred, rightManage}); err != nil {
		t.Fatal(err)
	}
	if got := bert.cast(requests("yes!")["stage"]); len(got) != 1 {
		t.Fatalf("%d answer a commissioner", len(got))
	}
	commit := settings.Transaction{Txn: []byte("yes!"), Mode: settings.ModeCommit, Nonces: bert.nonceOf(l)}
	held := bert.seal(request(coap.POST, settings.PathTransaction, commit.Append(nil)))
	if err := l.at(b.anna).list(3, commissioner{b.anna.cred, allRights}); err != nil {
		t.Fatal(err)
	}
	bert.send(held)
	if v := l.lamp.Settings().View(); v.State != settings.Staged || v.Values[2] != int64(100) {
		t.Errorf("a revoked commissioner's commit: %+v", v)
	}
	if err := l.lamp.Settings().Drop(); err != nil {
		t.Fatal(err)
	}
	refused("after")
}

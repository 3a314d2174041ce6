package main

import (
	"slices"
	"testing"
	"time"

	"lamplighter/internal/commission"
)

// TestPowerCut joins a batch in which a lamp has lost its power: it gets the
// sentence, the others join, and a retry with the power back finishes.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 4)
	i := s.enrolled("Ann")
	i.importAll()
	if n, err := i.Discover(t.Context()); err != nil || n != 4 {
		t.Fatalf("%d lamps found, %v", n, err)
	}
	i.wait(i.Claim(t.Context(), []string{s.id(1)})) // one is claimed when the power goes, one is not
	s.lamps.lamps[1].powerOff()
	s.lamps.lamps[2].powerOff()
	j := i.wait(i.Join(t.Context(), faultGroup, s.ids()))
	if j.State != commission.JobPartial || j.Done != 2 {
		t.Errorf("%s, %d done: %s", j.State, j.Done, problems(j))
	}
	s.sentence(problemOf(j, s.id(1)), "device-silent")
	s.sentence(problemOf(j, s.id(2)), "device-silent")
	s.told(i.Blink(t.Context(), s.id(2), 1), "device-silent")
	s.joinedOnce(1, s.id(0), s.id(3))
	s.powerOn(1, 2)
	i.done(i.wait(i.RetryJob(t.Context(), j.ID)))
	s.joinedOnce(1, s.ids()...)
	i.roll()
}

func (s *faultSite) powerOn(lamps ...int) {
	s.t.Helper()
	for _, n := range lamps {
		if err := s.lamps.lamps[n].powerOn(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestSilentLamp calls the roll with one lamp without power: it is named, the
// others count. Back on power it is challenged, answers, and takes part again.
func TestSilentLamp(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 4)
	i := s.enrolled("Ann")
	i.importAll()
	i.join(s.ids()...)
	i.roll()
	s.lamps.lamps[2].powerOff()
	call := i.roll(s.id(2))
	if call.Multicasts == 0 || call.Unicasts == 0 {
		t.Errorf("%d multicast, %d unicast requests: the silent lamp is asked again by unicast", call.Multicasts, call.Unicasts)
	}
	i.light(true, s.id(2))
	s.lit(true, 0, 1, 3)
	s.powerOn(2)
	i.roll()
	i.light(false)
	s.lit(false, 0, 1, 2, 3)
}

// light switches the group; these lamps stay silent.
func (i *installer) light(on bool, silent ...string) {
	i.s.t.Helper()
	call, err := i.SetLight(i.s.t.Context(), faultGroup, commission.Light{On: &on})
	if err != nil || call.Verified != len(call.Answers)-len(silent) {
		i.s.t.Errorf("%d of %d lamps verified the command, %d silent; %v", call.Verified, len(call.Answers), len(silent), err)
	}
}

// lit looks at the lamps themselves.
func (s *faultSite) lit(on bool, lamps ...int) {
	s.t.Helper()
	for _, n := range lamps {
		if got := s.lamps.lamps[n].current().State().Light.On; got != on {
			s.t.Errorf("lamp %d is on: %v, want %v", n, got, on)
		}
	}
}

// TestLeave takes one lamp out: the others get new keys and answer, the one that
// left obeys no more, and may come back.
func TestLeave(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 4)
	i := s.enrolled("Ann")
	i.importAll()
	i.join(s.ids()...)
	i.light(false)
	before := s.group(0)
	i.done(i.wait(i.Leave(t.Context(), faultGroup, []string{s.id(3)})))
	s.joinedOnce(1, s.ids()[:3]...)
	if call := i.roll(); len(call.Answers) != 3 {
		t.Errorf("%d lamps are asked, want 3", len(call.Answers))
	}
	after := s.group(0)
	if string(before.gid) == string(after.gid) || after.num != before.num+1 {
		t.Errorf("the keys after the leave are version %d of %x, before %d of %x", after.num, after.gid, before.num, before.gid)
	}
	i.light(true)
	s.lit(true, 0, 1, 2)
	s.lit(false, 3)
	if groups := s.lamps.lamps[3].current().State().Groups; len(groups) > 0 {
		t.Errorf("the lamp that left is in %v", groups)
	}
	i.join(s.id(3))
	s.joinedOnce(1, s.ids()...)
	i.roll()
}

// epoch is what a lamp has of the group's keys.
type epoch struct {
	gid []byte
	num uint64
}

func (s *faultSite) group(n int) epoch {
	s.t.Helper()
	groups := s.lamps.lamps[n].current().State().Groups
	if len(groups) != 1 {
		s.t.Fatalf("lamp %d is in %d groups", n, len(groups))
	}
	return epoch{groups[0].GID, groups[0].Num}
}

// TestRelease gives a lamp up: its label opens it again, for the same site and
// for another one. A lamp without power cannot be released, and says so.
func TestRelease(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	ann := s.enrolled("Ann")
	ann.importAll()
	ann.join(s.ids()...)
	s.lamps.lamps[2].powerOff()
	j := ann.wait(ann.Release(t.Context(), s.ids()))
	if j.Done != 2 {
		t.Errorf("%d released: %s", j.Done, problems(j))
	}
	s.sentence(problemOf(j, s.id(2)), "device-silent")
	s.powerOn(2)
	for n, l := range s.lamps.lamps[:2] {
		if state := l.current().State(); state.Claimed || len(state.Groups) > 0 {
			t.Errorf("lamp %d is claimed after its release: %+v", n, state)
		}
	}
	s.joinedOnce(1, s.id(2))
	s.told(ann.Forget(t.Context(), []string{s.id(2)}), "still-claimed")
	ann.join(s.id(0))

	bob := s.enrolled("Bob")
	bob.importAll()
	bob.join(s.id(1))
	if err := bob.Blink(t.Context(), s.id(1), 1); err != nil {
		t.Error(err)
	}
	s.joinedOnce(2, s.ids()...)
	call := bob.roll()
	if len(call.Answers) != 1 { // Ann's lamps answer too, but are not Bob's to judge
		t.Errorf("Bob's roll call has %d rows", len(call.Answers))
	}
	ann.roll()
}

// TestLampsReboot cuts every lamp's power between a join and a command.
func TestLampsReboot(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	i := s.enrolled("Ann")
	i.importAll()
	i.join(s.ids()...)
	for _, l := range s.lamps.lamps {
		l.powerOff()
	}
	s.powerOn(0, 1, 2)
	start := time.Now()
	i.light(true)
	s.lit(true, 0, 1, 2)
	call := i.roll()
	if slices.ContainsFunc(call.Answers, func(a commission.Answer) bool { return a.Unicast }) {
		t.Error("a lamp that was challenged once is asked by unicast again")
	}
	t.Logf("%v after the power came back", time.Since(start).Round(time.Millisecond))
}

package main

import (
	"testing"

	"lamplighter/internal/commission"
)

// hall is the group as an installer's engine shows it.
func (i *installer) hall() commission.Group {
	for _, g := range i.Snapshot().Groups {
		if g.Name == faultGroup {
			return g
		}
	}
	return commission.Group{}
}

// currentLamps counts lamps that are on and have a version of the hall's keys.
func (s *faultSite) currentLamps(num int) (n int) {
	for _, l := range s.lamps.lamps {
		for _, g := range l.current().State().Groups {
			if l.powered() && g.Name == faultGroup && g.Num == uint64(num) && g.InSync {
				n++
			}
		}
	}
	return n
}

// TestTold: over real sockets the Group Manager tells lamps at their control_uris and
// the browser, through the bridge, by its observation; also after the bridge was gone.
// A lamp that was off for three rekeyings catches up by itself, one that is evicted
// says so, and the others go on.
func TestTold(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	i := s.enrolled("Ann")
	i.importAll()
	i.join(s.ids()...)
	s.until("the browser observes", func() bool { return i.hall().Told })
	told := func(lamps int) {
		t.Helper()
		num := i.hall().Epoch + 1
		if err := s.gm.server.Rekey(t.Context(), faultGroup, ""); err != nil {
			t.Fatal(err)
		}
		s.until("the browser has new keys", func() bool { return i.hall().Epoch == num })
		s.until("the lamps have new keys", func() bool { return s.currentLamps(num) == lamps })
	}
	told(3)
	if call := i.roll(); call.Multicasts != 1 {
		t.Errorf("%d multicasts", call.Multicasts)
	}
	s.startBridge()
	s.until("the browser observes again", func() bool { return i.hall().Told })
	told(3)

	s.lamps.lamps[2].powerOff()
	for range 3 {
		told(2)
	}
	s.powerOn(2)
	s.until("the lamp has caught up by itself", func() bool { return s.currentLamps(i.hall().Epoch) == 3 })
	i.roll()

	members, err := s.gm.server.Members(t.Context(), faultGroup)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if string(m.Credential) == string(s.lamps.lamps[0].current().Credential()) {
			if err := s.gm.server.Evict(t.Context(), faultGroup, m.Node); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.until("the lamp says that it was evicted", func() bool { return len(s.lamps.lamps[0].current().State().Gone) == 1 })
	s.until("the others have new keys", func() bool { return s.currentLamps(i.hall().Epoch) == 2 })
	i.light(true, s.id(0))
	s.lit(false, 0)
}

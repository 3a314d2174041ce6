package main

import (
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/commission"
	"lamplighter/internal/settings"
)

// TestSendersOverUDP: by its own messages on the network a switch switches a group
// and recalls a scene, also at a lamp that has just restarted, and a sensor has the
// lamps with its number on until nobody was seen for the hold time.
func TestSendersOverUDP(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3, func(c *demoCmd) { c.Switches, c.Sensors = 1, 1 })
	var ahead atomic.Int64
	for n, l := range s.lamps.lamps {
		l.powerOff()
		l.config.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		s.powerOn(n)
	}
	i := s.enrolled("Ann")
	s.hasLamps(i)
	lamps, button, sensor := s.lamps.lamps[:3], s.lamps.lamps[3], s.lamps.lamps[4]
	for n, l := range lamps {
		patch := settings.Map{6: settings.Map{4: settings.Map{1: int64(10 * (n + 1))}}, 8: int64(10)}
		if n < 2 {
			patch[7] = int64(9)
		}
		if err := alter(t.Context(), l.current().Settings(), patch); err != nil {
			t.Fatal(err)
		}
	}
	link := func(n int, to commission.SettingsLink) {
		t.Helper()
		to.Group = faultGroup
		c, err := i.LinkSettings(t.Context(), []string{s.id(n)}, faultGroup, to)
		if err != nil {
			t.Fatal(err)
		}
		c.In = 1
		i.keeps(c)
	}
	link(3, commission.SettingsLink{Button: 0, Action: 0})
	link(3, commission.SettingsLink{Button: 1, Action: 3, Scene: 4})
	link(4, commission.SettingsLink{Button: -1, Number: 9})

	lit := func(what string, want func(n int) bool) {
		t.Helper()
		s.until(what, func() bool {
			for n, l := range lamps {
				if l.state().Light.On != want(n) {
					return false
				}
			}
			return true
		})
	}
	all, none := func(int) bool { return true }, func(int) bool { return false }
	press := func(n uint) {
		t.Helper()
		if err := button.current().Press(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	press(0)
	lit("switched on", all)
	s.cut(1)
	press(0)
	lit("switched off, also the one that restarted", none)
	press(1)
	lit("the scene", all)
	for n, l := range lamps {
		if got := l.state().Light.Level; int(got) != 10*(n+1) {
			t.Errorf("lamp %d shows %d", n, got)
		}
	}
	i.light(false)

	linked := func(n int) bool { return n < 2 }
	if err := sensor.current().Moved(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	lit("somebody is there", linked)
	pass := func(by time.Duration) {
		ahead.Add(int64(by))
		for _, l := range lamps {
			l.current().Tick()
		}
	}
	pass(5 * time.Second)
	lit("within the hold time", linked)
	pass(5 * time.Second)
	lit("nobody is there", none)
}

package main

import (
	mathrand "math/rand/v2"
	"testing"
	"time"

	"lamplighter/internal/as"
	"lamplighter/internal/commission"
	"lamplighter/internal/gm"
)

// TestSoakOutages ends one part of the site after the other at a random moment of
// a batch, a join or a release, and brings it back: after at most some retries
// every lamp is where it belongs, once, and answers.
func TestSoakOutages(t *testing.T) {
	t.Parallel()
	const lamps = 5
	s := startFaultSite(t, lamps)
	i := s.enrolled("Ann")
	i.importAll()
	outages := []struct {
		what      string
		stop, end func()
	}{
		{"the Authorization Server", func() { s.as.stop() }, func() { s.startAS(func(*as.Config) {}) }},
		{"the Group Manager", func() { s.gm.stop() }, func() { s.startGM(func(*gm.Config) {}) }},
		{"a lamp", func() { s.lamps.lamps[1].powerOff() }, func() { s.powerOn(1) }},
		{"the bridge", func() { s.bridge.stop() }, func() { s.startBridge(); i.link.Kick() }},
	}
	through := func(n int, start func() (commission.Job, error)) {
		o := outages[n%len(outages)]
		j, err := start()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(mathrand.Int64N(int64(80 * time.Millisecond))))
		o.stop()
		time.Sleep(time.Duration(mathrand.Int64N(int64(300 * time.Millisecond))))
		o.end()
		j = i.wait(j, nil)
		tries := 1
		for ; j.State != commission.JobDone && tries < 5; tries++ {
			for _, it := range j.Items {
				if it.Problem != nil && (!it.Problem.Retry || it.Problem.ID == "internal") {
					t.Errorf("%s was gone for a moment, and %s reads %+v", o.what, it.Device, it.Problem)
				}
			}
			time.Sleep(500 * time.Millisecond)
			j = i.wait(i.RetryJob(t.Context(), j.ID))
		}
		i.done(j)
		t.Logf("%s during a %s: done with %d tries", o.what, j.Kind, tries)
	}
	for n := 0; n < rounds(4, 200) && !t.Failed(); n++ {
		through(n, func() (commission.Job, error) { return i.Join(t.Context(), faultGroup, s.ids()) })
		s.joinedOnce(s.memberBrowsers(), s.ids()...)
		i.roll()
		through(n+1, func() (commission.Job, error) { return i.Release(t.Context(), s.ids()) })
		s.joinedOnce(s.memberBrowsers())
	}
	if n := s.memberBrowsers(); n != 1 {
		t.Errorf("the browser is a member %d times", n)
	}
}

package main

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/bridge/access"
	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/gm"
)

// startGM starts the Group Manager again, with another clock or with hooks.
func (s *faultSite) startGM(change func(*gm.Config)) *gmRole {
	s.t.Helper()
	s.gm.stop()
	id, tokenKey, db, err := openServer(s.cmd.Data, gmName)
	if err != nil {
		s.t.Fatal(err)
	}
	config := gm.Config{
		Store: db, Now: time.Now, Rand: rand.Reader, Key: id.key, Credential: id.cred,
		Audience: gmName, TokenKey: tokenKey, Issuer: asName, Logger: s.logger,
	}
	change(&config)
	role := &gmRole{identity: id, store: db, tokenKey: tokenKey}
	if role.server, err = gm.New(config); err == nil {
		err = role.open(context.Background(), gmOptions{data: s.cmd.Data, listen: s.slot.gm, as: s.slot.as, logger: s.logger})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.gm = role
	return role
}

// startAS does the same for the Authorization Server.
func (s *faultSite) startAS(change func(*as.Config)) {
	s.t.Helper()
	s.as.stop()
	id, tokenKey, db, err := openServer(s.cmd.Data, asName)
	if err != nil {
		s.t.Fatal(err)
	}
	door, err := access.Open(s.cmd.Data, time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	config := as.Config{
		Store: db, Now: time.Now, Rand: rand.Reader, Key: id.key, Issuer: asName,
		GMs: map[string]ace.TokenKey{gmName: tokenKey}, Policy: as.AllGroups(), Logger: s.logger, Access: door,
	}
	change(&config)
	role := &asRole{identity: id, store: db}
	if role.server, err = as.New(config); err == nil {
		role.udp, err = endpoint.ListenUDP(s.slot.as, role.server.Handler(), endpoint.UDPOptions{Logger: s.logger})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	role.run()
	s.as = role
}

// startBridge starts the bridge again, in the same place.
func (s *faultSite) startBridge() {
	s.t.Helper()
	s.bridge.stop()
	again, err := startBridge(s.bridgeOptions)
	if err != nil {
		s.t.Fatal(err)
	}
	s.bridge = again
}

// clock is one that a test sets forward.
type clock struct{ skew atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.skew.Load())) }
func (c *clock) advance(d time.Duration) { c.skew.Add(int64(d)) }

// TestASDown: without the Authorization Server every device gets the sentence;
// when it is back a retry finishes, and nobody is a member twice.
func TestASDown(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	i := s.enrolled("Ann")
	i.importAll()
	i.join(s.id(0))
	s.as.stop()
	j := i.wait(i.Join(t.Context(), faultGroup, s.ids()))
	if j.State != commission.JobPartial || j.Done != 1 {
		t.Errorf("%s, %d done", j.State, j.Done)
	}
	for _, id := range s.ids()[1:] {
		s.sentence(problemOf(j, id), "as-down")
	}
	i.roll() // what needs no token goes on
	s.startAS(func(*as.Config) {})
	// For a moment the engine spares itself the wait for a server that was silent.
	s.until("the retry", func() bool {
		j = i.wait(i.RetryJob(t.Context(), j.ID))
		return j.State == commission.JobDone
	})
	s.joinedOnce(1, s.ids()...)
	i.roll()
}

// TestGMDownInBatch ends the Group Manager in the middle of a batch, after it
// has admitted a lamp and before its answer is out. The rest gets the sentence;
// when it is back a retry finishes, and nobody is a member twice.
func TestGMDownInBatch(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 6)
	gone := make(chan struct{})
	var role *gmRole
	var admitted atomic.Int32
	role = s.startGM(func(c *gm.Config) {
		c.Hooks.AfterCommit = func(what string) {
			if what != "join" || admitted.Add(1) != 4 { // the browser, and the third lamp
				return
			}
			go func() { defer close(gone); role.udp.Close() }()
			time.Sleep(50 * time.Millisecond) // the answer comes too late
		}
	})
	i := s.enrolled("Ann", func(c *commission.Config) { c.Tuning.Concurrency = 1 })
	i.importAll()
	j := i.wait(i.Join(t.Context(), faultGroup, s.ids()))
	<-gone
	s.gm.stop()
	if j.State != commission.JobPartial || j.Done != 2 || j.Failed != 4 {
		t.Errorf("%s, %d done, %d failed: %s", j.State, j.Done, j.Failed, problems(j))
	}
	for _, it := range j.Items {
		if it.State == "failed" {
			s.sentence(it.Problem, "gm-down")
		}
	}
	s.startGM(func(*gm.Config) {})
	if n := s.lampsIn(); n != 3 {
		t.Errorf("%d lamps are members, want 3: one does not know it", n)
	}
	s.until("the retry", func() bool {
		j = i.wait(i.RetryJob(t.Context(), j.ID))
		return j.State == commission.JobDone
	})
	s.joinedOnce(1, s.ids()...)
	i.roll()
}

// TestExpiredToken: a Group Manager whose clock is ahead calls every token
// expired, and the person reads it. With the clock right again a retry finishes.
func TestExpiredToken(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 2)
	i := s.enrolled("Ann")
	i.importAll()
	i.join(s.id(0))
	ahead := &clock{}
	ahead.advance(25 * time.Hour) // more than an installer's token lives
	s.startGM(func(c *gm.Config) { c.Now = ahead.now })
	s.startAS(func(c *as.Config) { c.DeviceLife = 24 * time.Hour })
	j := i.wait(i.Join(t.Context(), faultGroup, s.ids()))
	if j.Done != 1 || j.Failed != 1 {
		t.Errorf("%d done, %d failed: %s", j.Done, j.Failed, problems(j))
	}
	s.sentence(problemOf(j, s.id(1)), "token-expired")
	s.startGM(func(*gm.Config) {})
	i.done(i.wait(i.RetryJob(t.Context(), j.ID)))
	i.roll() // the browser, whose token had ended too, comes back
	s.joinedOnce(1, s.ids()...)
}

// TestTokenEnds lets a day go by for everybody: the browser gets a new token by
// itself, the lamps live on theirs.
func TestTokenEnds(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	everybody := &clock{}
	s.startGM(func(c *gm.Config) { c.Now = everybody.now })
	s.startAS(func(c *as.Config) { c.Now, c.TokenLife = everybody.now, 10*time.Minute })
	i := s.enrolled("Ann", func(c *commission.Config) { c.Now = everybody.now })
	i.importAll()
	i.join(s.id(0))
	for n := 1; n < 3; n++ {
		everybody.advance(24 * time.Hour)
		i.join(s.id(n))
		i.roll()
	}
	s.joinedOnce(1, s.ids()...)
}

// TestSoakBridgeGone stops the bridge at a random moment of a batch and starts it
// again at the same address: the job waits, says so, goes on by itself, and
// nobody is a member twice.
func TestSoakBridgeGone(t *testing.T) {
	t.Parallel()
	const lamps = 8
	s := startFaultSite(t, lamps)
	i := s.enrolled("Ann")
	i.importAll()
	for range rounds(3, 60) {
		j, err := i.Join(t.Context(), faultGroup, s.ids())
		if err != nil {
			t.Fatal(err)
		}
		// Early or late in the batch, at any step of somebody's join.
		enough := mathrand.IntN(lamps - 2)
		s.until("a join", func() bool { return s.lampsIn() >= enough })
		time.Sleep(time.Duration(mathrand.Int64N(int64(3 * time.Millisecond))))
		s.bridge.stop()
		joined := s.lampsIn()
		if joined < lamps {
			s.until("the word that the bridge is gone", func() bool {
				snap := i.Snapshot()
				return !snap.Link.Up && snap.Link.Reason != "" && (snap.Jobs[0].State == commission.JobWaiting || snap.Jobs[0].Ended != 0)
			})
		}
		time.Sleep(time.Duration(mathrand.Int64N(int64(400 * time.Millisecond))))
		s.startBridge()
		j = i.done(i.wait(j, nil))
		t.Logf("the bridge went away after %d of %d joins", joined, lamps)
		s.joinedOnce(1, s.ids()...)
		i.roll()
		i.done(i.wait(i.Release(t.Context(), s.ids())))
		s.joinedOnce(1)
	}
}

// TestBridgeAway tells what a person reads who clicks while the bridge is away.
func TestBridgeAway(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 2)
	i := s.enrolled("Ann")
	i.importAll()
	i.join(s.ids()...)
	s.bridge.stop()
	call, err := i.RollCall(t.Context(), faultGroup)
	s.told(err, "link-down")
	for _, a := range call.Answers {
		s.sentence(a.Problem, "link-down") // not that the lamp is silent
	}
	s.told(i.Blink(t.Context(), s.id(0), 1), "link-down")
	_, err = i.Discover(t.Context())
	s.told(err, "link-down")
	// A job waits until it is told to stop, and can be taken up again.
	j, err := i.Leave(t.Context(), faultGroup, []string{s.id(1)})
	if err != nil {
		t.Fatal(err)
	}
	s.until("waiting", func() bool { return i.Snapshot().Jobs[0].State == commission.JobWaiting })
	if j, err = i.CancelJob(context.Background(), j.ID); err != nil || j.State != commission.JobCanceled {
		t.Errorf("%s, %v", j.State, err)
	}
	s.startBridge()
	i.link.Kick()
	s.until("the link", func() bool { return i.Snapshot().Link.Up })
	i.roll()
	i.done(i.wait(i.RetryJob(t.Context(), j.ID)))
	s.joinedOnce(1, s.id(0))
}

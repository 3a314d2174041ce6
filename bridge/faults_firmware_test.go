package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
	"lamplighter/internal/gm"
	"lamplighter/internal/store"
	"lamplighter/internal/suit"
)

// firmwareSite is a site whose lamps take firmware over a network that loses some.
func firmwareSite(t *testing.T, lamps int) *faultSite {
	return startFaultSite(t, lamps, func(c *demoCmd) {
		c.Reboot, c.Loss, c.Burst, c.Seed = 50*time.Millisecond, 0.05, 1, 1
	})
}

func (s *faultSite) firmwareFile(name string) []byte {
	s.t.Helper()
	file, err := os.ReadFile(filepath.Join(s.cmd.Data, "firmware", name+".suit"))
	if err != nil {
		s.t.Fatal(err)
	}
	return file
}

// hasLamps is an installer with all lamps in the group.
func (s *faultSite) hasLamps(i *installer) {
	s.t.Helper()
	i.importAll()
	for range 5 { // a search loses answers as well
		if j := i.wait(i.Join(s.t.Context(), faultGroup, s.ids())); j.State == commission.JobDone {
			return
		}
	}
	s.t.Fatal("the lamps did not join")
}

var firmwareOptions = commission.FirmwareOptions{Profile: "wi-fi", Canary: 1, Percent: 50, ConfirmWithin: 60}

// push takes a file in and starts its rollout.
func (i *installer) push(name string, options commission.FirmwareOptions) commission.Job {
	i.s.t.Helper()
	image, err := i.InspectFirmware(i.s.t.Context(), i.s.firmwareFile(name))
	if err != nil {
		i.s.t.Fatal(err)
	}
	j, err := i.StartFirmware(i.s.t.Context(), faultGroup, image.Digest, options)
	if err != nil {
		i.s.t.Fatal(err)
	}
	return j
}

// sent waits until so many blocks of a rollout have gone to all.
func (i *installer) sent(job string, blocks int) {
	i.s.t.Helper()
	i.s.until("blocks on the way", func() bool {
		r, err := i.Firmware(i.s.t.Context(), job)
		return err == nil && r.Sent+r.Parity >= blocks
	})
}

// ends waits for the end of a rollout, and tells how it went.
func (i *installer) ends(job string) commission.Rollout {
	i.s.t.Helper()
	ctx, cancel := context.WithTimeout(i.s.t.Context(), 3*time.Minute)
	defer cancel()
	_, err := i.WaitJob(ctx, job)
	r, viewErr := i.Firmware(i.s.t.Context(), job)
	if err != nil || viewErr != nil {
		i.s.t.Fatalf("%v, %v: %s", err, viewErr, progressLine(r))
	}
	i.s.t.Logf("%s: %d blocks, %d sent, %d of parity, %d to one lamp, %d sweeps", r.Phase, r.Blocks, r.Sent, r.Parity, r.Unicast, r.Sweeps)
	return r
}

// run says which versions the lamps run.
func (s *faultSite) run() (versions []string) {
	for _, l := range s.lamps.lamps {
		versions = append(versions, l.state().Firmware.Version)
	}
	return versions
}

func (s *faultSite) allRun(version string) {
	s.t.Helper()
	if got := s.run(); slices.ContainsFunc(got, func(v string) bool { return v != version }) {
		s.t.Errorf("the lamps run %v, not %s", got, version)
	}
}

func (s *faultSite) boots() (n uint) {
	for _, l := range s.lamps.lamps {
		n += l.state().Firmware.Boots
	}
	return n
}

// TestFirmwareOutages: while an image is sent the bridge restarts, the group gets
// new keys, the Group Manager restarts. It arrives, each lamp runs it, and nothing
// of it and no key crossed the bridge in the clear.
func TestFirmwareOutages(t *testing.T) {
	t.Parallel()
	s := firmwareSite(t, 6)
	tap := newTrafficTap()
	s.bridgeOptions.config.Record = tap.record
	s.startBridge()
	i := s.enrolled("Ann")
	s.hasLamps(i)
	file, err := suit.Parse(s.firmwareFile("lamp-2.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(file.Integrated["#image"], 32) {
		tap.see("a part of the image", part)
	}
	j := i.push("lamp-2.0.0", firmwareOptions)
	i.sent(j.ID, 30)
	s.bridge.stop()
	time.Sleep(300 * time.Millisecond)
	s.startBridge()
	i.link.Kick()
	i.sent(j.ID, 80)
	if err := s.gm.server.Rekey(t.Context(), faultGroup, ""); err != nil {
		t.Fatal(err)
	}
	i.sent(j.ID, 130)
	s.gm.stop()
	time.Sleep(300 * time.Millisecond)
	s.startGM(func(*gm.Config) {})
	r := i.ends(j.ID)
	if r.Phase != commission.PhaseDone || r.Unicast > r.Blocks {
		t.Errorf("%s, %+v", r.Phase, r.Problem)
	}
	s.allRun("2.0.0")
	everSealed.mu.Lock()
	for key := range everSealed.keys {
		tap.see("a key", []byte(key))
	}
	everSealed.mu.Unlock()
	report := tap.report()
	if len(report.Leaks) > 0 || report.Secrets < 8000 || report.Protected < 300 {
		t.Errorf("%d secrets, %d protected messages: %v", report.Secrets, report.Protected, report.Leaks)
	}
}

// TestFirmwareKilledSender ends the engine at a write in the middle of the sending,
// and the next one in the middle of the switching. The one after goes on by itself
// with what the lamps have.
func TestFirmwareKilledSender(t *testing.T) {
	t.Parallel()
	s := firmwareSite(t, 5)
	db := store.NewMemory()
	i, end := s.mortalInstaller(db)
	if _, err := i.AcceptInvitation(t.Context(), s.invitation("Ann").Encode()); err != nil {
		t.Fatal(err)
	}
	s.hasLamps(i)
	job := i.push("lamp-2.0.0", firmwareOptions).ID
	i.sent(job, 100)
	end()
	i, end = s.mortalInstaller(db)
	i.until(job, func(r commission.Rollout) bool { return r.Phase == commission.PhaseSwitching })
	end()
	r := s.install(db).ends(job)
	if r.Phase != commission.PhaseDone {
		t.Errorf("%s, %+v", r.Phase, r.Problem)
	}
	if r.Sent+r.Parity > 2*r.Blocks || r.Sent+r.Parity < r.Blocks {
		t.Errorf("%d blocks and %d of parity were sent of %d blocks", r.Sent, r.Parity, r.Blocks)
	}
	s.allRun("2.0.0")
}

// mortalInstaller is one whose engine end ends at its next write, as a crash does.
func (s *faultSite) mortalInstaller(db store.Store) (i *installer, end func()) {
	s.t.Helper()
	m := &mortal{Store: db, dead: make(chan struct{})}
	m.left.Store(1 << 40)
	i = s.install(db, func(c *commission.Config) {
		m.Exchanger = c.Exchange
		c.Store, c.Exchange = m, m
	})
	return i, func() {
		m.left.Store(1)
		select {
		case <-m.dead:
		case <-time.After(20 * time.Second):
			s.t.Error("the engine has not written anything for 20 s")
		}
		i.finish()
	}
}

// until waits for a view of a rollout.
func (i *installer) until(job string, ok func(commission.Rollout) bool) {
	i.s.t.Helper()
	var r commission.Rollout
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		var err error
		if r, err = i.Firmware(i.s.t.Context(), job); err == nil && ok(r) {
			return
		}
	}
	i.s.t.Fatalf("it did not come so far: %s", progressLine(r))
}

// withholder is the network of an engine with a bridge that holds messages back
// while it is told to, and lets them go when it likes.
type withholder struct {
	coap.Exchanger

	mu      sync.Mutex
	before  func() // see first
	holds   bool
	held    []func(context.Context)
	carried []func(context.Context) // what went through since the last time that it held
}

// withheld is an installer with lamps, behind a withholder.
func (s *faultSite) withheld(name string, change ...func(*commission.Config)) (*installer, *withholder) {
	s.t.Helper()
	w := &withholder{}
	i := s.enrolled(name, append(change, func(c *commission.Config) {
		w.Exchanger = c.Exchange
		c.Exchange = w
	})...)
	s.hasLamps(i)
	return i, w
}

func (w *withholder) hold(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds, w.carried = on, nil
}

// first has something done in front of each message from now on; nil: nothing.
func (w *withholder) first(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = do
}

// keep notes a message, and says whether it is held back.
func (w *withholder) keep(again func(context.Context)) bool {
	w.mu.Lock()
	before := w.before
	w.mu.Unlock()
	if before != nil {
		before()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holds {
		w.held = append(w.held, again)
	} else if len(w.carried) < 2000 {
		w.carried = append(w.carried, again)
	}
	return w.holds
}

// Exchange implements [coap.Exchanger].
func (w *withholder) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	late := coap.Clone(req)
	if w.keep(func(ctx context.Context) { _, _ = w.Exchanger.Exchange(ctx, to, late) }) {
		return nil, coap.ErrTimeout
	}
	return w.Exchanger.Exchange(ctx, to, req)
}

// Multicast implements [coap.Exchanger].
func (w *withholder) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	late := coap.Clone(req)
	if w.keep(func(ctx context.Context) {
		_ = w.Exchanger.Multicast(ctx, to, late, 300*time.Millisecond, func(*coap.Message, netip.AddrPort) {})
	}) {
		return nil
	}
	return w.Exchanger.Multicast(ctx, to, req, wait, each)
}

// release lets all go that was held back, and repeats all that went through.
func (w *withholder) release(ctx context.Context) int {
	w.mu.Lock()
	late := append(w.held, w.carried...)
	w.held = nil
	w.mu.Unlock()
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, again := range late {
		slots <- struct{}{}
		all.Go(func() {
			short, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			again(short)
			<-slots
		})
	}
	all.Wait()
	return len(late)
}

// TestFirmwareHeldBack: the bridge holds back what switches, confirms and ends a
// rollout, and releases it when another image waits in the lamps, and after the
// rollout was ended: no lamp does anything of it.
func TestFirmwareHeldBack(t *testing.T) {
	t.Parallel()
	s := firmwareSite(t, 4)
	i, w := s.withheld("Ann")

	// The canary runs it, the others have it and wait for a person; what begins
	// their wave is held back.
	options := firmwareOptions
	options.Hold, options.Percent = true, 0
	waits := func(r commission.Rollout) bool { return r.Waits }
	first := i.push("lamp-2.0.0", options).ID
	i.until(first, waits)
	booted := s.boots()
	w.holdsWave(i, first)

	// It goes on later, with other nonces, until all run it.
	w.hold(false)
	for tries := 0; tries < 8 && s.running("2.0.0") < 4; tries++ {
		i.until(first, func(r commission.Rollout) bool { return r.Ended != 0 || r.Waits })
		r, err := i.Firmware(t.Context(), first)
		switch {
		case err != nil:
			t.Fatal(err)
		case r.Waits:
			_, _ = i.AdvanceFirmware(t.Context(), first)
			time.Sleep(100 * time.Millisecond)
		case s.running("2.0.0") < 4:
			if _, err := i.RetryJob(t.Context(), first); err != nil {
				t.Fatal(err)
			}
		}
	}
	i.ends(first)
	s.allRun("2.0.0")
	if s.boots() == booted {
		t.Fatal("nothing was switched: the rest shows nothing")
	}

	// Another image waits in the lamps. What was held back comes now.
	second := i.push("lamp-2.1.0", options).ID
	i.until(second, waits)
	booted = s.boots()
	n := w.release(t.Context())
	time.Sleep(time.Second)
	if s.boots() != booted || s.running("2.1.0") != 1 {
		t.Errorf("%d messages came late or again, and the lamps run %v", n, s.run())
	}
	t.Logf("%d messages came late or again", n)

	// The rollout is ended, and what would have switched it comes after that.
	w.holdsWave(i, second)
	w.hold(false)
	if _, err := i.CancelJob(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	w.release(t.Context())
	time.Sleep(time.Second)
	if s.boots() != booted || s.running("2.1.0") != 1 {
		t.Errorf("after the rollout was ended the lamps run %v", s.run())
	}
}

// running is how many lamps run a version.
func (s *faultSite) running(version string) (n int) {
	for _, v := range s.run() {
		if v == version {
			n++
		}
	}
	return n
}

// holdsWave lets the next wave begin, and holds back what is sent for it.
func (w *withholder) holdsWave(i *installer, job string) {
	i.s.t.Helper()
	w.hold(true)
	if _, err := i.AdvanceFirmware(i.s.t.Context(), job); err != nil {
		i.s.t.Fatal(err)
	}
	i.s.until("messages that are held back", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.held) >= 4
	})
}

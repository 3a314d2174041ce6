package commission

import (
	"context"
	"testing"
	"time"

	"lamplighter/internal/sim"
)

// TestRolloutKilledAtEveryWrite kills the engine before and after each of its durable
// writes in a rollout, and goes on with what is stored: all lamps run the image in the
// end, and none was ever without one.
func TestRolloutKilledAtEveryWrite(t *testing.T) {
	atEveryWrite(t, killRolloutAt)
}

// killRolloutAt reports whether the engine made fewer than n writes.
func killRolloutAt(t *testing.T, n int, before bool) (survived bool) {
	w := newFwWorld(t, 3)
	b := w.commissioned(nil)
	b.Close()
	w.net.SetFaults(sim.Faults{Loss: 0.05})
	file := w.file("1.1.0", 11)
	m := newMortal(b.store, w.net.From(browserAddr), n, before)
	first := w.engine(b.store, func(c *Config) { c.Store, c.Exchange, c.Clock = m, m, skewClock{w} })
	walked := make(chan bool, 1)
	go func() { walked <- first.walkRollout(file) }()
	select {
	case survived = <-walked:
	case <-m.dead:
	}
	first.Close()

	second := w.engine(b.store, w.onTap(nil))
	for range 3 { // what a person would do: repeat what failed
		if second.walkRollout(file) {
			break
		}
	}
	for _, l := range w.lamps {
		if v := l.Firmware().View(); v.Running.Version != "1.1.0" || v.Minimum != 11 {
			t.Errorf("%s: %+v", l.id(), v)
		}
	}
	for _, r := range second.Snapshot().Rollouts {
		if !r.Phase.over() {
			t.Errorf("%s", describe(r))
		}
	}
	return survived
}

// walkRollout goes on with the rollout that there is, or begins one; it reports
// whether all lamps have the image.
func (b *browser) walkRollout(file []byte) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var job Job
	if list := b.Snapshot().Rollouts; len(list) > 0 {
		var err error
		if job, err = b.RetryJob(ctx, list[0].Job); err != nil {
			return false
		}
	} else {
		img, err := b.InspectFirmware(ctx, file)
		if err != nil {
			return false
		}
		if job, err = b.StartFirmware(ctx, hall, img.Digest, FirmwareOptions{}); err != nil {
			return false
		}
	}
	job, err := b.WaitJob(ctx, job.ID)
	return err == nil && job.State == JobDone
}

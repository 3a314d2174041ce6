package device

import (
	"context"
	"time"
)

// Due is when [Device.Tick] has something to do, and whether there is such a time.
func (d *Device) Due() (at time.Time, ok bool) {
	earlier := func(t time.Time, is bool) {
		if is && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	if d.fw != nil {
		earlier(d.fw.Due())
	}
	if d.settings != nil {
		earlier(d.settings.Due())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	earlier(d.occupancy.until, !d.occupancy.until.IsZero())
	earlier(d.sensor.due())
	earlier(d.emergency.due(d.before != nil))
	return at, ok
}

// Tick does what is due: it may ask for a restart.
func (d *Device) Tick() {
	if d.settings != nil {
		d.settings.Tick()
	}
	d.vacant()
	d.report()
	d.tickEmergency()
	if d.fw != nil {
		d.fw.Tick()
	}
}

// maxSleep is how long Keep relies on its timer: clocks are set.
const maxSleep = time.Minute

// Keep calls [Device.Tick] whenever it is due. It returns with ctx, or when the device
// is closed.
func (d *Device) Keep(ctx context.Context) {
	for {
		wait := maxSleep
		if at, ok := d.Due(); ok {
			wait = min(max(at.Sub(d.cfg.Now()), 0), maxSleep)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			d.Tick()
		case <-d.stir:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		case <-d.life.Done():
			timer.Stop()
			return
		}
	}
}

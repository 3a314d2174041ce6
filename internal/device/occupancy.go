package device

import (
	"time"

	"lamplighter/internal/coap"
)

const (
	setOccupancyLink = "occupancy-link"
	setHoldTime      = "hold-time"

	defaultHold = 600 // seconds
)

// occupancy is what a lamp knows of its room from sensors with its number. It is not
// kept over a restart. Device.mu guards it.
type occupancy struct {
	until time.Time // the room counts as occupied; zero: nobody was seen
	lit   bool      // the lamp is on for that
}

// occupied takes a sensor's word that somebody is there: the lamp goes on when that
// begins, and off when it ends, unless somebody commanded it between. Lamps without
// the number stay silent to a group.
func (d *Device) occupied(from *sender, link int64, many bool) *coap.Message {
	if d.number(setOccupancyLink, 0) != link {
		if many {
			return nil
		}
		return problem(refuse(errConflict, "The lamp has no link with this number."))
	}
	d.mu.Lock()
	now := d.cfg.Now()
	begins := !now.Before(d.occupancy.until)
	on := d.usual().On
	d.occupancy.until = now.Add(d.span(setHoldTime, defaultHold, time.Second))
	d.mu.Unlock()
	defer d.wake()
	c := lightChange{from: from, sensed: true, keep: true, fade: d.span(setFade, 0, time.Millisecond), to: func(l Light) Light { return l }}
	if begins && !on {
		c.to = func(l Light) Light { l.On = true; return l }
	}
	light, err := d.command(c)
	if err != nil {
		return problem(err)
	}
	return answer(coap.Changed, light)
}

// vacant is what happens when nobody was seen for the hold time.
func (d *Device) vacant() {
	d.mu.Lock()
	over := !d.occupancy.until.IsZero() && !d.cfg.Now().Before(d.occupancy.until)
	lit := d.occupancy.lit
	if over {
		d.occupancy = occupancy{}
	}
	d.mu.Unlock()
	if !over || !lit {
		return
	}
	_, err := d.command(lightChange{
		sensed: true, fade: d.span(setFade, 0, time.Millisecond), to: func(l Light) Light { l.On = false; return l },
	})
	if err != nil {
		d.log.Error("the light stays on in an empty room", "err", err)
	}
}

package device

import (
	"context"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/store"
)

// lightRequest changes the light; what is left out stays.
//
//	light = { ? 1: bool, ? 2: 0..100, ? 3: 0 / 1, ? 4: 1..255 }
//
// 3 is the priority: an emergency's command, 1, holds the light until 0 ends it. 4 is
// the number of an occupancy link: only lamps that have it are meant, and {1: true}
// says that somebody is there.
type lightRequest struct {
	On       *bool  `cbor:"1,keyasint"`
	Level    *uint8 `cbor:"2,keyasint"`
	Priority *uint8 `cbor:"3,keyasint"`
	Link     *uint8 `cbor:"4,keyasint"`
}

func (r *lightRequest) apply(l Light) Light {
	if r.On != nil {
		l.On = *r.On
	}
	if r.Level != nil {
		l.Level = *r.Level
	}
	return l
}

// keyHeld is where the light of before an emergency is, as long as that lasts.
const keyHeld = "light-held"

// maxTold is the longest fade time, in milliseconds, that the state tells of.
const maxTold = settings.MaxFade

func (d *Device) getLight(context.Context, *coap.Request) *coap.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return answer(coap.Content, d.light)
}

// putLight changes the light. A request that the network let one of the same
// sender's later ones overtake changes nothing any more; so does a normal one while an
// emergency's holds.
func (d *Device) putLight(_ context.Context, req *coap.Request) *coap.Message {
	var want lightRequest
	if err := decode(req, &want); err != nil {
		return problem(err)
	}
	switch {
	case want.Level != nil && *want.Level > 100:
		return problem(refuse(errMalformed, "The level is 0 to 100 percent."))
	case want.Priority != nil && *want.Priority > 1:
		return problem(refuse(errMalformed, "The priority is 0 or 1."))
	case want.Link != nil && (*want.Link == 0 || want.Priority != nil || want.Level != nil || want.On == nil || !*want.On):
		return problem(refuse(errMalformed, "A sensor says that somebody is there, and the number of its link."))
	}
	if want.Priority != nil && !d.byInstaller(req.Peer) {
		return problem(refuse(errDenied, "An emergency is for the owner and commissioners to begin and to end."))
	}
	from := req.Peer.Data.(*sender)
	if want.Link != nil {
		return d.occupied(from, int64(*want.Link), req.Multicast)
	}
	now, err := d.command(lightChange{from: from, to: want.apply, fade: d.span(setFade, 0, time.Millisecond), priority: want.Priority})
	if err != nil {
		return problem(err)
	}
	return answer(coap.Changed, now)
}

// postRecall switches to a scene. A lamp that has nothing stored for it stays as it
// is. What is late does nothing, as with the light.
func (d *Device) postRecall(_ context.Context, req *coap.Request) *coap.Message {
	r, err := settings.ParseRecall(req.Payload)
	if err != nil {
		return problem(refuse(errMalformed, "This recalls no scene."))
	}
	c := lightChange{from: req.Peer.Data.(*sender), to: func(l Light) Light { return l }}
	if scene, stored := d.settings.Scene(uint64(r.Scene)); stored {
		level, _ := scene[1].(int64)
		fade, _ := scene[2].(int64)
		if r.Fade > 0 {
			fade = int64(r.Fade)
		}
		c.scene, c.fade = &r.Scene, time.Duration(fade)*time.Millisecond
		c.to = func(l Light) Light {
			if level == 0 {
				return Light{Level: l.Level}
			}
			return Light{On: true, Level: uint8(level)}
		}
	}
	now, err := d.command(c)
	if err != nil {
		return problem(err)
	}
	return answer(coap.Changed, now)
}

// lightChange is a command to the lamp.
type lightChange struct {
	from     *sender // nil: the device itself
	to       func(Light) Light
	fade     time.Duration
	priority *uint8 // of an emergency
	scene    *uint  // it is a recall
	sensed   bool   // a sensor's doing
	keep     bool   // of scene and occupancy
}

// command changes the light, durably, and tells the device's maker.
func (d *Device) command(c lightChange) (Light, error) {
	d.lightMu.Lock()
	defer d.lightMu.Unlock()
	now, changed, err := d.changeLight(c)
	if err == nil && changed && d.cfg.OnLight != nil {
		d.cfg.OnLight(now)
	}
	return now, err
}

func (d *Device) changeLight(c lightChange) (now Light, changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.from != nil && !c.from.latest(ofLight) {
		return d.light, false, nil
	}
	before := d.before
	switch held := before != nil; {
	case c.priority == nil && held && c.sensed: // it shows when the emergency ends
		now = d.light
		was := d.clamped(c.to(*before))
		before = &was
	case c.priority == nil && held:
		return d.light, false, nil
	case c.priority == nil, *c.priority == 0 && !held:
		now = d.clamped(c.to(d.light))
	case *c.priority == 0:
		now, before = d.clamped(c.to(*before)), nil
		now.Priority = 0
	default: // nothing holds back the light of an emergency
		now = c.to(d.light)
		now.Priority = 1
		if !held {
			was := d.light
			before = &was
		}
	}
	changed = now != d.light
	behind := before != nil && d.before != nil && *before != *d.before
	if changed || behind {
		if err := d.keepLight(now, before); err != nil {
			return d.light, false, err
		}
	}
	d.noteLight(c, changed)
	d.light, d.before = now, before
	if c.sensed && (changed || behind) {
		d.occupancy.lit = d.usual().On
	}
	return now, changed, nil
}

// endEmergency lets go what an emergency's command holds, when those are gone who could
// end it.
func (d *Device) endEmergency() {
	if _, err := d.command(lightChange{to: func(l Light) Light { return l }, priority: new(uint8), keep: true}); err != nil {
		d.log.Error("the light of an emergency stays", "err", err)
	}
}

// usual is the light without what an emergency makes of it. d.mu is held.
func (d *Device) usual() Light {
	if d.before != nil {
		return *d.before
	}
	return d.light
}

// keepLight makes the light durable, and with it what an emergency holds back.
func (d *Device) keepLight(now Light, before *Light) error {
	return d.update(func(tx store.Tx) error {
		if err := put(tx, keyLight, now); err != nil {
			return err
		}
		if before == nil {
			return tx.Delete(keyHeld)
		}
		return put(tx, keyHeld, *before)
	})
}

// noteLight notes what a command means beside the light. d.mu is held.
func (d *Device) noteLight(c lightChange, changes bool) {
	at := d.cfg.Now()
	if changes {
		d.reached = at.Add(min(max(c.fade, 0), maxTold*time.Millisecond))
	}
	if c.keep {
		return
	}
	d.scene = c.scene
	if c.scene != nil {
		d.recalled = at
	}
	if c.priority == nil {
		d.occupancy.lit = false // who commands it by hand has it so until the room is empty
	}
}

// update writes to the store. It is bound to the device's life, not to that of a
// request: what the memory holds and what is durable must not part.
func (d *Device) update(fn func(store.Tx) error) error {
	if err := d.cfg.Store.Update(d.life, fn); err != nil {
		d.log.Error("storing failed", "err", err)
		return errStore
	}
	return nil
}

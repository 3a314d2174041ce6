package fleet

import (
	"context"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/holder"
)

// Applied is a switch of settings.
type Applied struct {
	At       time.Time
	Old, New settings.Map
}

// Recalled is the latest scene that a device was told.
type Recalled struct {
	Scene uint64
	Times int // that it was told a scene
	At    time.Time
}

// openHolder makes the settings of the device, nil when it has none.
func (d *Device) openHolder() (*holder.Holder, error) {
	if d.fleet.cfg.Settings == nil {
		return nil, nil
	}
	schema, doc := d.fleet.cfg.Settings(d.index)
	if schema == nil {
		return nil, nil
	}
	return holder.Open(holder.Config{
		Schema: schema, SchemaDoc: doc, Store: d.store, Clock: d.fleet.cfg.TimeOfDay, Now: d.fleet.Clock.Now, Rand: d.fleet.rand,
		SenderID: func(string) []byte { return d.kid() },
		Apply: func(old, now settings.Map) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.applied = append(d.applied, Applied{d.fleet.Clock.Now(), old, now})
		},
	})
}

func (d *Device) tickHolder(h *holder.Holder, now time.Time) {
	if h == nil {
		return
	}
	if due, is := h.Due(); is && !now.Before(due) {
		h.Tick()
	}
}

func (d *Device) postRecall(_ context.Context, req *coap.Request) *coap.Message {
	r, err := settings.ParseRecall(req.Payload)
	if err != nil {
		return coap.Problem(coap.BadRequest, "This is no scene: "+err.Error()+".")
	}
	if _, stored := d.Holder().Scene(uint64(r.Scene)); stored {
		d.mu.Lock()
		d.recall = Recalled{uint64(r.Scene), d.recall.Times + 1, d.fleet.Clock.Now()}
		d.mu.Unlock()
	}
	return coap.Respond(coap.Changed, coap.NoFormat, nil)
}

// Holder is the settings since the last boot, nil when the device has none.
func (d *Device) Holder() *holder.Holder {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.holder
}

// Applied are the switches of settings so far.
func (d *Device) Applied() []Applied {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Applied(nil), d.applied...)
}

// Recalled is the latest scene.
func (d *Device) Recalled() Recalled {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.recall
}

// SenderID is a device's Sender ID, nil when there is no such device.
func (f *Fleet) SenderID(device string) []byte {
	if d := f.Device(device); d != nil {
		return d.kid()
	}
	return nil
}

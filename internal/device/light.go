package device

import (
	"context"

	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// lightRequest changes the light; what is left out stays.
//
//	light = { ? 1: bool, ? 2: 0..100 }
type lightRequest struct {
	On    *bool  `cbor:"1,keyasint"`
	Level *uint8 `cbor:"2,keyasint"`
}

func (d *Device) getLight(context.Context, *coap.Request) *coap.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return answer(coap.Content, d.light)
}

// putLight changes the light. A request that the network let one of the same
// sender's later ones overtake changes nothing any more.
func (d *Device) putLight(_ context.Context, req *coap.Request) *coap.Message {
	var want lightRequest
	if err := decode(req, &want); err != nil {
		return problem(err)
	}
	if want.Level != nil && *want.Level > 100 {
		return problem(refuse(errMalformed, "The level is 0 to 100 percent."))
	}
	d.lightMu.Lock()
	defer d.lightMu.Unlock()
	now, changed, err := d.changeLight(req.Peer.Data.(*sender), want)
	if err != nil {
		return problem(err)
	}
	if changed && d.cfg.OnLight != nil {
		d.cfg.OnLight(now)
	}
	return answer(coap.Changed, now)
}

func (d *Device) changeLight(from *sender, want lightRequest) (now Light, changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !from.latest(ofLight) {
		return d.light, false, nil
	}
	now = d.light
	if want.On != nil {
		now.On = *want.On
	}
	if want.Level != nil {
		now.Level = *want.Level
	}
	if now == d.light {
		return now, false, nil
	}
	if err := d.update(func(tx store.Tx) error { return put(tx, keyLight, now) }); err != nil {
		return d.light, false, err
	}
	d.light = now
	return now, true, nil
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

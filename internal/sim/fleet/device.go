package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/holder"
	"lamplighter/internal/sim/flash"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/store"
	"lamplighter/internal/updater"
)

const sector = 4096

// Device is one device: what survives a restart, and what runs now.
type Device struct {
	ID    string
	Addr  netip.AddrPort
	Flash *flash.Flash

	fleet *Fleet
	index int
	ctxMu sync.Mutex
	ctx   *group.Context

	mu      sync.Mutex
	updater *updater.Updater
	running image.Image
	boots   int
	down    bool      // switched off by the test
	back    time.Time // when a restart is over; zero: it runs
	brick   error     // why it does not start
	silent  bool      // the image hangs
	body    []byte    // what came block-wise

	store   store.Store // of settings; it survives
	holder  *holder.Holder
	applied []Applied
	recall  Recalled
}

func newDevice(f *Fleet, i int, ctx *group.Context) *Device {
	return &Device{
		ID:    fmt.Sprintf("device-%04d", i),
		Addr:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), coap.DefaultPort),
		Flash: flash.New(&sparse{pages: map[int64][]byte{}}, f.cfg.Flash, sector),
		fleet: f, index: i, ctx: ctx, store: store.NewMemory(),
	}
}

// boot runs the boot loader and puts the device on the network.
func (d *Device) boot() error {
	ability := Able
	if d.fleet.cfg.Ability != nil {
		ability = d.fleet.cfg.Ability(d.index)
	}
	d.mu.Lock()
	d.boots++
	d.mu.Unlock()
	u, err := updater.Open(updater.Config{
		Flash: d.Flash, Anchors: d.fleet.anchors(), Vendor: vendorID(), Class: classID(), Hardware: "LL-SIM",
		Factory: d.fleet.factory, FactorySequence: 1, Ability: ability,
		Start: d.start, Reboot: d.restart, Now: d.fleet.Clock.Now, Rand: d.fleet.rand,
	})
	var h *holder.Holder
	if err == nil {
		h, err = d.openHolder()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.updater, d.holder, d.brick, d.back = u, h, err, time.Time{}
	if err != nil {
		d.fleet.Net.Down(d.Addr, true)
		return err
	}
	d.fleet.Net.Attach(d.Addr, d.handler(u, h))
	d.fleet.Net.Down(d.Addr, d.down)
	return nil
}

// start starts an image.
func (d *Device) start(data []byte) (string, error) {
	i, err := image.Parse(data)
	if err != nil {
		return "", err
	}
	if i.Behaviour == image.Crashes {
		return i.Version, errors.New("it crashes when it starts")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running, d.silent = i, i.Behaviour == image.Hangs
	return i.Version, nil
}

// restart takes the device off the network until it has booted.
func (d *Device) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.back = d.fleet.Clock.Now().Add(d.fleet.cfg.Boot)
	d.fleet.Net.Down(d.Addr, true)
}

// tick does what is due.
func (d *Device) tick(now time.Time) {
	d.mu.Lock()
	u, h, back, off := d.updater, d.holder, d.back, d.down
	d.mu.Unlock()
	switch {
	case off:
	case !back.IsZero():
		if !now.Before(back) {
			_ = d.boot() // Brick tells
		}
	case u != nil:
		if due, is := u.Due(); is && !now.Before(due) {
			u.Tick()
		}
		d.tickHolder(h, now)
	}
}

// Power switches the device off, or on again: then it boots.
func (d *Device) Power(on bool) error {
	d.mu.Lock()
	d.down = !on
	d.mu.Unlock()
	d.fleet.Net.Down(d.Addr, !on)
	if on {
		return d.boot()
	}
	return nil
}

// Brick is why the device does not start, nil when it does.
func (d *Device) Brick() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.brick
}

// Updater is the updater since the last boot.
func (d *Device) Updater() *updater.Updater {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.updater
}

// Image is the image that was started last, and how often the device has booted.
func (d *Device) Image() (image.Image, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running, d.boots
}

// handler serves the device's resources: /fw, /cfg, /light for a probe, and /image,
// which takes an image block-wise for comparison.
func (d *Device) handler(u *updater.Updater, h *holder.Holder) coap.Handler {
	mux := coap.NewMux()
	open := func(f coap.HandlerFunc) coap.HandlerFunc { return f }
	u.Register(mux, open)
	if h != nil {
		h.Register(mux, open)
		mux.Handle(coap.POST, settings.PathRecall, d.postRecall)
	}
	mux.Handle(coap.GET, "/light", func(context.Context, *coap.Request) *coap.Message {
		return coap.Respond(coap.Content, coap.FormatCBOR, []byte{0xa0})
	})
	mux.Handle(coap.PUT, "/image", func(_ context.Context, req *coap.Request) *coap.Message {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.body = append([]byte(nil), req.Payload...)
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	})
	blocks := coap.NewBlockServer(coap.BlockLimits{MaxBody: 4 << 20, MaxBytes: 16 << 20}, d.fleet.Clock.Now)
	secured := coap.Secure(blocks.Wrap(mux), opener{d})
	return hanging{d, secured}
}

// hanging is silent while the image hangs.
type hanging struct {
	d *Device
	h coap.Handler
}

// Understands implements coap's question after options.
func (h hanging) Understands(id coap.OptionID) bool { return coap.Understands(h.h, id) }

// Serve implements [coap.Handler].
func (h hanging) Serve(ctx context.Context, req *coap.Request) *coap.Message {
	h.d.mu.Lock()
	silent := h.d.silent
	h.d.mu.Unlock()
	if silent {
		return nil
	}
	return h.h.Serve(ctx, req)
}

// opener opens what the sender sends.
type opener struct{ d *Device }

// Open implements [coap.Opener].
func (o opener) Open(_ context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	d := o.d
	d.ctxMu.Lock()
	defer d.ctxMu.Unlock()
	msg, binding, err := d.ctx.UnprotectRequest(outer.Message)
	if err != nil {
		var challenge *group.EchoError
		if errors.As(err, &challenge) {
			return nil, challenge.Challenge, err
		}
		return nil, nil, err
	}
	kind := coap.PeerGroup
	if binding.Mode == group.Pairwise {
		kind = coap.PeerPairwise
	}
	return &coap.Opened{
		Message: msg,
		Peer:    coap.Peer{Kind: kind, Name: d.ctx.Name(), KID: binding.From.KID, Cred: binding.From.Cred},
		Seal: func(resp *coap.Message) (*coap.Message, error) {
			d.ctxMu.Lock()
			defer d.ctxMu.Unlock()
			return d.ctx.ProtectResponse(resp, binding, group.Pairwise)
		},
	}, nil, nil
}

func (d *Device) kid() []byte { return d.ctx.SenderID() }

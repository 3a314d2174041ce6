package device

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/updater"
)

// The firmware's resources, /fw and those below, are the updater's; here is who may
// use them, when its timers run, and how a group's requests are treated. What is
// signed by the vendor decides which code runs: a commissioner can send it, and no
// more. docs/firmware.md.

// bootFirmware runs the boot loader. Without firmware in the configuration there are
// no such resources.
func (d *Device) bootFirmware() error {
	if d.cfg.Firmware == nil {
		return nil
	}
	cfg := *d.cfg.Firmware
	cfg.Now, cfg.Rand = d.cfg.Now, d.cfg.Rand
	if cfg.Logger == nil {
		cfg.Logger = d.log
	}
	fw, err := updater.Open(cfg)
	if err != nil {
		return fmt.Errorf("starting the firmware: %w", err)
	}
	d.fw, d.fwOwn = fw, coap.NewMux()
	fw.Register(d.fwOwn, func(h coap.HandlerFunc) coap.HandlerFunc { return h })
	return nil
}

// dropFirmware ends the transfer that is under way, and a switch that is to come: what
// one owner began is not the next one's. An image that is tested goes by itself.
func (d *Device) dropFirmware(ctx context.Context) {
	if d.fw == nil {
		return
	}
	session := d.fw.Status(firmware.FieldProgress).Session
	if session == nil {
		return
	}
	abort := firmware.SessionRequest{Session: session, Op: firmware.OpAbort}
	resp := d.fwOwn.Serve(ctx, &coap.Request{Message: coap.NewRequest(coap.POST, firmware.PathSession, abort.Append(nil))})
	if resp.Code != coap.Changed {
		d.log.Warn("the transfer of firmware goes on", "why", string(resp.Payload))
	}
}

// registerFirmware adds the resources of the updater.
func (d *Device) registerFirmware(mux *coap.Mux) {
	if d.fw == nil {
		return
	}
	d.fw.Register(mux, func(h coap.HandlerFunc) coap.HandlerFunc {
		if d.cfg.Tamper != nil {
			h = d.cfg.Tamper(h)
		}
		return d.only(d.byInstaller, d.stirred(h))
	})
}

// byInstaller allows who manages the device, over its session or as a member of a
// group: whose signature, or pairwise key, protects the request. Being a member, and
// a requester, is not enough.
func (d *Device) byInstaller(p coap.Peer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rightsOf(p)&rightManage != 0
}

// stirred is for handlers that change what is due. What goes to many and asks for
// nothing is not answered, whatever its sender forgot to say: one answer of each
// device for each block would be a storm.
func (d *Device) stirred(h coap.HandlerFunc) coap.HandlerFunc {
	return func(ctx context.Context, req *coap.Request) *coap.Message {
		spread(req)
		if d.overtaken(req) {
			return problem(refuse(errConflict, "A later request of yours has opened or aborted a session already."))
		}
		resp := h(ctx, req)
		d.wake()
		if req.Multicast && req.Code != coap.FETCH && coap.Path(req.Message) != firmware.PathActivate {
			return nil
		}
		return resp
	}
}

// overtaken says whether the network let a later opening or abort of the same sender
// overtake this one: no nonce is quoted there, and an abort that was held back is not
// to end what was begun since.
func (d *Device) overtaken(req *coap.Request) bool {
	from, ok := req.Peer.Data.(*sender)
	if !ok || req.Code != coap.POST || coap.Path(req.Message) != firmware.PathSession {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !from.latest(ofSession)
}

// maxSpread bounds how long a sender can have answers wait.
const maxSpread = 2 * time.Minute

// spread heeds within which time a sender wants the answers to a group request.
func spread(req *coap.Request) {
	if req.Spread == nil || req.Code != coap.FETCH {
		return
	}
	if r, err := firmware.ParseStatusRequest(req.Payload); err == nil && r.Spread > 0 {
		req.Spread(time.Duration(min(r.Spread, uint(maxSpread/time.Millisecond))) * time.Millisecond)
	}
}

// isBlock recognises a block of an image.
func isBlock(m *coap.Message) bool {
	return m.Code == coap.PUT && coap.Path(m) == firmware.PathBlock
}

// version is that of the running firmware.
func (d *Device) version() string {
	if d.fw == nil {
		return d.cfg.FW
	}
	return cmp.Or(d.fw.Running().Version, d.cfg.FW)
}

// Firmware is the updater, nil in a device without one.
func (d *Device) Firmware() *updater.Updater { return d.fw }

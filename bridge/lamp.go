package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/device"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/label"
	"lamplighter/internal/sim/flash"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/suit"
	"lamplighter/internal/updater"
)

// The lamps' boards: 2 MiB of NOR flash, of which each of the two slots has more than
// 900 KiB, and a receiver that repairs losses.
const (
	flashSize   = 2 << 20
	flashSector = 4 << 10

	factoryVersion  = "1.0.0"
	factorySequence = 10
	factorySize     = 16 << 10
)

// factoryImage is what every lamp leaves the factory with.
var factoryImage = image.Make(image.Image{Version: factoryVersion, On: 500 * time.Millisecond, Off: 500 * time.Millisecond}, factorySize)

// lamp is one simulated device, on or off the power.
type lamp struct {
	name, place string
	addr        netip.AddrPort
	config      device.Config
	udp         endpoint.UDPOptions
	restarts    time.Duration // how long it is silent while it restarts
	faults      *lampFaults

	anchors []cose.PublicKey // who may sign its firmware
	flash   *flash.Flash     // nil: no firmware can be put on it
	file    *os.File         // of the flash

	mu       sync.Mutex
	power    bool           // also while it restarts
	device   *device.Device // without power what it last was; nil before the first start
	socket   *endpoint.UDP  // nil while it is off, or silent
	kept     chan struct{}  // closed when the device's timers have ended
	timer    *time.Timer    // of a restart
	image    image.Image    // what runs
	digest   [32]byte       // of it
	switched time.Time      // when another image first ran; zero: not since the process began
	hung     atomic.Bool    // the image answers nothing
}

// solder gives the lamp its flash, in a file that takes room only for what was
// programmed, and the keys of its vendor.
func (l *lamp) solder(file string, vendor []cose.PublicKey) error {
	err := os.MkdirAll(filepath.Dir(file), 0o700)
	if err == nil {
		l.file, err = os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	}
	if err != nil {
		return fmt.Errorf("opening the lamp's flash: %w", err)
	}
	l.flash, l.anchors = flash.New(l.file, flashSize, flashSector), vendor
	return nil
}

// firmware is what the updater is made of at a start; nil without a flash.
func (l *lamp) firmware() *updater.Config {
	if l.flash == nil {
		return nil
	}
	vendor := suit.VendorID(vendorDomain)
	class := suit.ClassID(vendor, l.faults.class())
	return &updater.Config{
		Flash: l.flash, Anchors: l.anchors, Vendor: vendor[:], Class: class[:], Hardware: l.config.HW,
		Factory: factoryImage, FactorySequence: factorySequence,
		Ability: updater.Ability{Block: 1024, K: 64, Parity: 128}, MaxImage: l.faults.space(),
		Start:  l.boot,
		Reboot: func() { go l.restart() },
	}
}

// errCrashed is what an image ends with that does not start.
var errCrashed = errors.New("the image crashed while it started")

// boot starts an image. l.mu is held.
func (l *lamp) boot(b []byte) (version string, err error) {
	i, err := image.Parse(b)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	if i.Behaviour == image.Crashes || l.faults.crashes(sum) {
		return "", errCrashed
	}
	if l.digest != [32]byte{} && l.digest != sum {
		l.switched = time.Now()
	}
	l.image, l.digest = i, sum
	l.hung.Store(i.Behaviour == image.Hangs)
	return i.Version, nil
}

// label is the lamp's label, with what an installer's list adds.
func (l *lamp) label() label.Label {
	out := l.current().Label()
	out.Name, out.Place = l.name, l.place
	return out
}

// powerOn boots the lamp over what its store and its flash hold.
func (l *lamp) powerOn() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.power {
		return nil
	}
	if err := l.start(); err != nil {
		return err
	}
	l.power = true
	return nil
}

// start boots. l.mu is held.
func (l *lamp) start() error {
	cfg := l.config
	if l.flash != nil && !l.flash.Powered() {
		l.flash.Restore()
	}
	cfg.Firmware, cfg.Tamper = l.firmware(), l.faults.tamper
	d, err := device.New(cfg)
	if err != nil {
		return err
	}
	udp := l.udp
	udp.Drop = l.faults.lost
	socket, err := endpoint.ListenUDP(l.addr, &lampHandler{d.Handler(), l}, udp)
	if err != nil {
		d.Close()
		return err
	}
	d.Bind(socket)
	kept := make(chan struct{})
	l.device, l.socket, l.kept = d, socket, kept
	go func() {
		defer close(kept)
		d.Keep(context.Background()) // until the power goes
	}()
	go func() { // not all at the same moment when the power comes back
		time.Sleep(time.Duration(rand.Int64N(int64(settle))))
		d.Recover(context.Background()) // until the power goes
	}()
	return nil
}

// settle is within which time after its start a lamp asks whether its keys are
// current.
const settle = 2 * time.Second

// halt ends what runs. l.mu is held.
func (l *lamp) halt() {
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.socket == nil {
		return
	}
	l.socket.Close()
	l.device.Close()
	<-l.kept // nothing writes to the flash any more
	l.socket = nil
}

// restart is a reboot, or a short failure of the power: the lamp is silent for a
// while.
func (l *lamp) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.power || l.socket == nil {
		return
	}
	l.halt()
	l.timer = time.AfterFunc(l.restarts, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.power || l.socket != nil {
			return
		}
		if err := l.start(); err != nil {
			l.config.Logger.Error("a lamp does not start any more", "lamp", l.name, "err", err)
		}
	})
}

// powerOff cuts the power. The device's last state stays readable.
func (l *lamp) powerOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.halt()
	l.power = false
}

// scrap ends the lamp.
func (l *lamp) scrap() {
	l.powerOff()
	if l.file != nil {
		l.file.Close()
	}
}

func (l *lamp) powered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.power
}

// current is the device, or after a power cut what it last was.
func (l *lamp) current() *device.Device {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.device
}

// lampHandler is what an image that hangs does not get to, and what a lamp whose power
// went while it worked does not come back from.
type lampHandler struct {
	coap.Handler
	lamp *lamp
}

// Understands makes what the device understands pass.
func (h *lampHandler) Understands(id coap.OptionID) bool { return coap.Understands(h.Handler, id) }

func (h *lampHandler) Serve(ctx context.Context, req *coap.Request) *coap.Message {
	if h.lamp.hung.Load() {
		return nil
	}
	resp := h.Handler.Serve(ctx, req)
	if h.lamp.flash != nil && !h.lamp.flash.Powered() {
		return nil
	}
	return resp
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/sim"
	"lamplighter/internal/suit"
)

// lossFlags are what the network loses.
type lossFlags struct {
	Loss  float64 `name:"loss" placeholder:"P" help:"Share of the datagrams that each lamp loses on arrival, 0 to 1; for trying out."`
	Burst float64 `name:"burst" placeholder:"N" default:"1" help:"Mean length of the bursts in which it loses them; up to 1: each by itself."`
	Seed  uint64  `name:"loss-seed" default:"1" help:"Seed of what is lost; the same one loses alike."`
}

func (f lossFlags) check() error {
	if !(f.Loss >= 0 && f.Loss <= 1 && f.Burst >= 0 && f.Burst <= 1e6) { // NaN is none of these
		return errors.New("--loss must be 0 to 1, and --burst 0 to a million")
	}
	return nil
}

// otherClass is the class of a lamp that was mixed up in the factory.
const otherClass = "switch"

// lampFaults is what is wrong with a lamp. It is safe for concurrent use.
type lampFaults struct {
	link *sim.Gilbert

	mu       sync.Mutex
	only     *[32]byte // the image that it starts, and crashes with every other; nil: it starts all
	mixedUp  bool      // it is of another class
	room     int       // bytes of an image that it has room for; 0: a slot
	lie      lie
	broken   bool   // an emergency light whose lamp is broken: its tests fail
	expected []byte // of the manifest that came last: the beginning of the image's digest
}

// lie is what a lamp says of the image in its slot.
type lie int

const (
	honest      lie = iota
	lieDigest       // when it is ready: that it has another image
	lieComplete     // at once: that it has all, and the right image
)

func newLampFaults(seed uint64, loss lossFlags) *lampFaults {
	return &lampFaults{link: sim.NewGilbert(loss.Seed<<16+seed, loss.Loss, loss.Burst)}
}

// lost says whether the next datagram that arrives is lost.
func (f *lampFaults) lost() bool { return f.link.Lost() }

// crashes says whether an image ends while it starts.
func (f *lampFaults) crashes(digest [32]byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.only != nil && *f.only != digest
}

// class is the lamp's class.
func (f *lampFaults) class() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mixedUp {
		return otherClass
	}
	return lampClass
}

// dead says whether an emergency light's lamp is broken.
func (f *lampFaults) dead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// space is how many bytes an image may have; 0: as many as a slot.
func (f *lampFaults) space() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.room
}

// tamper changes what a lamp that lies says of its firmware.
func (f *lampFaults) tamper(h coap.HandlerFunc) coap.HandlerFunc {
	return func(ctx context.Context, req *coap.Request) *coap.Message {
		if coap.Path(req.Message) == firmware.PathManifest {
			f.note(req.Payload)
		}
		resp := h(ctx, req)
		if resp != nil && resp.Code == coap.Content && coap.Path(req.Message) == firmware.PathStatus {
			f.twist(resp)
		}
		return resp
	}
}

// note keeps which image is expected.
func (f *lampFaults) note(envelope []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lie == honest {
		return
	}
	if e, err := suit.Parse(envelope); err == nil {
		if i, err := e.Image(); err == nil {
			f.expected = i.Digest[:firmware.DigestSize]
		}
	}
}

// twist changes a status.
func (f *lampFaults) twist(resp *coap.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var s firmware.Status
	if f.lie == honest || cbor.Unmarshal(resp.Payload, &s) != nil {
		return
	}
	switch {
	case f.lie == lieDigest && len(s.Ready) > 0:
		s.Ready[0] ^= 0x5a
	case f.lie == lieComplete && s.State == firmware.Downloading && f.expected != nil:
		s.State, s.Ready, s.Missing = firmware.Downloaded, f.expected, nil
		clear(s.Deficits)
	default:
		return
	}
	resp.Payload = cbor.MustMarshal(s)
}

// faultKinds says what POST /devices/{id}/fault takes.
const faultKinds = "flash (n: where 4 KiB are bad; none: nearly all), bootloop, class, space (n: bytes), power (n: after so many bytes are programmed), " +
	"lamp (an emergency light fails its tests), digest (n: 1 says another digest, 2 says at once that it has all), loss (p, burst), none"

// journalSize is where no journal of a flash reaches to.
const journalSize = 128 << 10

// fault breaks a lamp, or repairs it.
func (l *lamp) fault(r *http.Request) error {
	q := r.URL.Query()
	text := cmp.Or(q.Get("n"), "0")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return errors.New("n is a number, not negative")
	}
	f := l.faults
	switch q.Get("kind") {
	case "flash":
		if q.Has("n") {
			l.flash.Bad(n, flashSector)
		} else {
			l.flash.Bad(journalSize, flashSize-journalSize)
		}
	case "bootloop":
		sum := l.runs()
		f.set(func() { f.only = &sum })
	case "class":
		f.set(func() { f.mixedUp = true })
		l.restart()
	case "space":
		f.set(func() { f.room = max(n, 1) })
		l.restart()
	case "power":
		l.flash.CutAfter(n, l.restart)
	case "lamp":
		f.set(func() { f.broken = true })
	case "digest":
		f.set(func() { f.lie = max(lie(n), lieDigest) })
	case "loss":
		return f.setLoss(q.Get("p"), q.Get("burst"))
	case "none":
		l.repair()
	default:
		return fmt.Errorf("kind is one of: %s", faultKinds)
	}
	return nil
}

func (f *lampFaults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *lampFaults) setLoss(p, burst string) error {
	loss, err := strconv.ParseFloat(p, 64)
	if err != nil {
		return errors.New("p is the share of the datagrams that are lost, 0 to 1")
	}
	length := 1.0
	if burst != "" {
		if length, err = strconv.ParseFloat(burst, 64); err != nil {
			return errors.New("burst is the mean length of the bursts")
		}
	}
	if err := (lossFlags{Loss: loss, Burst: length}).check(); err != nil {
		return err
	}
	f.link.Set(loss, length)
	return nil
}

// repair takes all faults but the loss of datagrams away.
func (l *lamp) repair() {
	l.flash.Bad(0, 0)
	if l.flash.Powered() { // else the restart that follows restores it
		l.flash.Restore()
	}
	var changed bool
	l.faults.set(func() {
		changed = l.faults.mixedUp || l.faults.room > 0
		l.faults.only, l.faults.mixedUp, l.faults.room, l.faults.lie = nil, false, 0, honest
		l.faults.broken = false
	})
	if changed {
		l.restart()
	}
}

// runs is the digest of the image that runs.
func (l *lamp) runs() [32]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.digest
}

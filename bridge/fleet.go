package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"lamplighter/internal/device"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/label"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
)

// lampModel is the one model that the simulator has so far.
const lampModel = "lamp-dim-1"

type fleetOptions struct {
	data      string
	count     int
	slot      slot
	iface     string
	leisure   time.Duration
	groupMode bool
	logger    *slog.Logger
}

// fleet is the demo's lamps. They share one store file, so that their writes
// share commits; each sees its own part of it.
type fleet struct {
	options fleetOptions
	db      store.Store
	lamps   []*lamp
}

// lamp is one simulated device, on or off the power.
type lamp struct {
	name, place string
	addr        netip.AddrPort
	config      device.Config
	udp         endpoint.UDPOptions

	mu     sync.Mutex
	device *device.Device // nil without power
	socket *endpoint.UDP
}

func startFleet(o fleetOptions) (*fleet, error) {
	seed, err := secretFile(filepath.Join(o.data, "keys", "lamps.seed"), 32)
	if err != nil {
		return nil, err
	}
	db, err := bolt.Open(filepath.Join(o.data, "lamps.db"))
	if err != nil {
		return nil, fmt.Errorf("opening the lamps' store: %w", err)
	}
	f := &fleet{options: o, db: db}
	for i := range o.count {
		l := f.newLamp(i, seed)
		if err := l.powerOn(); err != nil {
			f.stop()
			return nil, fmt.Errorf("starting %s on %s: %w", l.name, l.addr, err)
		}
		f.lamps = append(f.lamps, l)
	}
	return f, nil
}

func (f *fleet) newLamp(i int, seed []byte) *lamp {
	mac := hmac.New(sha256.New, seed)
	binary.Write(mac, binary.BigEndian, uint32(i))
	secret := mac.Sum(nil)
	id := [8]byte{0x00, 0x0b, 0x57, 0xff, 0xfe, secret[16], byte(i >> 8), byte(i)}
	name, place := lampName(i)
	mode := group.Pairwise
	if f.options.groupMode {
		mode = group.Group
	}
	return &lamp{
		name: name, place: place, addr: f.options.slot.lamp(i),
		config: device.Config{
			ID: id, Model: lampModel, HW: "A1", FW: "1.0.0", LabelSecret: secret[:label.SecretSize],
			Store:     store.Prefix(f.db, label.FormatID(id)+"/"),
			GroupAddr: f.options.slot.group, ResponseMode: &mode, Logger: f.options.logger,
		},
		udp: endpoint.UDPOptions{
			Multicast: f.options.slot.group, Interface: f.options.iface,
			Leisure: f.options.leisure, Logger: f.options.logger.With("device", label.FormatID(id)),
		},
	}
}

// lampName spreads lamps over a school's rooms.
func lampName(i int) (name, place string) {
	rooms := []struct {
		name  string
		lamps int
	}{{"Hall", 12}, {"Stage", 6}, {"Gallery", 6}, {"Corridor", 6}}
	floors := []string{"ground floor", "first floor", "second floor", "third floor"}
	floor, rest := i/30, i%30
	for _, room := range rooms {
		if rest < room.lamps {
			name, place = fmt.Sprintf("%s %d", room.name, rest+1), room.name+", "+floors[floor%len(floors)]
			break
		}
		rest -= room.lamps
	}
	if floor > 0 {
		name = fmt.Sprintf("%s (%d)", name, floor+1)
	}
	return name, place
}

func (f *fleet) labels() []label.Label {
	var list []label.Label
	for _, l := range f.lamps {
		list = append(list, l.label())
	}
	return list
}

func (f *fleet) stop() {
	for _, l := range f.lamps {
		l.powerOff()
	}
	f.db.Close()
}

// label is the lamp's label, with what an installer's list adds.
func (l *lamp) label() label.Label {
	out := l.current().Label()
	out.Name, out.Place = l.name, l.place
	return out
}

// powerOn boots the lamp over what its store holds.
func (l *lamp) powerOn() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.socket != nil {
		return nil
	}
	d, err := device.New(l.config)
	if err != nil {
		return err
	}
	socket, err := endpoint.ListenUDP(l.addr, d.Handler(), l.udp)
	if err != nil {
		d.Close()
		return err
	}
	d.Bind(socket)
	l.device, l.socket = d, socket
	go func() { // not all at the same moment when the power comes back
		time.Sleep(time.Duration(rand.Int64N(int64(settle))))
		d.Recover(context.Background()) // until the power goes
	}()
	return nil
}

// settle is within which time after its start a lamp asks whether its keys are
// current.
const settle = 2 * time.Second

// powerOff cuts the power. The device's last state stays readable.
func (l *lamp) powerOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.socket == nil {
		return
	}
	l.socket.Close()
	l.device.Close()
	l.socket = nil
}

func (l *lamp) powered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.socket != nil
}

// current is the device, or after a power cut what it last was.
func (l *lamp) current() *device.Device {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.device
}

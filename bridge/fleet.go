package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"lamplighter/internal/cose"
	"lamplighter/internal/device"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/label"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/sim/models"
	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
)

// Models of the simulator. They run the same firmware.
const (
	lampModel      = models.Lamp
	emergencyModel = models.Emergency // stays lit when the power fails, and is switched last
)

// hardware are the revisions of the lamps' boards, in turn.
var hardware = []string{"A1", "A2", "B1"}

type fleetOptions struct {
	data      string
	count     int // lamps
	switches  int
	sensors   int
	slot      slot
	iface     string
	leisure   time.Duration
	groupMode bool
	vendor    []cose.PublicKey // who may sign the lamps' firmware
	reboot    time.Duration    // how long a lamp is silent while it restarts
	loss      lossFlags
	models    map[string]*modelSettings
	speed     float64 // how many times faster than in life batteries drain and charge
	logger    *slog.Logger
}

// places are the numbers of the devices: lamps from 0, switches and sensors from the
// end, so that a device stays who it is when there are more of others.
func (o fleetOptions) places() (list []int) {
	for i := range o.count {
		list = append(list, i)
	}
	for i := range o.switches + o.sensors {
		list = append(list, maxLamps-1-i)
	}
	return list
}

// identity is the name, the place and the model of a device.
func (o fleetOptions) identity(i int) (name, place, model string) {
	switch extra := maxLamps - 1 - i; {
	case i < o.count:
		return lampName(i)
	case extra < o.switches:
		return fmt.Sprintf("Switch %d", extra+1), "Hall, ground floor", models.Switch
	default:
		return fmt.Sprintf("Sensor %d", extra-o.switches+1), "Hall, ground floor", models.Sensor
	}
}

// fleet is the demo's lamps. They share one store file, so that their writes
// share commits; each sees its own part of it.
type fleet struct {
	options fleetOptions
	db      store.Store
	lamps   []*lamp
}

func startFleet(o fleetOptions) (*fleet, error) {
	if o.count > 1 {
		cose.ShareChecks(4 * maxLamps)
	}
	seed, err := secretFile(filepath.Join(o.data, "keys", "lamps.seed"), 32)
	if err != nil {
		return nil, err
	}
	db, err := bolt.Open(filepath.Join(o.data, "lamps.db"))
	if err != nil {
		return nil, fmt.Errorf("opening the lamps' store: %w", err)
	}
	f := &fleet{options: o, db: db}
	for _, i := range o.places() {
		l, err := f.newLamp(i, seed)
		if err == nil {
			f.lamps = append(f.lamps, l)
			err = l.powerOn()
		}
		if err != nil {
			f.stop()
			return nil, fmt.Errorf("starting %s on %s: %w", l.name, l.addr, err)
		}
	}
	return f, nil
}

func (f *fleet) newLamp(i int, seed []byte) (*lamp, error) {
	mac := hmac.New(sha256.New, seed)
	binary.Write(mac, binary.BigEndian, uint32(i))
	secret := mac.Sum(nil)
	id := [8]byte{0x00, 0x0b, 0x57, 0xff, 0xfe, secret[16], byte(i >> 8), byte(i)}
	name, place, model := f.options.identity(i)
	mode := group.Pairwise
	if f.options.groupMode {
		mode = group.Group
	}
	faults := newLampFaults(uint64(i), f.options.loss)
	l := &lamp{
		name: name, place: place, addr: f.options.slot.lamp(i), restarts: f.options.reboot,
		faults: faults,
		config: device.Config{
			ID: id, Model: model, HW: hardware[i%len(hardware)], FW: factoryVersion, LabelSecret: secret[:label.SecretSize],
			Store:     store.Prefix(f.db, label.FormatID(id)+"/"),
			GroupAddr: f.options.slot.group, ResponseMode: &mode, Logger: f.options.logger,
			Settings: f.options.models[model].config(), Emergency: battery(model, f.options.speed, faults),
		},
		udp: endpoint.UDPOptions{
			Multicast: f.options.slot.group, Interface: f.options.iface,
			Leisure: f.options.leisure, Logger: f.options.logger.With("device", label.FormatID(id)),
		},
	}
	file := filepath.Join(f.options.data, "flash", label.FormatID(id)+".nor")
	return l, l.solder(file, f.options.vendor)
}

// lampName spreads lamps over a school's rooms. The last lamp of a room is an
// emergency light.
func lampName(i int) (name, place, model string) {
	rooms := []struct {
		name  string
		lamps int
	}{{"Hall", 12}, {"Stage", 6}, {"Gallery", 6}, {"Corridor", 6}}
	floors := []string{"ground floor", "first floor", "second floor", "third floor"}
	floor, rest := i/30, i%30
	for _, room := range rooms {
		if rest < room.lamps {
			name, place, model = fmt.Sprintf("%s %d", room.name, rest+1), room.name+", "+floors[floor%len(floors)], lampModel
			if rest == room.lamps-1 {
				model = emergencyModel
			}
			break
		}
		rest -= room.lamps
	}
	if floor > 0 {
		name = fmt.Sprintf("%s (%d)", name, floor+1)
	}
	return name, place, model
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
		l.scrap()
	}
	f.db.Close()
}

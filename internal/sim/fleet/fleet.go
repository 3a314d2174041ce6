// Package fleet is devices that take firmware and settings, and the way to them, for
// tests and measurements: members of one group with real Group OSCORE contexts, the
// updater of internal/updater over a flash in memory, images that they boot, and the
// settings of internal/settings/holder over a store in memory, on the lossy network of
// internal/sim with its clock. [Group] is the sender's side.
//
// There is no Group Manager: the keys are there from the start, kept in memory only,
// and a device that restarts goes on with its Replay Windows.
package fleet

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/settings"
	"lamplighter/internal/sim"
	"lamplighter/internal/updater"
)

// Config is how a fleet is made.
type Config struct {
	N    int    // devices
	Seed uint64 // equal seeds lose alike

	Rate    float64                     // of the network in bit/s; 0: datagrams take no time
	Link    func(i int) sim.Link        // of device i; nil: nothing is lost
	Ability func(i int) updater.Ability // of device i; nil: [Able]
	Flash   int                         // bytes of a device's flash; default 1 MiB
	Boot    time.Duration               // that a device is gone for when it restarts; default 3 s

	// Settings is the schema of device i, and its signed document; nil: it has none.
	Settings func(i int) (*settings.Schema, []byte)

	// TimeOfDay gives devices a clock that goes on while they are off.
	TimeOfDay bool

	// Real takes the fleet's time from package time, for a bubble of testing/synctest
	// in which a sender does several things at a time; [Fleet.Close] ends it. Without
	// it time is a [sim.Clock] for a sender that does one thing at a time.
	Real bool

	// Parallel is how many devices handle a group request at a time; default 1.
	Parallel int

	// ShareVerify lets the devices share the result of verifying one countersignature
	// with one key: they all get the same bytes. It is for large fleets.
	ShareVerify bool

	// EchoFirst has devices challenge the sender first, as after a restart without
	// Replay Windows.
	EchoFirst bool
}

// Able is what devices can take when nothing else is said.
var Able = updater.Ability{Block: 1024, K: 64, Parity: 64}

// Fleet is the devices, the network and the clock.
type Fleet struct {
	Net     *sim.Network
	Clock   sim.Time
	Devices []*Device

	cfg     Config
	rand    io.Reader
	vendor  cose.PrivateKey // signs releases
	factory []byte
	params  group.Params // what all members share
	sender  *Group
	verify  *verifier
	over    context.CancelFunc
	ended   sync.WaitGroup

	mu     sync.Mutex
	looked time.Time // when the devices' timers were looked at
}

// The group's address, and the sender's.
var (
	GroupAddr  = netip.MustParseAddrPort("224.0.1.187:5683")
	SenderAddr = netip.MustParseAddrPort("10.255.0.1:5683")
)

// start is when a fleet's clock begins.
var start = time.Date(2027, 1, 4, 8, 0, 0, 0, time.UTC)

// New makes a fleet of devices that run their factory's image.
func New(cfg Config) (*Fleet, error) {
	if cfg.Flash == 0 {
		cfg.Flash = 1 << 20
	}
	if cfg.Boot == 0 {
		cfg.Boot = 3 * time.Second
	}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], cfg.Seed)
	f := &Fleet{Net: sim.NewNetwork(cfg.Seed), cfg: cfg, rand: cose.SharedRandom(rand.NewChaCha8(seed)), verify: &verifier{}}
	f.Net.Parallel = cfg.Parallel
	f.Clock, f.over = f.clock(), func() {}
	f.Net.SetClock(f.Clock, cfg.Rate)
	f.vendor = f.key()
	f.factory = factoryImage()
	f.params = group.Params{Name: "lights", GID: f.draw(3), MasterSecret: f.draw(16), MasterSalt: f.draw(8), GMCred: f.key().Public().CCS(""), Rand: f.rand}
	if cfg.ShareVerify {
		f.params.Verify = f.verify.check
	}
	sender, senderPeer, err := f.member([]byte{1}, false)
	if err != nil {
		return nil, err
	}
	f.sender = &Group{fleet: f, ctx: sender, ex: f.Net.From(SenderAddr), byKID: map[string]*Device{}, byID: map[string]*Device{}}
	for i := range cfg.N {
		if err := f.add(i, senderPeer); err != nil {
			return nil, fmt.Errorf("making device %d: %w", i, err)
		}
	}
	f.tick()
	return f, nil
}

// clock makes the fleet's time.
func (f *Fleet) clock() sim.Time {
	if f.cfg.Real {
		return sim.Real{}
	}
	clock := sim.NewClock(start)
	clock.OnAdvance(f.look)
	return clock
}

// tick has the devices look at their timers from now on.
func (f *Fleet) tick() {
	if !f.cfg.Real {
		return // the clock does
	}
	ctx, over := context.WithCancel(context.Background())
	f.over = over
	f.ended.Go(func() {
		for f.Clock.Sleep(ctx, lookEvery) == nil {
			f.look(f.Clock.Now())
		}
	})
}

// Close ends what runs by itself.
func (f *Fleet) Close() {
	f.over()
	f.ended.Wait()
}

// Wait lets d pass.
func (f *Fleet) Wait(d time.Duration) { _ = f.Clock.Sleep(context.Background(), d) }

// SetLinks changes the links of all devices.
func (f *Fleet) SetLinks(link func(i int) sim.Link) {
	for i, d := range f.Devices {
		f.Net.SetLink(d.Addr, link(i))
	}
}

// add makes device i and joins it to the group.
func (f *Fleet) add(i int, sender group.Peer) error {
	kid := binary.BigEndian.AppendUint16(nil, uint16(i+256))
	ctx, peer, err := f.member(kid, f.cfg.EchoFirst)
	if err != nil {
		return err
	}
	if err := ctx.SetPeer(sender); err != nil {
		return err
	}
	if err := f.sender.ctx.SetPeer(peer); err != nil {
		return err
	}
	d := newDevice(f, i, ctx)
	f.Devices = append(f.Devices, d)
	f.sender.byKID[string(kid)], f.sender.byID[d.ID] = d, d
	f.Net.JoinGroup(GroupAddr, d.Addr)
	if f.cfg.Link != nil {
		f.Net.SetLink(d.Addr, f.cfg.Link(i))
	}
	return d.boot()
}

// member makes the context of one member, and what the others know of it.
func (f *Fleet) member(kid []byte, echo bool) (*group.Context, group.Peer, error) {
	p := f.params
	p.SenderID, p.Key, p.EchoFirst = kid, f.key(), echo
	p.Cred = p.Key.Public().CCS("")
	ctx, err := group.New(p)
	if err != nil {
		return nil, group.Peer{}, fmt.Errorf("making a member: %w", err)
	}
	return ctx, group.Peer{KID: kid, Cred: p.Cred}, nil
}

// Group is the sender's way to the devices.
func (f *Fleet) Group() *Group { return f.sender }

// Device returns a device by its id; nil when there is none.
func (f *Fleet) Device(id string) *Device { return f.sender.byID[id] }

// lookEvery is how often devices look at their timers.
const lookEvery = 50 * time.Millisecond

// look has the devices do what is due, as time passes.
func (f *Fleet) look(now time.Time) {
	f.mu.Lock()
	due := now.Sub(f.looked) >= lookEvery
	if due {
		f.looked = now
	}
	f.mu.Unlock()
	if due {
		for _, d := range f.Devices {
			d.tick(now)
		}
	}
}

func (f *Fleet) draw(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(f.rand, b); err != nil {
		panic(err) // never: it is a generator
	}
	return b
}

func (f *Fleet) key() cose.PrivateKey {
	return cose.NewEd25519(ed25519.NewKeyFromSeed(f.draw(ed25519.SeedSize)))
}

package device

import (
	"bytes"
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/firmware"
	"lamplighter/internal/label"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/flash"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/store"
	"lamplighter/internal/suit"
	"lamplighter/internal/updater"
)

// Vendor, class and the firmware that the lamps under test leave the factory with.
const (
	testVendor  = "lamps.example"
	testClass   = "lamp-1"
	testFactory = 10 // its sequence number
)

var (
	vendorKey = key(70)
	thiefKey  = key(71) // signs as if it were the vendor
)

// bulb is one lamp of several, with firmware.
type bulb struct {
	w      *world
	cfg    Config
	addr   netip.AddrPort
	lamp   *Device
	flash  *flash.Flash
	image  image.Image // that runs
	resets int         // that were asked for and not done
	boots  int
}

// building is a group of lamps that Anna owns.
type building struct {
	*world
	anna   *installer
	bulbs  []*bulb
	record atomic.Pointer[func(sim.Datagram)] // sees what is sent; nil: nobody does
}

// newBuilding starts n lamps, claims them and joins them to the hall.
func newBuilding(t testing.TB, n int) *building {
	t.Helper()
	b := &building{world: newWorld(t)}
	b.net.Record = func(d sim.Datagram) {
		if record := b.record.Load(); record != nil {
			(*record)(d)
		}
	}
	b.net.Down(lampAddr, true) // the world's own lamp is none of these
	b.anna = b.installer("anna", 1)
	b.anna.self(ace.RoleRequester)
	for i := range n {
		b.bulbs = append(b.bulbs, b.newBulb(i))
	}
	for _, l := range b.bulbs {
		if err := cmpErr(l.at(b.anna).claim(), l.at(b.anna).assist()); err != nil {
			t.Fatal(err)
		}
	}
	b.anna.refresh()
	return b
}

// newBulb makes a lamp and boots it.
func (b *building) newBulb(i int) *bulb {
	b.t.Helper()
	l := &bulb{
		w: b.world, flash: flash.NewMemory(64<<10, 1<<10),
		addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 0, byte(10 + i)}), 5683),
	}
	vendor := suit.VendorID(testVendor)
	class := suit.ClassID(vendor, testClass)
	l.cfg = Config{
		ID: [8]byte{0, 0x0b, 0x57, 0xff, 0xfe, 0x40, 0x1b, byte(i)}, Model: "lamp-dim-1", HW: "A1",
		LabelSecret: []byte("label secret 016"), Store: store.NewMemory(), GroupAddr: groupAddr,
		Now: b.clock.Now, Rand: b.rand,
		Firmware: &updater.Config{
			Flash: l.flash, Anchors: []cose.PublicKey{cose.NewEd25519(vendorKey).Public()},
			Vendor: vendor[:], Class: class[:], Hardware: "A1",
			Factory: image.Make(image.Image{Version: "1.0.0"}, 600), FactorySequence: testFactory,
			Ability: updater.Ability{Block: 256, K: 8, Parity: 8},
			Start:   l.start,
			Reboot:  func() { l.resets++ },
		},
	}
	b.net.JoinGroup(groupAddr, l.addr)
	l.boot()
	return l
}

func (l *bulb) start(img []byte) (string, error) {
	i, err := image.Parse(img)
	if err != nil {
		return "", err
	}
	if i.Behaviour == image.Crashes {
		return "", image.ErrImage
	}
	l.image = i
	return i.Version, nil
}

func (l *bulb) boot() {
	l.w.t.Helper()
	if l.lamp != nil {
		l.lamp.Close()
	}
	lamp, err := New(l.cfg)
	if err != nil {
		l.w.t.Fatal(err)
	}
	lamp.Bind(l.w.net.From(l.addr))
	l.lamp, l.resets = lamp, 0
	l.boots++
	l.w.net.Attach(l.addr, lamp.Handler())
	l.w.t.Cleanup(lamp.Close)
}

func (l *bulb) id() string { return label.FormatID(l.cfg.ID) }

// at makes the lamp the one that an installer works at.
func (l *bulb) at(in *installer) *installer {
	l.w.cfg, l.w.lamp, l.w.addr = l.cfg, l.lamp, l.addr
	return in
}

// pass lets time go by, with what is due in the lamps in it.
func (b *building) pass(by time.Duration) {
	b.t.Helper()
	for end := b.clock.Now().Add(by); ; {
		next := end
		for _, l := range b.bulbs {
			if at, ok := l.lamp.Due(); ok && at.Before(next) {
				next = at
			}
		}
		b.clock.Advance(max(0, next.Sub(b.clock.Now())))
		for _, l := range b.bulbs {
			l.lamp.Tick()
			if l.resets > 0 {
				l.boot()
			}
		}
		if !next.Before(end) {
			return
		}
	}
}

// silently sends to the group what wants no answer, and fails when there is one.
func (in *installer) silently(req *coap.Message) {
	in.w.t.Helper()
	coap.AddUint(req, coap.OptionNoResponse, coap.NoResponses)
	if got := in.cast(req); len(got) > 0 {
		in.w.t.Fatalf("%s is answered by %d", coap.Path(req), len(got))
	}
}

// send brings the whole image to the group, but for the source blocks that lose says.
func (b *building) send(in *installer, x *transfer, lose ...int) {
	b.t.Helper()
	in.silently(x.manifest())
	in.silently(x.open())
	for n := range x.layout.Blocks() {
		lost := false
		for _, l := range lose {
			lost = lost || l == n
		}
		if !lost {
			in.silently(x.block(n))
		}
	}
}

// to makes a request to one lamp in pairwise mode. A challenge is met.
func (in *installer) to(l *bulb, req *coap.Message) (*coap.Message, error) {
	in.w.t.Helper()
	kid := l.lamp.State().Groups[0].SenderID
	call := func(m *coap.Message) (*coap.Message, error) {
		outer, binding, err := in.group.ProtectRequest(m, kid)
		if err != nil {
			return nil, err
		}
		resp, err := in.ex.Exchange(in.w.t.Context(), l.addr, outer)
		if err != nil {
			return nil, err
		}
		if !oscore.IsProtected(resp) {
			return nil, cmpErr(coap.CheckResponse(resp), coap.ErrLink)
		}
		plain, from, _, err := in.group.UnprotectResponse(resp, binding)
		if err == nil && !bytes.Equal(from.Cred, l.lamp.Credential()) {
			in.w.t.Error("somebody else answered")
		}
		return plain, err
	}
	resp, err := call(req)
	if err == nil && oscore.IsChallenge(resp) {
		resp, err = call(oscore.WithEcho(req, resp))
	}
	if err != nil {
		return nil, err
	}
	return resp, coap.CheckResponse(resp)
}

// status asks one lamp.
func (in *installer) status(l *bulb, fields firmware.Field) firmware.Status {
	in.w.t.Helper()
	r := firmware.StatusRequest{Fields: fields}
	resp, err := in.to(l, request(coap.FETCH, firmware.PathStatus, r.Append(nil)))
	if err != nil {
		in.w.t.Fatalf("status of %s: %v", l.id(), err)
	}
	s, err := firmware.ParseStatus(resp.Payload)
	if err != nil {
		in.w.t.Fatal(err)
	}
	return s
}

// sweep asks all, and repeats to those that challenge alone; by credential.
func (in *installer) sweep(b *building, fields firmware.Field) map[*bulb]firmware.Status {
	in.w.t.Helper()
	r := firmware.StatusRequest{Fields: fields}
	got := map[*bulb]firmware.Status{}
	for _, a := range in.cast(request(coap.FETCH, firmware.PathStatus, r.Append(nil))) {
		if a.mode != group.Pairwise {
			in.w.t.Errorf("answered in %v", a.mode)
		}
		l := b.by(a.from.Cred)
		if oscore.IsChallenge(a.msg) {
			got[l] = in.status(l, fields)
			continue
		}
		s, err := firmware.ParseStatus(a.msg.Payload)
		if err != nil {
			in.w.t.Fatal(err)
		}
		got[l] = s
	}
	return got
}

func (b *building) by(cred []byte) *bulb {
	for _, l := range b.bulbs {
		if bytes.Equal(l.lamp.Credential(), cred) {
			return l
		}
	}
	b.t.Fatal("an answer of nobody here")
	return nil
}

// want fails unless the lamps are in a state, and says what else there is to know.
func (b *building) want(state firmware.State, version string, list ...*bulb) {
	b.t.Helper()
	if list == nil {
		list = b.bulbs
	}
	for _, l := range list {
		v := l.lamp.Firmware().View()
		if v.State != state || v.Running.Version != version || l.image.Version != version {
			b.t.Errorf("%s: %v, runs %s (%v); want: %v, %s", l.id(), v.State, v.Running.Version, v.Reason, state, version)
		}
	}
}

// nonces asks lamps for one each.
func (b *building) nonces(in *installer, list ...*bulb) [][]byte {
	b.t.Helper()
	var nonces [][]byte
	for _, l := range list {
		nonces = append(nonces, in.status(l, firmware.FieldNonce).Nonce)
	}
	return nonces
}

// update does everything for a list of lamps: they run the image, confirmed.
func (b *building) update(in *installer, x *transfer, version string, list ...*bulb) {
	b.t.Helper()
	if list == nil {
		list = b.bulbs
	}
	in.cast(switchMessage(x.activate(firmware.ModeTest, b.nonces(in, list...)...)))
	b.pass(2 * time.Second)
	b.want(firmware.Testing, version, list...)
	in.cast(switchMessage(x.activate(firmware.ModeConfirm, b.nonces(in, list...)...)))
	b.pass(time.Second)
	b.want(firmware.Idle, version, list...)
}

// plainDo makes a request over a session.
func plainDo(c coap.Caller, req *coap.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	resp, err := c.Call(ctx, req)
	if err != nil {
		return err
	}
	return coap.CheckResponse(resp)
}

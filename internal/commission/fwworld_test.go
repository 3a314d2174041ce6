package commission

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/sim/flash"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/suit"
	"lamplighter/internal/updater"
)

const (
	fwVendor   = "lamps.example"
	fwClass    = "lamp-dim-1"
	fwFactory  = 10       // sequence number of the image that lamps are made with
	fwSize     = 40 << 10 // bytes of the image that tests send
	fwBlocks   = fwSize / 1024
	fwMinutes  = time.Minute // a test waits for a job, real time
	flashSize  = 256 << 10
	flashBlock = 4 << 10
)

// fwWorld is a world whose lamps take firmware of one vendor.
type fwWorld struct {
	*world
	vendor ed25519.PrivateKey
	crash  map[string]bool // lamps that no new image starts on

	started func(version string) // hears which images start; nil: nobody

	ticking sync.Mutex
}

// newFwWorld makes a world of n lamps; edits change the firmware of the lamp with
// that index.
func newFwWorld(t testing.TB, n int, edits ...func(i int, cfg *updater.Config)) *fwWorld {
	t.Helper()
	w := &fwWorld{world: newWorld(t, 0), vendor: newKey(t), crash: map[string]bool{}}
	w.equip = func(l *lamp) {
		i := len(w.lamps)
		l.cfg.Firmware = w.firmware(l)
		for _, edit := range edits {
			edit(i, l.cfg.Firmware)
		}
		if l.cfg.Firmware.Flash == nil {
			l.cfg.Firmware = nil
		}
	}
	for i := range n {
		w.addLamp(byte(i + 1))
	}
	return w
}

// firmware is what a lamp's updater is made of.
func (w *fwWorld) firmware(l *lamp) *updater.Config {
	vendor := suit.VendorID(fwVendor)
	class := suit.ClassID(vendor, fwClass)
	cfg := &updater.Config{
		Flash: flash.NewMemory(flashSize, flashBlock), Anchors: []cose.PublicKey{cose.NewEd25519(w.vendor).Public()},
		Vendor: vendor[:], Class: class[:], Hardware: "1", Ability: updater.Ability{Parity: 32},
		Factory: image.Make(image.Image{Version: "1.0.0"}, 2048), FactorySequence: fwFactory,
	}
	cfg.Start = func(b []byte) (string, error) {
		i, err := image.Parse(b)
		if err == nil && i.Version != "1.0.0" && w.crashes(l.id()) {
			err = errors.New("it crashed")
		}
		if err == nil && w.started != nil {
			w.started(i.Version)
		}
		return i.Version, err
	}
	cfg.Reboot = func() { w.boot(l) }
	return cfg
}

func (w *fwWorld) crashes(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.crash[id]
}

func (w *fwWorld) setCrash(id string, crashes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crash[id] = crashes
}

// tick does what is due at the lamps.
func (w *fwWorld) tick() {
	w.ticking.Lock()
	defer w.ticking.Unlock()
	for _, l := range w.lamps {
		if at, ok := l.Due(); ok && !w.now().Before(at) {
			l.Tick()
		}
	}
}

// skewClock is the clock of rollouts: who sleeps moves it.
type skewClock struct{ w *fwWorld }

func (c skewClock) Now() time.Time { return c.w.now() }

func (c skewClock) Sleep(ctx context.Context, d time.Duration) error {
	c.w.advance(max(d, 0))
	c.w.tick()
	return ctx.Err()
}

// file is a firmware file of the vendor.
func (w *fwWorld) file(version string, sequence uint64, edits ...func(*suit.Params)) []byte {
	return w.fileBy(w.vendor, version, sequence, edits...)
}

func (w *fwWorld) fileBy(key ed25519.PrivateKey, version string, sequence uint64, edits ...func(*suit.Params)) []byte {
	w.t.Helper()
	p := suit.Params{
		Sequence: sequence, Vendor: fwVendor, Class: fwClass, Integrate: true, Version: version, Model: "Lamp",
		Image: image.Make(image.Image{Version: version}, fwSize),
	}
	for _, edit := range edits {
		edit(&p)
	}
	signer, err := suit.NewSigner(cose.Null, cose.NewEd25519(key))
	if err != nil {
		w.t.Fatal(err)
	}
	file, err := suit.Sign(p, signer)
	if err != nil {
		w.t.Fatal(err)
	}
	return file
}

// onTap puts an engine behind a tap, with the clock of the world.
func (w *fwWorld) onTap(tap *tap) func(*Config) {
	return func(c *Config) {
		if tap != nil {
			tap.Exchanger = c.Exchange
			c.Exchange = tap
		}
		c.Clock = skewClock{w}
	}
}

// commissioned is an engine in whose hall all lamps are.
func (w *fwWorld) commissioned(tap *tap) *browser {
	w.t.Helper()
	b := w.enrolled(w.onTap(tap))
	b.joined()
	return b
}

// image takes a file in.
func (b *browser) image(file []byte) FirmwareImage {
	b.t.Helper()
	img, err := b.InspectFirmware(b.t.Context(), file)
	if err != nil || img.Problem != nil {
		b.t.Fatalf("%v %+v", err, img.Problem)
	}
	return img
}

// rolls starts a rollout in the hall.
func (b *browser) rolls(img FirmwareImage, options FirmwareOptions) Job {
	b.t.Helper()
	j, err := b.StartFirmware(b.t.Context(), hall, img.Digest, options)
	b.must(j, err)
	return j
}

// board is a rollout as it is shown.
func (b *browser) board(j Job) Rollout {
	b.t.Helper()
	r, err := b.Firmware(b.t.Context(), j.ID)
	b.must(r, err)
	return r
}

// row is a device's row of a rollout.
func (r Rollout) row(id string) RolloutDevice {
	i := slices.IndexFunc(r.Devices, func(d RolloutDevice) bool { return d.Device == id })
	if i < 0 {
		return RolloutDevice{State: "no row"}
	}
	return r.Devices[i]
}

// ended waits for a rollout's end.
func (b *browser) ended(j Job) (Job, Rollout) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), fwMinutes)
	defer cancel()
	j, err := b.WaitJob(ctx, j.ID)
	if err != nil {
		b.t.Fatalf("waiting for the rollout: %v\n%s", err, describe(b.board(j)))
	}
	return j, b.board(j)
}

// confirmed expects that all lamps run a version and all is done.
func (w *fwWorld) confirmed(b *browser, j Job, version string, lamps ...*lamp) Rollout {
	w.t.Helper()
	if lamps == nil {
		lamps = w.lamps
	}
	j, r := b.ended(j)
	if j.State != JobDone || r.Phase != PhaseDone || j.Done != len(lamps) {
		w.t.Fatalf("%s\n%s", b.failures(j), describe(r))
	}
	for _, l := range lamps {
		if v := l.Firmware().View(); v.Running.Version != version {
			w.t.Errorf("%s runs %s", l.id(), v.Running.Version)
		}
		if row := r.row(l.id()); row.State != RolloutConfirmed || row.Version != version {
			w.t.Errorf("%+v", row)
		}
	}
	return r
}

func describe(r Rollout) string {
	text := fmt.Sprintf("%s, %d blocks: %d sent, %d parity, %d alone, %d sweeps", r.Phase, r.Blocks, r.Sent, r.Parity, r.Unicast, r.Sweeps)
	if r.Problem != nil {
		text += ", " + r.ProblemDevice + ": " + r.Problem.ID + " " + r.Problem.Text
	}
	for _, d := range r.Devices {
		text += fmt.Sprintf("\n%s %s %.0f %% %s", d.Device, d.State, 100*d.Progress, d.Version)
		if d.Problem != nil {
			text += " " + d.Problem.ID + ": " + d.Problem.Text
		}
	}
	return text
}

// tap counts what goes to the group without wanting an answer, and can hold, cut or
// watch it.
type tap struct {
	coap.Exchanger
	mu   sync.Mutex
	sent int
	at   map[int]func(context.Context) // called before the message with that number, from 1
	cut  bool                          // the link is down
	ask  func()                        // called before the next message that wants answers
}

func (x *tap) when(n int, do func(context.Context)) *tap {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.at == nil {
		x.at = map[int]func(context.Context){}
	}
	x.at[n] = do
	return x
}

func (x *tap) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sent
}

func (x *tap) setCut(cut bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cut = cut
}

func (x *tap) setAsk(ask func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ask = ask
}

func (x *tap) takeAsk() func() {
	x.mu.Lock()
	defer x.mu.Unlock()
	ask := x.ask
	x.ask = nil
	return ask
}

func (x *tap) isCut() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cut
}

func (x *tap) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	if x.isCut() {
		return nil, coap.ErrLink
	}
	return x.Exchanger.Exchange(ctx, to, req)
}

func (x *tap) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	if wait == 0 {
		x.mu.Lock()
		x.sent++
		do := x.at[x.sent]
		x.mu.Unlock()
		if do != nil {
			do(ctx)
		}
	} else if ask := x.takeAsk(); ask != nil {
		ask()
	}
	if ctx.Err() != nil {
		return nil
	}
	if x.isCut() {
		return coap.ErrLink
	}
	return x.Exchanger.Multicast(ctx, to, req, wait, each)
}

func (x *tap) Observe(ctx context.Context, to netip.AddrPort, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	if x.isCut() {
		return nil, coap.ErrLink
	}
	return x.Exchanger.(coap.Observer).Observe(ctx, to, req, each)
}

// team is Ann, an administrator, and Bert, an installer whom the lamps list too.
func (w *fwWorld) team(tap *tap) (ann, bert *browser) {
	w.t.Helper()
	ann = w.hired("Ann", as.RoleAdmin, "127.0.0.1:40001", w.onTap(tap))
	bert = w.hired("Bert", as.RoleInstaller, "127.0.0.1:40002", w.onTap(nil))
	ann.joined()
	if j := ann.job(ann.UpdateCommissioners(w.t.Context())); j.State != JobDone {
		w.t.Fatal(ann.failures(j))
	}
	_, err := bert.GroupMembers(w.t.Context(), hall)
	bert.must(nil, err)
	return ann, bert
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/device"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/firmware"
	"lamplighter/internal/label"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/store"
	"lamplighter/internal/suit"
)

// bench is a lamp on a table: its /fw resources are reached past who may use them.
type bench struct {
	*lamp
	t    *testing.T
	key  cose.PrivateKey
	file string
	st   store.Store
}

// newBench makes a lamp; a second one over the same folder is what a new process has.
func newBench(t *testing.T, folder string) *bench {
	t.Helper()
	key, err := vendorKey(folder)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, key: key, file: filepath.Join(folder, "flash.nor"), st: store.NewMemory()}
	b.start()
	t.Cleanup(func() { b.scrap() })
	return b
}

func (b *bench) start() {
	b.t.Helper()
	b.lamp = &lamp{
		name: "Lamp", addr: netip.MustParseAddrPort("127.0.0.1:0"), restarts: 10 * time.Millisecond, faults: newLampFaults(1, lossFlags{}),
		config: device.Config{
			ID: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, Model: lampModel, HW: "A1", LabelSecret: bytes.Repeat([]byte{1}, label.SecretSize),
			Store: b.st, Logger: silent,
		},
		udp: endpoint.UDPOptions{Logger: silent},
	}
	if err := b.solder(b.file, []cose.PublicKey{b.key.Public()}); err != nil {
		b.t.Fatal(err)
	}
	if err := b.powerOn(); err != nil {
		b.t.Fatal(err)
	}
}

// serve makes a request for /fw; nil without an answer.
func (b *bench) serve(code coap.Code, path string, body []byte) *coap.Message {
	mux := coap.NewMux()
	b.current().Firmware().Register(mux, b.faults.tamper)
	h := &lampHandler{mux, b.lamp}
	resp := h.Serve(context.Background(), &coap.Request{Message: coap.NewRequest(code, path, body)})
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.device != nil && b.socket != nil {
		go b.device.Tick() // Keep hears of no request that goes past it
	}
	return resp
}

func (b *bench) status(fields firmware.Field) firmware.Status {
	b.t.Helper()
	r := firmware.StatusRequest{Fields: fields}
	resp := b.serve(coap.FETCH, firmware.PathStatus, r.Append(nil))
	if resp == nil {
		b.t.Fatal("it is silent")
	}
	s, err := firmware.ParseStatus(resp.Payload)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// parcel is an image on its way to the lamp.
type parcel struct {
	manifest, image, session, digest []byte
	layout                           firmware.Layout
}

func (b *bench) parcel(f demoFirmware) *parcel {
	b.t.Helper()
	whole, err := f.envelope(b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	e, err := suit.Parse(whole)
	if err != nil {
		b.t.Fatal(err)
	}
	img := e.Integrated[suit.ImageURI]
	p := &parcel{manifest: e.Bare(), image: img, layout: firmware.Layout{Size: len(img), Block: 1024, K: 64}}
	p.session = p.layout.SessionID(e.Digest[:])
	of, err := e.Image()
	if err != nil {
		b.t.Fatal(err)
	}
	p.digest = of.Digest[:firmware.DigestSize]
	return p
}

// send brings all blocks from one on, until one is refused or the lamp is silent.
func (b *bench) send(p *parcel, from int) (refused *coap.Message, sent int) {
	b.serve(coap.PUT, firmware.PathManifest, p.manifest)
	open := firmware.SessionRequest{Session: p.session, Op: firmware.OpOpen, Block: uint(p.layout.Block), K: uint(p.layout.K)}
	if resp := b.serve(coap.POST, firmware.PathSession, open.Append(nil)); resp == nil || resp.Code != coap.Changed {
		return resp, 0
	}
	for n := from; n < p.layout.Blocks(); n++ {
		g, idx := p.layout.Place(n)
		at := n * p.layout.Block
		blk := firmware.Block{Session: p.session, Generation: uint(g), Index: uint(idx), Bytes: p.image[at : at+p.layout.Length(n)]}
		if resp := b.serve(coap.PUT, firmware.PathBlock, blk.Append(nil)); resp == nil || resp.Code != coap.Changed {
			return resp, n - from
		}
	}
	return nil, p.layout.Blocks() - from
}

// switchTo makes the lamp do something with an image that it has, and answers the code.
func (b *bench) switchTo(p *parcel, mode firmware.Mode, within uint) coap.Code {
	b.t.Helper()
	r := firmware.ActivateRequest{Session: p.session, Digest: p.digest, Mode: mode, Within: within, Nonces: b.status(firmware.FieldNonce).Nonce}
	resp := b.serve(coap.POST, firmware.PathActivate, r.Append(nil))
	if resp == nil {
		return 0
	}
	return resp.Code
}

// until waits for a state of the lamp.
func (b *bench) until(what string, ok func(lampState) bool) lampState {
	b.t.Helper()
	for range 800 {
		if s := b.state(); ok(s) {
			return s
		}
		time.Sleep(10 * time.Millisecond)
		b.current().Tick()
	}
	b.t.Fatalf("it never came to this: %s; it is %+v", what, *b.state().Firmware)
	return lampState{}
}

func (b *bench) runs(version, state string, boots uint) lampState {
	b.t.Helper()
	return b.until(fmt.Sprintf("%s, %s, %d boots", version, state, boots), func(s lampState) bool {
		return !s.Booting && s.Firmware.Version == version && s.Firmware.State == state && s.Firmware.Boots == boots
	})
}

func firmwareCalled(name string) demoFirmware {
	for _, f := range demoFirmwares() {
		if f.name == name {
			return f
		}
	}
	panic("there is no firmware called " + name)
}

// The simulator really boots: version and blinking are the image's, and the flash
// outlives the process.
func TestLampBoots(t *testing.T) {
	b := newBench(t, t.TempDir())
	if s := b.runs(factoryVersion, "idle", 1); s.Firmware.Blink != "500/500" || s.Firmware.Minimum != factorySequence || !s.Firmware.SwitchedAt.IsZero() {
		t.Errorf("%+v", s.Firmware)
	}
	p := b.parcel(firmwareCalled("small"))
	if resp, n := b.send(p, 0); n != p.layout.Blocks() {
		t.Fatalf("%d blocks, then %v", n, resp)
	}
	if s := b.runs(factoryVersion, "downloaded", 1); !s.Firmware.Verified {
		t.Errorf("%+v", s.Firmware)
	}
	if code := b.switchTo(p, firmware.ModeTest, 60); code != coap.Changed {
		t.Fatal(coap.CodeString(code))
	}
	s := b.runs("2.2.0", "testing", 2)
	if s.Firmware.Blink != "100/100" || s.Firmware.SwitchedAt.IsZero() || s.Firmware.Minimum != factorySequence {
		t.Errorf("%+v", s.Firmware)
	}
	if code := b.switchTo(p, firmware.ModeConfirm, 0); code != coap.Changed {
		t.Fatal(coap.CodeString(code))
	}
	if s := b.runs("2.2.0", "idle", 2); s.Firmware.Minimum != 24 {
		t.Errorf("%+v", s.Firmware)
	}
	b.scrap()
	b.start()
	b.runs("2.2.0", "idle", 3)
}

// An image that hangs answers nothing, and the lamp leaves it when its time is over. One
// that crashes is left at once.
func TestLampLeavesBadImages(t *testing.T) {
	b := newBench(t, t.TempDir())
	p := b.parcel(firmwareCalled("lamp-2.1.0-hangs"))
	b.send(p, 0)
	b.switchTo(p, firmware.ModeTest, 2)
	b.runs("2.1.0-hangs", "testing", 2)
	if resp := b.serve(coap.GET, firmware.PathReport, nil); resp != nil {
		t.Errorf("what hangs answers %v", resp.Code)
	}
	if s := b.runs(factoryVersion, "idle", 3); s.Firmware.Result != uint(firmware.ResultReverted) {
		t.Errorf("%+v", s.Firmware)
	}
	p = b.parcel(firmwareCalled("lamp-2.1.0-bootloop"))
	b.send(p, 0)
	b.switchTo(p, firmware.ModeTest, 60)
	if s := b.runs(factoryVersion, "idle", 4); s.Firmware.Result != uint(firmware.ResultBootLoop) || s.Firmware.Minimum != factorySequence {
		t.Errorf("%+v", s.Firmware)
	}
}

// The power is cut at any time, also while the lamp restarts; it comes back on what it
// ran when it is switched on.
func TestLampPower(t *testing.T) {
	b := newBench(t, t.TempDir())
	p := b.parcel(firmwareCalled("small"))
	b.send(p, 0)
	b.lamp.restarts = time.Hour
	b.switchTo(p, firmware.ModeTest, 60)
	b.until("it restarts", func(s lampState) bool { return s.Booting && s.Powered && !s.Lit })
	b.powerOff()
	if s := b.state(); s.Powered || s.Booting || s.Lit {
		t.Errorf("without power %+v", s)
	}
	b.lamp.restarts = time.Millisecond
	if err := b.powerOn(); err != nil {
		t.Fatal(err)
	}
	b.runs("2.2.0", "testing", 2)
	b.powerOff() // before it was confirmed
	if err := b.powerOn(); err != nil {
		t.Fatal(err)
	}
	b.runs(factoryVersion, "idle", 3)
}

// What the inspector shows of a lamp's firmware has the names that tests use.
func TestInspectFirmware(t *testing.T) {
	b := newBench(t, t.TempDir())
	text, err := json.Marshal(b.state())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Firmware map[string]any `json:"firmware"`
		Lit      *bool          `json:"lit"`
		Model    string         `json:"model"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state", "version", "sequence", "minimum", "digest", "verified", "result", "boots", "blink", "switchedAt"} {
		if _, there := got.Firmware[name]; !there {
			t.Errorf("%s is missing in %s", name, text)
		}
	}
	if got.Lit == nil || got.Model != lampModel || len(got.Firmware["digest"].(string)) != 64 {
		t.Errorf("%s", text)
	}
	if _, err := image.Parse(factoryImage); err != nil {
		t.Error(err)
	}
}

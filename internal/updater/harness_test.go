package updater

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/firmware"
	"lamplighter/internal/suit"
)

const (
	testVendor = "lamps.example"
	testClass  = "LL-100"
	factorySeq = 10
)

var (
	vendorKey = cose.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)))
	otherKey  = cose.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32)))
	start     = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	feederA   = coap.Peer{Kind: coap.PeerGroup, Name: "lamps", Cred: []byte("A's credential")}
	feederB   = coap.Peer{Kind: coap.PeerPSK, Data: []byte("B's credential")}
)

// makeImage makes an image of a version; it crashes when the version ends in "!".
func makeImage(version string, size int) []byte {
	b := append([]byte{byte(len(version))}, version...)
	seed := binary.BigEndian.Uint64(bytes.Repeat([]byte{byte(size)}, 8))
	for _, c := range version {
		seed = seed*31 + uint64(c)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	for len(b) < size {
		b = append(b, byte(rng.Uint32()))
	}
	return b[:size]
}

// device is an Updater that restarts over one flash.
type device struct {
	t     testing.TB
	flash *memory
	cfg   Config
	u     *Updater
	mux   *coap.Mux
	now   time.Time

	from    coap.Peer
	reboots int      // that were asked for and not done
	log     []string // versions that were started
}

func newDevice(t testing.TB, flash *memory, change ...func(*Config)) *device {
	t.Helper()
	vendor := suit.VendorID(testVendor)
	class := suit.ClassID(vendor, testClass)
	d := &device{t: t, flash: flash, now: start, from: feederA}
	d.cfg = Config{
		Flash: flash, Anchors: []cose.PublicKey{vendorKey.Public()}, Vendor: vendor[:], Class: class[:], Hardware: "rev B",
		Factory: makeImage("1.0", 200), FactorySequence: factorySeq,
		Ability: Ability{Block: 64, K: 8, Parity: 8},
		Start: func(b []byte) (string, error) {
			version := string(b[1 : 1+b[0]])
			d.log = append(d.log, version)
			if version[len(version)-1] == '!' {
				return "", errors.New("it crashed")
			}
			return version, nil
		},
		Reboot: func() { d.reboots++ },
		Now:    func() time.Time { return d.now },
		Rand:   rand.NewChaCha8([32]byte{1}),
	}
	for _, f := range change {
		f(&d.cfg)
	}
	d.boot()
	return d
}

// small is a flash for images of up to about 1.5 KiB.
func small() *memory { return newMemory(16384, 256) }

// boot restarts.
func (d *device) boot() {
	d.t.Helper()
	if err := d.tryBoot(); err != nil {
		d.t.Fatalf("boot: %v", err)
	}
}

func (d *device) tryBoot() (err error) {
	d.reboots, d.log = 0, nil
	d.u, err = Open(d.cfg)
	if err == nil {
		d.mux = coap.NewMux()
		d.u.Register(d.mux, func(f coap.HandlerFunc) coap.HandlerFunc { return f })
	}
	return err
}

// run lets time pass, with its timers, and restarts when that is asked for.
func (d *device) run(span time.Duration) {
	d.t.Helper()
	for end := d.now.Add(span); ; {
		at, ok := d.u.Due()
		if !ok || at.After(end) {
			d.now = end
			return
		}
		if at.After(d.now) {
			d.now = at
		}
		d.u.Tick()
		if d.reboots > 0 {
			d.boot()
		}
	}
}

func (d *device) serve(method coap.Code, path string, payload []byte, multicast bool) *coap.Message {
	req := &coap.Request{Message: coap.NewRequest(method, path, payload), Multicast: multicast, Peer: d.from}
	return d.mux.Serve(context.Background(), req)
}

// expect makes a request that has to be answered with a code.
func (d *device) expect(want coap.Code, method coap.Code, path string, payload []byte) *coap.Message {
	d.t.Helper()
	resp := d.serve(method, path, payload, false)
	if resp == nil || resp.Code != want {
		d.t.Fatalf("%s: %s, want %s", path, describe(resp), coap.CodeString(want))
	}
	return resp
}

func describe(m *coap.Message) string {
	if m == nil {
		return "silence"
	}
	return fmt.Sprintf("%s %q", coap.CodeString(m.Code), m.Payload)
}

func (d *device) status(fields firmware.Field) firmware.Status {
	d.t.Helper()
	r := firmware.StatusRequest{Fields: fields}
	s, err := firmware.ParseStatus(d.expect(coap.Content, coap.FETCH, firmware.PathStatus, r.Append(nil)).Payload)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *device) wantState(want firmware.State, result firmware.Result) firmware.Status {
	d.t.Helper()
	s := d.status(firmware.FieldProgress | firmware.FieldRunning)
	if s.State != want || s.Result != result {
		d.t.Fatalf("state %d, result %d; want %d, %d (%v)", s.State, s.Result, want, result, s.Result)
	}
	return s
}

// transfer is an image on its way.
type transfer struct {
	envelope []byte
	image    []byte
	layout   firmware.Layout
	session  []byte
	digest   []byte
}

func makeTransfer(t testing.TB, img []byte, sequence uint64, block, k int, change ...func(*suit.Params)) *transfer {
	t.Helper()
	return signTransfer(t, vendorKey, img, sequence, block, k, change...)
}

func signTransfer(t testing.TB, key cose.PrivateKey, img []byte, sequence uint64, block, k int, change ...func(*suit.Params)) *transfer {
	t.Helper()
	signer, err := suit.NewSigner(cose.Null, key)
	if err != nil {
		t.Fatal(err)
	}
	p := suit.Params{Sequence: sequence, Vendor: testVendor, Class: testClass, Image: img}
	for _, f := range change {
		f(&p)
	}
	data, err := suit.Sign(p, signer)
	if err != nil {
		t.Fatal(err)
	}
	e, err := suit.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(img)
	x := &transfer{envelope: e.Bare(), image: img, layout: firmware.Layout{Size: len(img), Block: block, K: k}, digest: sum[:firmware.DigestSize]}
	x.session = x.layout.SessionID(e.Digest[:])
	return x
}

func (x *transfer) open() []byte {
	r := firmware.SessionRequest{Session: x.session, Op: firmware.OpOpen, Block: uint(x.layout.Block), K: uint(x.layout.K)}
	return r.Append(nil)
}

func (x *transfer) abort() []byte {
	r := firmware.SessionRequest{Session: x.session, Op: firmware.OpAbort}
	return r.Append(nil)
}

// source is a source block by number.
func (x *transfer) source(n int) []byte {
	at := n * x.layout.Block
	return x.image[at : at+x.layout.Length(n)]
}

// block is a block's request.
func (x *transfer) block(g, index int) []byte {
	first, k := x.layout.Generation(g)
	b := firmware.Block{Session: x.session, Generation: uint(g), Index: uint(index)}
	if index < firmware.MaxK {
		b.Bytes = x.source(first + index)
	} else {
		b.Bytes = make([]byte, x.layout.Block)
		firmware.Encode(b.Bytes, index, func(j int) []byte { return x.source(first + j) }, k)
	}
	return b.Append(nil)
}

// begin sends manifest and opening.
func (d *device) begin(x *transfer) {
	d.t.Helper()
	d.expect(coap.Changed, coap.PUT, firmware.PathManifest, x.envelope)
	d.expect(coap.Changed, coap.POST, firmware.PathSession, x.open())
}

// feed sends source blocks that are not lost, and parity until nothing is missing.
func (d *device) feed(x *transfer, lost func(g, index int) bool) {
	d.t.Helper()
	for g := range x.layout.Generations() {
		_, k := x.layout.Generation(g)
		for i := range k {
			if !lost(g, i) {
				d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(g, i))
			}
		}
	}
	for next := firmware.MaxK; next < firmware.MaxSymbols; next++ {
		s := d.status(firmware.FieldProgress)
		if s.State != firmware.Downloading {
			return
		}
		for g, deficit := range s.Deficits {
			if deficit > 0 {
				d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(g, next))
			}
		}
	}
	d.t.Fatalf("parity is exhausted: %v", d.status(firmware.FieldProgress).Deficits)
}

func none(int, int) bool { return false }

// activate sends a switch with a fresh nonce, or with those given.
func (d *device) activate(x *transfer, mode firmware.Mode, change ...func(*firmware.ActivateRequest)) *coap.Message {
	d.t.Helper()
	r := x.activation(mode, nil)
	for _, f := range change {
		f(&r)
	}
	if r.Nonces == nil {
		r.Nonces = d.status(firmware.FieldNonce).Nonce
	}
	return d.serve(coap.POST, firmware.PathActivate, r.Append(nil), false)
}

func (x *transfer) activation(mode firmware.Mode, nonces []byte) firmware.ActivateRequest {
	return firmware.ActivateRequest{Session: x.session, Digest: x.digest, Mode: mode, Nonces: nonces}
}

func (d *device) must(resp *coap.Message, want coap.Code) {
	d.t.Helper()
	if resp == nil || resp.Code != want {
		d.t.Fatalf("%s, want %s", describe(resp), coap.CodeString(want))
	}
}

// update goes all the way from a manifest to the confirmation.
func (d *device) update(x *transfer) {
	d.t.Helper()
	d.begin(x)
	d.feed(x, func(g, i int) bool { return (g+i)%4 == 1 })
	d.wantState(firmware.Downloaded, firmware.ResultNone)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	d.wantState(firmware.Testing, firmware.ResultNone)
	d.must(d.activate(x, firmware.ModeConfirm), coap.Changed)
	d.wantState(firmware.Idle, firmware.ResultSuccess)
}

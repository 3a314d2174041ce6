package fleet

import (
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/image"
)

// All devices get an image over links that lose a fifth, by nothing but manifest,
// opening, blocks and parity to the group; they boot it and keep it when told to.
func TestReceive(t *testing.T) {
	f := make10(t, Config{Seed: 5, Rate: 50_000, Parallel: 2, Link: func(int) sim.Link { return sim.Link{Loss: 0.2} }})
	r, err := f.Release(image.Image{Version: "2.0.0"}, 2, 30_000)
	if err != nil {
		t.Fatal(err)
	}
	l := firmware.Layout{Size: len(r.Image), Block: 512, K: 16}
	session := l.SessionID(r.Manifest.Digest)
	send := func(code coap.Code, path string, body []byte, copies int) {
		req := coap.NewRequest(code, path, body)
		coap.AddUint(req, coap.OptionContentFormat, coap.FormatCBOR)
		if _, err := f.Group().Send(t.Context(), req, copies); err != nil {
			t.Fatal(err)
		}
	}
	send(coap.PUT, firmware.PathManifest, r.Envelope, 8)
	open := firmware.SessionRequest{Session: session, Op: firmware.OpOpen, Block: 512, K: 16}
	send(coap.POST, firmware.PathSession, open.Append(nil), 8)
	block := func(g, index int, data []byte) {
		b := firmware.Block{Session: session, Generation: uint(g), Index: uint(index), Bytes: data}
		send(coap.PUT, firmware.PathBlock, b.Append(nil), 1)
	}
	for g := range l.Generations() {
		first, k := l.Generation(g)
		source := func(j int) []byte { at := (first + j) * l.Block; return r.Image[at : at+l.Length(first+j)] }
		for j := range k {
			block(g, j, source(j))
		}
		parity := make([]byte, l.Block)
		for p := range 20 {
			firmware.Encode(parity, firmware.MaxK+p, source, k)
			block(g, firmware.MaxK+p, parity)
		}
	}
	for _, d := range f.Devices {
		s := d.Updater().Status(firmware.FieldProgress | firmware.FieldNonce)
		if s.State != firmware.Downloaded || string(s.Ready) != string(r.Manifest.Image[:8]) {
			t.Fatalf("%s: %+v", d.ID, s)
		}
		f.Net.SetLink(d.Addr, sim.Link{})
		activate(t, f, d, session, s, firmware.ModeTest)
	}
	f.Wait(10 * time.Second)
	for _, d := range f.Devices {
		s := d.Updater().Status(firmware.FieldNonce | firmware.FieldRunning)
		if s.State != firmware.Testing || s.Running.Version != "2.0.0" || s.Running.Sequence != 2 {
			t.Fatalf("%s: %+v", d.ID, s)
		}
		if d != f.Devices[0] {
			s.Ready = s.Running.Digest
			activate(t, f, d, session, s, firmware.ModeConfirm)
		}
	}
	f.Wait(20 * time.Minute)
	for i, d := range f.Devices {
		running, _ := d.Image()
		if want := map[bool]string{true: "1.0.0", false: "2.0.0"}[i == 0]; running.Version != want || d.Brick() != nil {
			t.Errorf("%s runs %s, %v", d.ID, running.Version, d.Brick())
		}
	}
}

func activate(t *testing.T, f *Fleet, d *Device, session []byte, s firmware.Status, mode firmware.Mode) {
	t.Helper()
	a := firmware.ActivateRequest{Session: session, Digest: s.Ready, Mode: mode, Within: 600, Nonces: s.Nonce}
	req := coap.NewRequest(coap.POST, firmware.PathActivate, a.Append(nil))
	coap.AddUint(req, coap.OptionContentFormat, coap.FormatCBOR)
	got, err := f.Group().Call(t.Context(), d.ID, req)
	if err != nil || coap.Class(got.Resp.Code) != 2 {
		t.Fatalf("%s: %v, %v", d.ID, got.Resp, err)
	}
}

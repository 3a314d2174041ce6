package commission

import (
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/cose"
	"lamplighter/internal/sim/flash"
	"lamplighter/internal/suit"
	"lamplighter/internal/updater"
)

// A file is taken apart, held to its digests, and kept; what is none, was cut,
// changed or signed wrong is refused with its own problem.
func TestInspectFirmware(t *testing.T) {
	w := newFwWorld(t, 1)
	b := w.commissioned(nil)
	good := w.file("1.1.0", 11)
	img := b.image(good)
	if img.Version != "1.1.0" || img.Sequence != 11 || img.Size != fwSize || img.Signed || img.Signer == "" || img.Name != "Lamp" || img.Algorithm != "Ed25519" {
		t.Errorf("%+v", img)
	}
	if plan, err := b.PlanFirmware(t.Context(), hall, img.Digest, FirmwareOptions{}); err != nil || plan.Fits != 1 || !plan.Image.Signed || plan.Problem != nil {
		t.Fatalf("%+v %v", plan, err)
	}
	if img = b.image(good); !img.Signed { // the lamp told whom it trusts
		t.Errorf("%+v", img)
	}
	refused := func(what string, file []byte, want string) {
		t.Helper()
		got, err := b.InspectFirmware(t.Context(), file)
		id := id(err)
		if err == nil && got.Problem != nil {
			id = got.Problem.ID
		}
		if id != want {
			t.Errorf("%s: %q, want %q", what, id, want)
		}
	}
	flip := func(at int) []byte {
		file := append([]byte(nil), good...)
		file[at] ^= 1
		return file
	}
	refused("nothing", nil, "fw-file")
	refused("a text", []byte("hello"), "fw-file")
	refused("cut", good[:len(good)/2], "fw-file")
	refused("longer", append(append([]byte(nil), good...), 0), "fw-file")
	refused("another image in it", flip(len(good)-1), "fw-file-changed")
	refused("without the image", w.file("1.1.0", 11, func(p *suit.Params) { p.Integrate = false }), "fw-file-empty")
	refused("a stranger's signature", w.fileBy(newKey(t), "1.1.0", 11), "fw-signer")
	refused("too large", make([]byte, maxImage+fileOverhead+1), "fw-too-big")
	signature := strings.Index(string(good), string(b.signatureOf(good)))
	refused("a wrong signature", flip(signature), "fw-signature")
	if list, err := b.FirmwareImages(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%d images are kept: %v", len(list), err)
	}
	if _, err := b.PlanFirmware(t.Context(), hall, "00", FirmwareOptions{}); id(err) != "fw-unknown-image" {
		t.Errorf("%v", err)
	}
}

func (b *browser) signatureOf(file []byte) []byte {
	b.t.Helper()
	envelope, err := suit.Parse(file)
	b.must(envelope, err)
	return envelope.Signatures[0].Bytes
}

// Each device that an image does not fit is left out with the reason.
func TestPlanFirmwareReasons(t *testing.T) {
	w := newFwWorld(t, 7, func(i int, cfg *updater.Config) {
		switch i {
		case 1:
			class := suit.ClassID(suit.VendorID(fwVendor), "another")
			cfg.Class = class[:]
		case 2:
			cfg.FactorySequence = 20
		case 3:
			cfg.Flash = flash.NewMemory(128<<10, flashBlock) // no room for the image in a slot
		case 4:
			cfg.Flash = nil
		case 5:
			cfg.Anchors = []cose.PublicKey{cose.NewEd25519(newKey(t)).Public()}
		}
	})
	b := w.commissioned(&tap{})
	w.net.Down(w.lamps[6].addr, true)
	img := b.image(w.file("1.1.0", 11))
	plan, err := b.PlanFirmware(t.Context(), hall, img.Digest, FirmwareOptions{Profile: "ethernet"})
	if err != nil || plan.Fits != 1 || plan.Left != 6 || plan.Blocks != fwBlocks || plan.BlockSize != 1024 || plan.Bytes < fwSize || plan.Seconds <= 0 || plan.UnicastSeconds <= 0 {
		t.Fatalf("%+v %v", plan, err)
	}
	if asks := b.asks(); len(asks) == 0 || asks[len(asks)-1].Answered != 6 || asks[len(asks)-1].Silent != 1 || len(asks[len(asks)-1].Waiting) != 0 {
		t.Errorf("while the plan was made the page heard %+v", asks)
	}
	for i, want := range []string{"", "fw-wrong-class", "fw-older", "fw-no-space", "fw-none", "fw-signer", "fw-silent"} {
		fit := plan.Devices[slices.IndexFunc(plan.Devices, func(f FirmwareFit) bool { return f.Device == w.lamps[i].id() })]
		got := ""
		if fit.Problem != nil {
			got = fit.Problem.ID
		}
		if got != want || fit.Fits != (want == "") {
			t.Errorf("lamp %d: %q, want %q", i, got, want)
		}
	}
	if len(plan.Waves) != 1 || plan.Waves[0].Name != "Canary" || plan.Waves[0].State != WaveWaiting {
		t.Errorf("%+v", plan.Waves)
	}
	plan, err = b.PlanFirmware(t.Context(), hall, img.Digest, FirmwareOptions{Devices: []string{w.lamps[1].id()}})
	if err != nil || plan.Fits != 0 || plan.Problem == nil || plan.Problem.ID != "fw-no-fit" {
		t.Errorf("%+v %v", plan, err)
	}
	for what, options := range map[string]FirmwareOptions{"a profile": {Profile: "pigeons"}, "a time": {Soak: -1}} {
		if _, err := b.PlanFirmware(t.Context(), hall, img.Digest, options); id(err) != "fw-bad-options" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i, l := range w.lamps {
		if l.Firmware() != nil && l.Firmware().View().State != 0 {
			t.Errorf("planning did something to lamp %d", i)
		}
	}
}

package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// breaks asks for a fault as over the inspector.
func (b *bench) breaks(query string) {
	b.t.Helper()
	if err := b.fault(httptest.NewRequest(http.MethodPost, "/devices/x/fault?"+query, nil)); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
}

// A flash that fails ends the transfer, and nothing else; repaired it takes the image.
func TestLampWithBadFlash(t *testing.T) {
	b := newBench(t, t.TempDir())
	p := b.parcel(firmwareCalled("small"))
	b.breaks("kind=flash")
	if resp, n := b.send(p, 0); n == p.layout.Blocks() || resp == nil || resp.Code == coap.Changed {
		t.Errorf("%d blocks, %v", n, resp)
	}
	if s := b.runs(factoryVersion, "idle", 1); s.Firmware.Result != uint(firmware.ResultFailed) {
		t.Errorf("%+v", s.Firmware)
	}
	b.breaks("kind=none")
	b.send(p, 0)
	b.runs(factoryVersion, "downloaded", 1)
}

// A lamp that crashes with every new image goes on with its own.
func TestLampInABootLoop(t *testing.T) {
	b := newBench(t, t.TempDir())
	p := b.parcel(firmwareCalled("small"))
	b.breaks("kind=bootloop")
	b.send(p, 0)
	b.switchTo(p, firmware.ModeTest, 60)
	if s := b.runs(factoryVersion, "idle", 2); s.Firmware.Result != uint(firmware.ResultBootLoop) {
		t.Errorf("%+v", s.Firmware)
	}
}

// A lamp of another class, or with too little room, takes no image until it is repaired.
func TestLampThatAnImageDoesNotFit(t *testing.T) {
	for kind, want := range map[string]firmware.Result{"class": firmware.ResultWrongClass, "space&n=1000": firmware.ResultNoSpace} {
		t.Run(kind, func(t *testing.T) {
			b := newBench(t, t.TempDir())
			p := b.parcel(firmwareCalled("small"))
			b.breaks("kind=" + kind)
			b.runs(factoryVersion, "idle", 2)
			if _, n := b.send(p, 0); n != 0 {
				t.Error("it takes the image")
			}
			if s := b.status(firmware.FieldProgress); s.Result != want {
				t.Errorf("%+v", s)
			}
			b.breaks("kind=none")
			b.runs(factoryVersion, "idle", 3)
			b.send(p, 0)
			b.runs(factoryVersion, "downloaded", 3)
		})
	}
}

// Without power in the middle of writing a lamp is silent, comes back, and goes on.
func TestLampLosesPower(t *testing.T) {
	b := newBench(t, t.TempDir())
	p := b.parcel(firmwareCalled("small"))
	b.breaks("kind=power&n=9000")
	resp, n := b.send(p, 0)
	if n == p.layout.Blocks() || resp != nil {
		t.Fatalf("%d blocks, and it answers %v", n, resp)
	}
	b.until("it is back", func(s lampState) bool { return s.Firmware.Boots == 2 })
	if s := b.status(firmware.FieldProgress); s.State == firmware.Downloading && !bytes.Equal(s.Session, p.session) {
		t.Errorf("%+v", s)
	}
	b.send(p, 0)
	b.runs(factoryVersion, "downloaded", 2)
}

// A lamp says that it has another image than it has.
func TestLampLiesAboutTheDigest(t *testing.T) {
	b := newBench(t, t.TempDir())
	p := b.parcel(firmwareCalled("small"))
	b.breaks("kind=digest&n=1")
	b.send(p, 0)
	if s := b.status(firmware.FieldProgress); s.State != firmware.Downloaded || bytes.Equal(s.Ready, p.digest) {
		t.Errorf("%+v", s)
	}
	b.breaks("kind=none")
	if s := b.status(firmware.FieldProgress); !bytes.Equal(s.Ready, p.digest) {
		t.Errorf("%+v", s)
	}
}

// A lamp says that it has all, and cannot switch to what it has not.
func TestLampLiesAboutWhatItHas(t *testing.T) {
	b := newBench(t, t.TempDir())
	p := b.parcel(firmwareCalled("small"))
	b.breaks("kind=digest&n=2")
	b.send(p, p.layout.Blocks()-1)
	if s := b.status(firmware.FieldProgress); s.State != firmware.Downloaded || !bytes.Equal(s.Ready, p.digest) || bytes.ContainsAny(s.Deficits, "\x01\x02\x03") {
		t.Errorf("%+v", s)
	}
	if code := b.switchTo(p, firmware.ModeTest, 60); code == coap.Changed {
		t.Error("it switches to what it has not")
	}
	b.runs(factoryVersion, "downloading", 1)
}

// A link loses the share that it is told.
func TestLampLosesDatagrams(t *testing.T) {
	b := newBench(t, t.TempDir())
	lost := func() (n int) {
		for range 20_000 {
			if b.faults.lost() {
				n++
			}
		}
		return n
	}
	if n := lost(); n != 0 {
		t.Errorf("%d of 20,000 are lost without a fault", n)
	}
	b.breaks("kind=loss&p=0.2&burst=5")
	if n := lost(); n < 3000 || n > 5000 {
		t.Errorf("%d of 20,000 are lost, at 20 %%", n)
	}
}

// What is no fault is refused.
func TestUnknownFaults(t *testing.T) {
	b := newBench(t, t.TempDir())
	for _, query := range []string{"", "kind=rain", "kind=power&n=-1", "kind=power&n=x", "kind=loss", "kind=loss&p=2", "kind=loss&p=NaN", "kind=loss&p=0.1&burst=NaN", "kind=loss&p=0.1&burst=Inf", "kind=loss&p=0.1&burst=x"} {
		if err := b.fault(httptest.NewRequest(http.MethodPost, "/devices/x/fault?"+query, nil)); err == nil {
			t.Errorf("%q is taken", query)
		}
	}
}

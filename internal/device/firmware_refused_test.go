package device

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/suit"
)

// What must not run: each of these ends with the lamp on its image, a reason that the
// sender can read, and nothing to switch to.
func TestFirmwareRefused(t *testing.T) {
	flip := func(x *transfer, part []byte) *transfer {
		at := bytes.Index(x.bare, part)
		x.bare = bytes.Clone(x.bare)
		x.bare[at+len(part)-1] ^= 1
		return x
	}
	for name, c := range map[string]struct {
		make   func(t *testing.T) *transfer
		result firmware.Result
		code   coap.Code
	}{
		"a wrong signature": {func(t *testing.T) *transfer {
			x := newTransfer(t, "2.0.0", 20)
			e, err := suit.Parse(x.bare)
			if err != nil {
				t.Fatal(err)
			}
			return flip(x, e.Signatures[0].Bytes)
		}, firmware.ResultSignature, coap.Forbidden},
		"a manifest that was changed": {func(t *testing.T) *transfer {
			x := newTransfer(t, "2.0.0", 20)
			e, err := suit.Parse(x.bare)
			if err != nil {
				t.Fatal(err)
			}
			return flip(x, e.ManifestBytes)
		}, firmware.ResultNone, 0}, // what it is then depends on the place
		"an unknown signer": {func(t *testing.T) *transfer {
			return signedTransfer(t, thiefKey, "2.0.0", 20)
		}, firmware.ResultSigner, coap.Forbidden},
		"the installer's own signature": {func(t *testing.T) *transfer {
			return signedTransfer(t, key(1), "2.0.0", 20) // Anna's
		}, firmware.ResultSigner, coap.Forbidden},
		"an older sequence number": {func(t *testing.T) *transfer {
			return newTransfer(t, "0.9.0", testFactory-1)
		}, firmware.ResultOlder, 0},
		"the same sequence number": {func(t *testing.T) *transfer {
			return newTransfer(t, "1.0.1", testFactory)
		}, firmware.ResultOlder, 0},
		"another class": {func(t *testing.T) *transfer {
			return newTransfer(t, "2.0.0", 20, func(p *suit.Params) { p.Class = "switch" })
		}, firmware.ResultWrongClass, 0},
		"another vendor": {func(t *testing.T) *transfer {
			return newTransfer(t, "2.0.0", 20, func(p *suit.Params) { p.Vendor = "others.example" })
		}, firmware.ResultWrongClass, 0},
		"no space": {func(t *testing.T) *transfer {
			return newTransfer(t, "2.0.0", 20, func(p *suit.Params) {
				p.Image = image.Make(image.Image{Version: "2.0.0"}, 100<<10)
			})
		}, firmware.ResultNoSpace, coap.RequestEntityTooLarge},
		"no manifest at all": {func(t *testing.T) *transfer {
			x := newTransfer(t, "2.0.0", 20)
			x.bare = x.bare[:len(x.bare)-1]
			return x
		}, firmware.ResultNone, coap.BadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuilding(t, 1)
			x := c.make(t)
			_, err := b.anna.to(b.bulbs[0], x.manifest())
			if c.code != 0 {
				wantCode(t, "to one", err, c.code)
			} else if err == nil {
				t.Error("it is taken")
			}
			b.send(b.anna, x)
			if s := b.anna.status(b.bulbs[0], firmware.FieldProgress); s.Session != nil || s.Ready != nil || c.result != firmware.ResultNone && s.Result != c.result {
				t.Errorf("%+v", s)
			}
			b.anna.cast(switchMessage(x.activate(firmware.ModeTest, b.nonces(b.anna, b.bulbs...)...)))
			b.pass(time.Minute)
			b.want(firmware.Idle, "1.0.0")
			if b.bulbs[0].boots != 1 {
				t.Error("it restarted")
			}
		})
	}
}

// An image that is cut off, or another one under the manifest of this one, is not
// ready: the digest of what stands in the slot decides.
func TestFirmwareTruncatedOrSwapped(t *testing.T) {
	b := newBuilding(t, 2)
	x := newTransfer(t, "2.0.0", 20)
	b.send(b.anna, x, x.layout.Blocks()-1)
	for l, s := range b.anna.sweep(b, firmware.FieldProgress) {
		if s.State != firmware.Downloading || s.Ready != nil {
			t.Errorf("%s: cut off, %+v", l.id(), s)
		}
	}
	nonces := b.nonces(b.anna, b.bulbs...)
	if got := b.anna.cast(switchMessage(x.activate(firmware.ModeTest, nonces...))); len(got) != 0 {
		t.Error("what is not complete is switched to")
	}
	swapped := newTransfer(t, "2.0.0", 21)
	swapped.image = image.Make(image.Image{Version: "6.6.6"}, len(swapped.image))
	b.anna.cast(request(coap.POST, firmware.PathSession, (&firmware.SessionRequest{Session: x.session, Op: firmware.OpAbort}).Append(nil)))
	b.send(b.anna, swapped)
	for l, s := range b.anna.sweep(b, firmware.FieldProgress) {
		if s.State == firmware.Downloaded || s.Ready != nil || s.Result != firmware.ResultIntegrity {
			t.Errorf("%s: swapped, %+v", l.id(), s)
		}
	}
	b.anna.cast(switchMessage(swapped.activate(firmware.ModeTest, b.nonces(b.anna, b.bulbs...)...)))
	b.pass(time.Minute)
	b.want(firmware.Idle, "1.0.0")
	b.send(b.anna, newTransfer(t, "2.1.0", 22)) // it takes a good one afterwards
	b.want(firmware.Downloaded, "1.0.0")
}

// An image that does not start, or one that is switched to over and over: the lamp
// comes back by itself.
func TestFirmwareThatCrashes(t *testing.T) {
	b := newBuilding(t, 1)
	x := newTransfer(t, "2.0.0", 20, func(p *suit.Params) {
		p.Image = image.Make(image.Image{Version: "2.0.0", Behaviour: image.Crashes}, 5000)
	})
	b.send(b.anna, x)
	for range 2 {
		b.anna.cast(switchMessage(x.activate(firmware.ModeTest, b.nonces(b.anna, b.bulbs...)...)))
		b.pass(2 * time.Second)
		b.want(firmware.Idle, "1.0.0")
		if v := b.bulbs[0].lamp.Firmware().View(); v.Result != firmware.ResultBootLoop || v.Minimum != testFactory {
			t.Errorf("%+v", v)
		}
	}
	if b.bulbs[0].boots != 2 {
		t.Errorf("%d boots", b.bulbs[0].boots)
	}
}

// A member that may command the lights, but is no commissioner, can neither send
// firmware nor read of it, to one or to all. Nor can one that is none of both, nor
// somebody who is no member.
func TestFirmwareWithoutRight(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.bulbs[0]
	x := newTransfer(t, "2.0.0", 20)
	bert, carl := b.installer("bert", 2), b.installer("carl", 3)
	bert.self(ace.RoleRequester)
	carl.self(ace.RoleResponder)
	bert.refresh()
	carl.refresh()
	if _, err := bert.to(l, lightMessage(on(true))); err != nil {
		t.Fatal(err)
	}
	status := firmware.StatusRequest{Fields: firmware.FieldNonce}
	all := map[string]func() *coap.Message{
		"manifest": x.manifest, "session": x.open, "block": func() *coap.Message { return x.block(0) },
		"status":   func() *coap.Message { return request(coap.FETCH, firmware.PathStatus, status.Append(nil)) },
		"report":   func() *coap.Message { return coap.NewRequest(coap.GET, firmware.PathReport, nil) },
		"activate": func() *coap.Message { return switchMessage(x.activate(firmware.ModeTest, b.nonces(b.anna, l)...)) },
	}
	refused := func(in *installer, what string, req func() *coap.Message) {
		t.Helper()
		_, err := in.to(l, req())
		wantCode(t, in.name+": "+what, err, coap.Forbidden)
		if got := in.cast(req()); len(got) > 0 {
			t.Errorf("%s: %s to all is answered", in.name, what)
		}
		wantCode(t, "unprotected: "+what, plainDo(plain{l.at(b.anna)}, req()), coap.Unauthorized)
	}
	for what, req := range all {
		refused(bert, what, req)
		refused(carl, what, req)
	}
	b.send(b.anna, x) // and neither can when it is there
	for what, req := range all {
		refused(bert, what, req)
	}
	b.pass(time.Minute)
	b.want(firmware.Downloaded, "1.0.0")
}

// A commissioner sends firmware, over a session and as a member; with the right taken
// away neither does any more, in the middle of a transfer, and a switch that was
// prepared cannot be made.
func TestFirmwareOfACommissioner(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.bulbs[0]
	bert := b.installer("bert", 2)
	bert.self(ace.RoleRequester)
	bert.refresh()
	if err := l.at(b.anna).list(2, commissioner{b.anna.cred, allRights}, commissioner{bert.cred, rightManage}); err != nil {
		t.Fatal(err)
	}
	x := newTransfer(t, "2.0.0", 20)
	session := l.at(bert).commissionerSession()
	if err := plainDo(session, x.manifest()); err != nil {
		t.Fatal(err)
	}
	b.send(bert, x, 0)
	if err := plainDo(session, x.block(0)); err != nil {
		t.Fatal(err)
	}
	if s := bert.status(l, firmware.FieldFeeder|firmware.FieldProgress); s.State != firmware.Downloaded || len(s.Feeder) != firmware.DigestSize {
		t.Fatalf("%+v", s)
	}
	nonces := b.nonces(bert, l)
	if err := l.at(b.anna).list(3, commissioner{b.anna.cred, allRights}); err != nil {
		t.Fatal(err)
	}
	for what, req := range map[string]*coap.Message{
		"a switch": switchMessage(x.activate(firmware.ModeTest, nonces...)), "a block": x.block(1), "a manifest": x.manifest(),
	} {
		if err := plainDo(session, req); err == nil {
			t.Errorf("%s over the session of one who was revoked", what)
		}
		if _, err := bert.to(l, req); err == nil {
			t.Errorf("%s by a member who was revoked", what)
		}
		bert.cast(req)
	}
	b.pass(time.Minute)
	b.want(firmware.Downloaded, "1.0.0")
	b.update(b.anna, x, "2.0.0")
}

// Nobody answers a block, a manifest or an opening to all, also when its sender did
// not say so.
func TestFirmwareStormIsNotAnswered(t *testing.T) {
	b := newBuilding(t, 2)
	x := newTransfer(t, "2.0.0", 20)
	for _, req := range []*coap.Message{x.block(0), x.manifest(), x.open(), x.block(0), x.block(1), x.parity(0, 64)} {
		if got := b.anna.cast(req); len(got) > 0 {
			t.Errorf("%s is answered by %d", coap.Path(req), len(got))
		}
	}
	got := b.anna.cast(switchMessage(x.activate(firmware.ModeTest, bytes.Repeat([]byte{1}, firmware.NonceSize))))
	if len(got) > 0 {
		t.Error("who is not meant by a switch answers")
	}
}

// How long the answers to all are spread is for the sender to say, up to a limit.
func TestFirmwareSpread(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.bulbs[0]
	for ask, want := range map[uint]time.Duration{0: 0, 1500: 1500 * time.Millisecond, 1 << 40: maxSpread, 1 << 60: maxSpread, 1<<63 + 1: maxSpread} {
		r := firmware.StatusRequest{Fields: firmware.FieldProgress, Spread: ask}
		var spread time.Duration
		req := &coap.Request{
			Message: b.anna.seal(request(coap.FETCH, firmware.PathStatus, r.Append(nil))), From: browserAddr, Multicast: true,
			Spread: func(d time.Duration) { spread = d },
		}
		if resp := l.lamp.Handler().Serve(t.Context(), req); resp == nil || spread != want {
			t.Errorf("asked for %d ms: %v, %v", ask, spread, resp)
		}
	}
}

// A device without firmware has no such resources, and says so in its links.
func TestWithoutFirmware(t *testing.T) {
	w, in := commissioned(t)
	_, err := in.ask(coap.NewRequest(coap.GET, firmware.PathStatus, nil), w.members()[lampSubject].SenderID)
	wantCode(t, "a lamp without firmware", err, coap.NotFound)
	b := newBuilding(t, 1)
	for lamp, want := range map[*Device]string{w.lamp: "", b.bulbs[0].lamp: `</fw>;rt="ll.fw"`} {
		resp := lamp.Handler().Serve(t.Context(), &coap.Request{Message: coap.NewRequest(coap.GET, "/.well-known/core?rt=ll.fw", nil)})
		if string(resp.Payload) != want {
			t.Errorf("%q, want %q", resp.Payload, want)
		}
		all := lamp.Handler().Serve(t.Context(), &coap.Request{Message: coap.NewRequest(coap.GET, "/.well-known/core", nil)})
		if links, err := coap.ParseLinks(all.Payload); err != nil || (len(links) == 2) != (want != "") {
			t.Errorf("%q, %v", all.Payload, err)
		}
	}
}

// The firmware that a configuration cannot start gives no device.
func TestBrick(t *testing.T) {
	b := newBuilding(t, 1)
	cfg := b.bulbs[0].cfg
	fw := *cfg.Firmware
	fw.Start = func([]byte) (string, error) { return "", fmt.Errorf("no image starts") }
	cfg.Firmware = &fw
	if _, err := New(cfg); err == nil {
		t.Error("a device without an image that starts")
	}
}

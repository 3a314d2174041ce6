package updater

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/suit"
)

// What a device does not take, what it says to that, and what it notes.
func TestManifestsRefused(t *testing.T) {
	img := makeImage("2.0", 700)
	good := makeTransfer(t, img, 20, 64, 8)
	flip := func(at int) []byte {
		b := bytes.Clone(good.envelope)
		b[at] ^= 1
		return b
	}
	sign := func(change func(*suit.Params)) []byte { return makeTransfer(t, img, 20, 64, 8, change).envelope }
	other := suit.UUID{1}
	for _, c := range []struct {
		name   string
		data   []byte
		code   coap.Code
		result firmware.Result
		says   string
	}{
		{"unknown signer", signTransfer(t, otherKey, img, 20, 64, 8).envelope, coap.Forbidden, firmware.ResultSigner, "trusts"},
		{"wrong signature", flip(bytes.Index(good.envelope, []byte{0x58, 0x40}) + 30), coap.Forbidden, firmware.ResultSignature, "changed"},
		{"the running sequence", makeTransfer(t, img, factorySeq, 64, 8).envelope, coap.UnprocessableEntity, firmware.ResultOlder, "not above 10"},
		{"an older sequence", makeTransfer(t, img, 1, 64, 8).envelope, coap.UnprocessableEntity, firmware.ResultOlder, "not above 10"},
		{"another class", sign(func(p *suit.Params) { p.Class = "LL-200" }), coap.UnprocessableEntity, firmware.ResultWrongClass, "another vendor"},
		{"another vendor", sign(func(p *suit.Params) { p.Vendor = "other.example" }), coap.UnprocessableEntity, firmware.ResultWrongClass, "another vendor"},
		{"another device", sign(func(p *suit.Params) { p.Device = other }), coap.UnprocessableEntity, firmware.ResultWrongClass, "another vendor"},
		{"too large", makeTransfer(t, makeImage("2.0", 5000), 20, 64, 8).envelope, coap.RequestEntityTooLarge, firmware.ResultNoSpace, "5000 bytes"},
		{"nothing", nil, coap.BadRequest, firmware.ResultNone, "no SUIT envelope"},
		{"no envelope", []byte{0xa1, 1, 2}, coap.BadRequest, firmware.ResultNone, ""},
		{"cut off", good.envelope[:len(good.envelope)-1], coap.BadRequest, firmware.ResultNone, "cut off"},
		{"cut off early", good.envelope[:40], coap.BadRequest, firmware.ResultNone, "cut off"},
		{"more than an envelope", append(bytes.Clone(good.envelope), 0), coap.BadRequest, firmware.ResultNone, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDevice(t, small())
			resp := d.expect(c.code, coap.PUT, firmware.PathManifest, c.data)
			if !strings.Contains(string(resp.Payload), c.says) {
				t.Errorf("it says %q", resp.Payload)
			}
			d.wantState(firmware.Idle, c.result)
			if v := d.u.View(); (v.Reason == "") != (c.result == firmware.ResultNone) {
				t.Errorf("the reason is %q", v.Reason)
			}
			d.expect(coap.PreconditionFailed, coap.POST, firmware.PathSession, good.open())
			if resp := d.serve(coap.PUT, firmware.PathManifest, c.data, true); resp != nil {
				t.Errorf("to a group it answers %s", describe(resp))
			}
			d.begin(good) // what was refused does not stand in the way
			d.wantState(firmware.Downloading, firmware.ResultNone)
		})
	}
}

// Every flipped bit of an envelope is refused, or changes nothing of what counts.
func TestManifestFlipped(t *testing.T) {
	good := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	d := newDevice(t, small())
	for bit := range len(good.envelope) * 8 {
		b := bytes.Clone(good.envelope)
		b[bit/8] ^= 1 << (bit % 8)
		if resp := d.serve(coap.PUT, firmware.PathManifest, b, false); coap.Class(resp.Code) != 4 {
			t.Fatalf("bit %d: %s", bit, describe(resp))
		}
	}
}

// An image for one device is taken by that one.
func TestManifestForOneDevice(t *testing.T) {
	id := suit.UUID{9, 9}
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8, func(p *suit.Params) { p.Device = id })
	newDevice(t, small(), func(c *Config) { c.Device = id[:] }).update(x)
}

// Sessions that are not opened.
func TestSessionsRefused(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	open := func(session []byte, block, k uint) []byte {
		r := firmware.SessionRequest{Session: session, Op: firmware.OpOpen, Block: block, K: k}
		return r.Append(nil)
	}
	id := func(block, k int) []byte {
		l := x.layout
		l.Block, l.K = block, k
		e, _ := suit.Parse(x.envelope)
		return l.SessionID(e.Digest[:])
	}
	d := newDevice(t, small())
	d.expect(coap.PreconditionFailed, coap.POST, firmware.PathSession, x.open())
	d.expect(coap.Changed, coap.PUT, firmware.PathManifest, x.envelope)
	for _, c := range []struct {
		name string
		body []byte
		code coap.Code
	}{
		{"no map", []byte{1}, coap.BadRequest},
		{"no id", open(nil, 64, 8), coap.BadRequest},
		{"another op", []byte{0xa2, 1, 0x44, 1, 2, 3, 4, 2, 2}, coap.BadRequest},
		{"another manifest's", open([]byte{1, 2, 3, 4}, 64, 8), coap.PreconditionFailed},
		{"another K", open(x.session, 64, 7), coap.PreconditionFailed},
		{"larger blocks than it takes", open(id(128, 8), 128, 8), coap.RequestEntityTooLarge},
		{"larger generations than it takes", open(id(64, 9), 64, 9), coap.RequestEntityTooLarge},
		{"tiny blocks", open(id(32, 8), 32, 8), coap.BadRequest},
	} {
		if resp := d.serve(coap.POST, firmware.PathSession, c.body, false); resp.Code != c.code {
			t.Errorf("%s: %s, want %s", c.name, describe(resp), coap.CodeString(c.code))
		}
		d.wantState(firmware.Idle, firmware.ResultNone)
	}
	for range 3 {
		d.expect(coap.Changed, coap.POST, firmware.PathSession, x.open())
	}
}

// More generations than the journal keeps are refused by the number.
func TestTooManyGenerations(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 64*1024), 20, 64, 1)
	d := newDevice(t, newMemory(256<<10, 1024), func(c *Config) { c.Ability = Ability{Block: 1024, K: 64} })
	d.expect(coap.Changed, coap.PUT, firmware.PathManifest, x.envelope)
	resp := d.expect(coap.RequestEntityTooLarge, coap.POST, firmware.PathSession, x.open())
	if !strings.Contains(string(resp.Payload), "1024 generations") {
		t.Errorf("%q", resp.Payload)
	}
}

// Blocks that are not taken, and those that change nothing.
func TestBlocksRefused(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8) // 11 blocks: generations of 6 and 5
	y := makeTransfer(t, makeImage("2.1", 700), 21, 64, 8)
	d := newDevice(t, small())
	d.expect(coap.PreconditionFailed, coap.PUT, firmware.PathBlock, x.block(0, 0))
	d.begin(x)
	block := func(g, i uint, n int) []byte {
		b := firmware.Block{Session: x.session, Generation: g, Index: i, Bytes: make([]byte, n)}
		return b.Append(nil)
	}
	for _, c := range []struct {
		name string
		body []byte
		code coap.Code
	}{
		{"nothing", nil, coap.BadRequest},
		{"no block", []byte{0x80}, coap.BadRequest},
		{"cut off", x.block(0, 0)[:20], coap.BadRequest},
		{"another session's", y.block(0, 0), coap.PreconditionFailed},
		{"no such generation", block(2, 0, 64), coap.BadRequest},
		{"far beyond", block(1<<40, 0, 64), coap.BadRequest},
		{"no such block", block(0, 6, 64), coap.BadRequest},
		{"no such block of the shorter generation", block(1, 5, 64), coap.BadRequest},
		{"the last index of sources", block(0, 63, 64), coap.BadRequest},
		{"no such parity", block(0, 256, 64), coap.BadRequest},
		{"short", block(0, 0, 63), coap.BadRequest},
		{"long", block(0, 0, 65), coap.BadRequest},
		{"the last block at full length", block(1, 4, 64), coap.BadRequest},
		{"short parity", block(0, 64, 63), coap.BadRequest},
	} {
		if resp := d.serve(coap.PUT, firmware.PathBlock, c.body, false); resp.Code != c.code {
			t.Errorf("%s: %s, want %s", c.name, describe(resp), coap.CodeString(c.code))
		}
		if resp := d.serve(coap.PUT, firmware.PathBlock, c.body, true); resp != nil {
			t.Errorf("%s: a group gets %s", c.name, describe(resp))
		}
	}
	if s := d.status(firmware.FieldProgress); s.Heard != 0 || !bytes.Equal(s.Deficits, []byte{6, 5}) {
		t.Fatalf("after nothing but nonsense: %+v", s)
	}
	for range 3 { // repeated
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 0))
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(1, 70))
	}
	if s := d.status(firmware.FieldProgress); s.Heard != 6 || s.Last != 256+70 || !bytes.Equal(s.Deficits, []byte{5, 4}) {
		t.Fatalf("after repetitions: %+v", s)
	}
	d.feed(x, none)
	d.wantState(firmware.Downloaded, firmware.ResultNone)
	d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 0))
	d.expect(coap.Changed, coap.PUT, firmware.PathBlock, block(0, 0, 64)) // other bytes, too late
	d.wantState(firmware.Downloaded, firmware.ResultNone)
	if s := d.status(firmware.FieldProgress); s.Heard != 6+11+2 || !bytes.Equal(s.Deficits, []byte{0, 0}) || !bytes.Equal(s.Ready, x.digest) {
		t.Fatalf("complete: %+v", s)
	}
}

// While a session is fed another is refused; after a minute it may take the place.
func TestTwoSessions(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	y := makeTransfer(t, makeImage("2.1", 900), 21, 64, 8)
	d := newDevice(t, small())
	d.begin(x)
	d.run(59 * time.Second)
	d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 0))
	d.run(59 * time.Second)
	d.from = feederB
	d.expect(coap.Changed, coap.PUT, firmware.PathManifest, y.envelope)
	resp := d.expect(coap.Conflict, coap.POST, firmware.PathSession, y.open())
	if !strings.Contains(string(resp.Payload), "another image") {
		t.Errorf("%q", resp.Payload)
	}
	d.expect(coap.PreconditionFailed, coap.PUT, firmware.PathBlock, y.block(0, 1))
	d.expect(coap.Changed, coap.POST, firmware.PathSession, x.open()) // the open one, whoever asks
	s := d.status(firmware.FieldProgress | firmware.FieldFeeder)
	if !bytes.Equal(s.Session, x.session) || s.FedAgo != 59 || !bytes.Equal(s.Feeder, feeder(feederA)) {
		t.Fatalf("%+v", s)
	}
	d.run(time.Second)
	d.expect(coap.Changed, coap.POST, firmware.PathSession, y.open())
	d.expect(coap.PreconditionFailed, coap.PUT, firmware.PathBlock, x.block(0, 1))
	s = d.status(firmware.FieldProgress | firmware.FieldFeeder)
	if !bytes.Equal(s.Session, y.session) || !bytes.Equal(s.Feeder, feeder(feederB)) || bytes.Equal(feeder(feederA), feeder(feederB)) {
		t.Fatalf("%+v", s)
	}
	d.feed(y, none)
	d.wantState(firmware.Downloaded, firmware.ResultNone)
	for range 2 { // only who has the session open answers with its progress
		r := firmware.StatusRequest{Fields: firmware.FieldProgress | firmware.FieldMissing, Session: x.session}
		s, err := firmware.ParseStatus(d.expect(coap.Content, coap.FETCH, firmware.PathStatus, r.Append(nil)).Payload)
		if err != nil || s.Session != nil || s.Deficits != nil || s.State != firmware.Downloaded {
			t.Fatalf("%+v, %v", s, err)
		}
	}
}

// Who feeds a session may begin another in its place at once: the device may not
// have heard that the one before was ended.
func TestOwnSessionReplaced(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	y := makeTransfer(t, makeImage("2.1", 900), 21, 64, 8)
	d := newDevice(t, small())
	d.begin(x)
	d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 0))
	d.expect(coap.Changed, coap.PUT, firmware.PathManifest, y.envelope)
	d.from = coap.Peer{} // nobody proven is not the same as nobody proven
	d.expect(coap.Conflict, coap.POST, firmware.PathSession, y.open())
	d.from = feederA
	d.expect(coap.Changed, coap.POST, firmware.PathSession, y.open())
	d.feed(y, none)
	d.wantState(firmware.Downloaded, firmware.ResultNone)
}

// Aborting drops what was received, and is repeated without harm.
func TestAbort(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	y := makeTransfer(t, makeImage("2.1", 900), 21, 64, 8)
	d := newDevice(t, small())
	d.begin(x)
	d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 0))
	d.expect(coap.Changed, coap.POST, firmware.PathSession, y.abort()) // another one's
	d.wantState(firmware.Downloading, firmware.ResultNone)
	for range 2 {
		d.expect(coap.Changed, coap.POST, firmware.PathSession, x.abort())
		d.wantState(firmware.Idle, firmware.ResultCanceled)
	}
	d.expect(coap.PreconditionFailed, coap.POST, firmware.PathSession, x.open()) // one that was held back
	d.boot()
	d.wantState(firmware.Idle, firmware.ResultCanceled)
	d.update(y)
}

// A session that nobody feeds is dropped after a week, one that was resumed later.
func TestExpiry(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	const week = firmware.SessionLife * time.Second
	d := newDevice(t, small())
	d.begin(x)
	d.run(week - time.Second)
	d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 0))
	d.run(week - time.Second)
	d.wantState(firmware.Downloading, firmware.ResultNone)
	d.run(time.Second)
	d.wantState(firmware.Idle, firmware.ResultExpired)
	d.begin(x)
	d.feed(x, none)
	d.run(week)
	d.wantState(firmware.Idle, firmware.ResultExpired)
	d.boot()
	d.wantState(firmware.Idle, firmware.ResultExpired)
}

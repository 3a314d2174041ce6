package updater

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/firmware"
)

// A status has the parts that are asked for, and no others.
func TestStatusFields(t *testing.T) {
	d := newDevice(t, small())
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	d.begin(x)
	d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 0))
	d.run(7 * time.Second)
	for _, c := range []struct {
		fields firmware.Field
		has    func(s firmware.Status) bool
	}{
		{0, func(firmware.Status) bool { return true }},
		{firmware.FieldRunning, func(s firmware.Status) bool { return s.Running != nil && s.Running.Uptime == 7 }},
		{firmware.FieldProgress, func(s firmware.Status) bool {
			return bytes.Equal(s.Session, x.session) && bytes.Equal(s.Deficits, []byte{5, 5}) && s.Heard == 1
		}},
		{firmware.FieldMissing, func(s firmware.Status) bool { return bytes.Equal(s.Missing, []byte{0x7f, 0xe0}) }},
		{firmware.FieldAbility, func(s firmware.Status) bool {
			a := s.Ability
			if a == nil || len(a.Anchors) != 1 {
				return false
			}
			key, err := cose.ParseCOSEKey(a.Anchors[0])
			return err == nil && key.Equal(vendorKey.Public()) && a.Block == 64 && a.K == 8 && a.Parity == 8 &&
				a.Slot == uint64(d.u.areas.slot) && a.Minimum == factorySeq && a.Hardware == "rev B"
		}},
		{firmware.FieldNonce, func(s firmware.Status) bool { return len(s.Nonce) == firmware.NonceSize }},
		{firmware.FieldFeeder, func(s firmware.Status) bool { return bytes.Equal(s.Feeder, feeder(feederA)) && s.FedAgo == 7 }},
	} {
		s := d.status(c.fields)
		if !c.has(s) {
			t.Errorf("fields %d: %+v", c.fields, s)
		}
		for field, is := range map[firmware.Field]bool{
			firmware.FieldRunning: s.Running != nil, firmware.FieldProgress: s.Deficits != nil, firmware.FieldMissing: s.Missing != nil,
			firmware.FieldAbility: s.Ability != nil, firmware.FieldNonce: s.Nonce != nil, firmware.FieldFeeder: s.Feeder != nil,
		} {
			if is != (field == c.fields) || s.State != firmware.Downloading {
				t.Errorf("fields %d: %+v", c.fields, s)
			}
		}
	}
	all, err := firmware.ParseStatus(d.expect(coap.Content, coap.GET, firmware.PathStatus, nil).Payload)
	if err != nil || all.Nonce != nil || all.Ability == nil || all.Running == nil || all.Deficits == nil {
		t.Errorf("GET: %+v, %v", all, err)
	}
	if resp := d.serve(coap.FETCH, firmware.PathStatus, (&firmware.StatusRequest{}).Append(nil), true); resp == nil || resp.Code != coap.Content {
		t.Errorf("to a group: %s", describe(resp))
	}
	for _, c := range []struct {
		session []byte
		group   bool
		silent  bool
	}{{x.session, true, true}, {x.session, false, false}, {[]byte("abcd"), true, false}, {nil, true, false}} {
		absent := firmware.StatusRequest{Fields: firmware.FieldProgress, Session: c.session, Absent: true}
		if resp := d.serve(coap.FETCH, firmware.PathStatus, absent.Append(nil), c.group); (resp == nil) != c.silent {
			t.Errorf("asked who does not have session %x, as a group %v: %s", c.session, c.group, describe(resp))
		}
	}
	d.expect(coap.BadRequest, coap.FETCH, firmware.PathStatus, []byte{1})
	d.expect(coap.MethodNotAllowed, coap.DELETE, firmware.PathStatus, nil)
}

// Once a restart is asked for nothing more is done, and it is asked for once.
func TestOver(t *testing.T) {
	d, x := ready(t)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.now = d.now.Add(time.Second)
	for range 3 {
		d.u.Tick()
	}
	if _, due := d.u.Due(); d.reboots != 1 || due {
		t.Fatalf("%d restarts, due again %v", d.reboots, due)
	}
	r := firmware.StatusRequest{}
	d.expect(coap.ServiceUnavailable, coap.FETCH, firmware.PathStatus, r.Append(nil))
	d.expect(coap.ServiceUnavailable, coap.POST, firmware.PathSession, x.abort())
	if resp := d.serve(coap.FETCH, firmware.PathStatus, r.Append(nil), true); resp != nil {
		t.Errorf("a group gets %s", describe(resp))
	}
}

// No nonce is better than one that is not random.
func TestNoRandomness(t *testing.T) {
	d := newDevice(t, small(), func(c *Config) { c.Rand = io.LimitReader(bytes.NewReader(make([]byte, 9)), 9) })
	if n := d.nonce(); len(n) != firmware.NonceSize {
		t.Fatalf("%x", n)
	}
	if n := d.nonce(); n != nil {
		t.Fatalf("a nonce of what is left: %x", n)
	}
}

// Configurations that make no updater.
func TestConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no flash":            func(c *Config) { c.Flash = nil },
		"no start":            func(c *Config) { c.Start = nil },
		"no reboot":           func(c *Config) { c.Reboot = nil },
		"a short vendor":      func(c *Config) { c.Vendor = c.Vendor[:15] },
		"no class":            func(c *Config) { c.Class = nil },
		"half a device":       func(c *Config) { c.Device = make([]byte, 8) },
		"tiny blocks":         func(c *Config) { c.Ability.Block = 32 },
		"huge blocks":         func(c *Config) { c.Ability.Block = 2048 },
		"huge generations":    func(c *Config) { c.Ability.K = 65 },
		"negative parity":     func(c *Config) { c.Ability.Parity = -1 },
		"too much parity":     func(c *Config) { c.Ability.Parity = 1000 },
		"a small flash":       func(c *Config) { c.Flash = newMemory(8192, 256) },
		"no factory image":    func(c *Config) { c.Factory = nil },
		"a factory too large": func(c *Config) { c.Factory = make([]byte, 9000) },
	} {
		cfg := newDevice(t, small()).cfg
		cfg.Flash = small()
		change(&cfg)
		if _, err := Open(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

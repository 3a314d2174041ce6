package device

import (
	"context"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

// PathEmergency is the resource of the tests of an emergency light.
const PathEmergency = "/em"

// testRequest starts or stops a test.
//
//	em = { 1: 1 / 2, 2: 0 / 1 }
type testRequest struct {
	Kind  uint `cbor:"1,keyasint"`
	Start uint `cbor:"2,keyasint"`
}

// emergencyAnswer is where an emergency light stands.
//
//	em = { 1: 0..100, 2: 0 / kind, ? 3: test, ? 4: test, ? 5: [* test], ? 6: uint }
type emergencyAnswer struct {
	Battery  uint   `cbor:"1,keyasint" json:"battery"`                      // percent
	Testing  uint   `cbor:"2,keyasint" json:"testing"`                      // kind of the test under way
	Function *test  `cbor:"3,keyasint,omitempty" json:"function,omitempty"` // the latest
	Duration *test  `cbor:"4,keyasint,omitempty" json:"duration,omitempty"`
	Log      []test `cbor:"5,keyasint,omitempty" json:"log,omitempty"`   // the oldest first; not to a group
	Level    uint   `cbor:"6,keyasint,omitempty" json:"level,omitempty"` // on battery, percent
}

// registerEmergency adds the resource of tests.
func (d *Device) registerEmergency(mux *coap.Mux) {
	if d.cfg.Emergency == nil {
		return
	}
	mux.Handle(coap.GET, PathEmergency, d.only(d.byInstaller, d.getEmergency))
	mux.Handle(coap.POST, PathEmergency, d.only(d.byInstaller, d.awake(d.postEmergency)))
}

// emergencyNow tells where the light stands. d.mu is held.
func (d *Device) emergencyNow(log bool) *emergencyAnswer {
	e := &d.emergency
	if !e.is {
		return nil
	}
	a := &emergencyAnswer{Battery: percent(d.charge()), Function: e.rec.last(TestFunction), Duration: e.rec.last(TestDuration)}
	if e.rec.Test != nil {
		a.Testing, a.Level = e.rec.Test.Kind, uint(d.number(setLowLevel, 100))
	}
	if log {
		a.Log = e.rec.Log
	}
	return a
}

func (d *Device) getEmergency(_ context.Context, req *coap.Request) *coap.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return answer(coap.Content, d.emergencyNow(!req.Multicast))
}

// postEmergency starts or stops a test; a repetition changes nothing. During an
// emergency none starts.
func (d *Device) postEmergency(_ context.Context, req *coap.Request) *coap.Message {
	var r testRequest
	if err := decode(req, &r); err != nil {
		return problem(err)
	}
	if r.Kind != TestFunction && r.Kind != TestDuration || r.Start > 1 || len(req.Payload) > 0 && !cbor.Untagged(req.Payload) {
		return problem(refuse(errMalformed, "A test of function (1) or duration (2) is started (1) or stopped (0)."))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	running := d.emergency.rec.Test
	var err error
	switch {
	case r.Start == 0 && running != nil && running.Kind == r.Kind:
		err = d.endTest(TestStopped)
		d.plan()
	case r.Start == 1 && d.before != nil:
		err = refuse(errConflict, "There is an emergency: no test starts.")
	case r.Start == 1 && running != nil && running.Kind != r.Kind:
		err = refuse(errConflict, "Another test is under way: wait for its end, or stop it.")
	case r.Start == 1 && running == nil:
		err = d.beginTest(r.Kind)
	}
	if err != nil {
		return problem(err)
	}
	return answer(coap.Changed, d.emergencyNow(false))
}

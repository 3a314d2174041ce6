// Package change carries a change of settings out at the devices of a group, as
// network equipment has it: read and computed, checked by the devices, staged, switched
// at one time, looked at, and confirmed. What all devices share goes in one message
// to the group, what only one has goes to it alone. It knows no page: the way to the
// group, time and the store are given, and the devices' own state is what it goes on
// from. docs/settings.md has the protocol.
//
// A device has room for one candidate. So one whose values differ from what the
// shared patch would give, by values of its own or because it had drifted, gets one
// patch for all of it, alone.
package change

import (
	"io"
	"time"

	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
)

// Device is a member of the group.
type Device struct {
	ID        string
	Confirmed settings.Map        // what the site confirmed last; nil: nothing is known
	Schema    *settings.SchemaRef // that it had then
}

// Change is what a person wants.
type Change struct {
	Values settings.Map            `cbor:"1,keyasint,omitzero"` // for all; nil deletes
	Own    map[string]settings.Map `cbor:"2,keyasint,omitempty"`
	Only   []string                `cbor:"3,keyasint,omitempty"` // devices; empty: all of the model

	// Mend takes devices that drifted, too: they are brought to what the site confirmed
	// last, with the change in it. Else they are left out.
	Mend bool `cbor:"4,keyasint,omitempty"`
}

// Options are what a person chooses. The zero value of a field is its default.
type Options struct {
	In      time.Duration `cbor:"1,keyasint,omitempty"` // from the commit to the switch; default 3 s
	At      time.Time     `cbor:"2,keyasint"`           // instead of In, for devices that have a clock
	Within  time.Duration `cbor:"3,keyasint,omitempty"` // to be confirmed in; default 600 s
	Quorum  int           `cbor:"4,keyasint,omitempty"` // devices that have to go along, so that the others do, beside those that run it already; 0: all that the plan has
	Alone   bool          `cbor:"5,keyasint,omitempty"` // each device is asked alone, as where nothing reaches all
	Rate    int           `cbor:"6,keyasint,omitempty"` // bit/s of the network; default 50,000
	Leisure time.Duration `cbor:"7,keyasint,omitempty"` // over which devices spread their answers; default 1 s
}

const (
	defaultIn      = 3 * time.Second
	leastNetwork   = 5 * time.Second // so that all hear of a change of the network before the first makes it
	defaultRate    = 50_000
	defaultLeisure = time.Second
)

func (o Options) withDefaults(network bool) Options {
	if o.In <= 0 {
		o.In = defaultIn
	}
	if network {
		o.In = max(o.In, leastNetwork)
	}
	if o.Within <= 0 {
		o.Within = settings.DefaultConfirm * time.Second
	}
	o.Within = min(o.Within, settings.MaxConfirm*time.Second)
	if o.Rate <= 0 {
		o.Rate = defaultRate
	}
	if o.Leisure <= 0 {
		o.Leisure = defaultLeisure
	}
	return o
}

// Params is what a change works with.
type Params struct {
	Group groupcomm.Group
	Clock groupcomm.Clock
	Rand  io.Reader

	Schema  *settings.Schema   // that the change is written for
	Ref     settings.SchemaRef // its name
	Devices []Device           // all members of the group, of other models, too
	Change  Change
	Options Options

	// Sender gives the Sender ID of a device; nil: it is not known, and it is asked alone.
	Sender func(device string) []byte

	// Parallel is how many devices are asked at a time, each alone; default 4. With 1
	// nothing runs beside anything else.
	Parallel int

	// Asked hears of each device that has answered, or is waited for no more. It is called
	// from several goroutines; nil: nobody hears.
	Asked func(device string, answered bool)

	Save     func(State) error // keeps the state durably after each step; nil: nothing is kept
	Progress func(View)        // may be nil
}

// Phase is where a change stands.
type Phase string

// Phases.
const (
	Planning   Phase = "planning"  // computed, or checked; nothing is kept by the devices
	Checking   Phase = "checking"  // by the devices
	Staging    Phase = "staging"   // the devices get their candidates
	Scheduled  Phase = "scheduled" // they will switch
	Trial      Phase = "trial"     // they have; somebody has to confirm
	Confirming Phase = "confirming"
	Done       Phase = "done"
	Reverting  Phase = "reverting"
	Reverted   Phase = "reverted" // all that had switched run what they ran before
	Stopped    Phase = "stopped"  // before the switch
	Failed     Phase = "failed"
)

// Over says that nothing more happens.
func (p Phase) Over() bool {
	return p == Done || p == Reverted || p == Stopped || p == Failed
}

// RowState is where a device stands.
type RowState string

// States of a device.
const (
	RowPlanned   RowState = "planned"
	RowDrifted   RowState = "drifted" // it runs something else than the site knows
	RowRefused   RowState = "refused"
	RowChecked   RowState = "checked"
	RowStaged    RowState = "staged"
	RowScheduled RowState = "scheduled"
	RowTrial     RowState = "trial"
	RowConfirmed RowState = "confirmed"
	RowReverted  RowState = "reverted"
	RowSilent    RowState = "silent"
	RowSame      RowState = "same" // there is nothing to change
)

// Row is a device in a change.
type Row struct {
	Device    string       `cbor:"1,keyasint"`
	State     RowState     `cbor:"2,keyasint"`
	Part      bool         `cbor:"3,keyasint"`           // it is to go along
	Before    settings.Map `cbor:"4,keyasint,omitzero"`  // what it ran; nil: not known
	Target    settings.Map `cbor:"5,keyasint,omitzero"`  // what it shall run
	Confirmed settings.Map `cbor:"6,keyasint,omitzero"`  // what the site knew of it
	Patch     settings.Map `cbor:"7,keyasint,omitzero"`  // what is sent
	Shared    bool         `cbor:"8,keyasint"`           // it is the one for all
	Is        []byte       `cbor:"9,keyasint,omitempty"` // digest of what it runs, as it said last
	Committed bool         `cbor:"10,keyasint"`
	Reason    *Reason      `cbor:"11,keyasint,omitempty"`
}

// Diff is one setting of a device. A value that is not there is nil.
type Diff struct {
	Key      uint64
	Old, New any
	Is       any // what it runs now, as far as the digest tells
	Known    any // what the site confirmed last, when that differs from Old
}

// Diffs are the settings that the change is about, and those that drifted.
func (r *Row) Diffs() (list []Diff) {
	is := r.Before
	if string(r.Is) == string(r.Target.Short()) {
		is = r.Target
	}
	keys := settings.Diff(r.Before, r.Target)
	if r.Confirmed != nil {
		keys = settings.Merge(presence(keys), presence(settings.Diff(r.Confirmed, r.Before)))
	}
	for _, key := range sorted(keys) {
		d := Diff{Key: key, Old: r.Before[key], New: r.Target[key], Is: is[key], Known: r.Before[key]}
		if r.Confirmed != nil {
			d.Known = r.Confirmed[key]
		}
		list = append(list, d)
	}
	return list
}

// View is a change as a page shows it.
type View struct {
	Phase     Phase
	Txn       []byte
	Rows      []Row
	Requests  int // datagrams to the group, and questions to one device
	Unicast   int // of these to one device
	Bytes     int // both ways
	SwitchAt  time.Time
	RevertAt  time.Time // when devices revert by themselves
	Started   time.Time
	Ended     time.Time
	Reason    *Reason
	Network   bool // it may cut devices off
	Predicted Cost // what it will have taken when it is confirmed, as the plan had it
}

package change

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/settings"
)

// State is all of a change that must survive. It is encoded in CBOR. Where devices
// stand is not in it for certain: they are asked when the change goes on.
type State struct {
	Txn       []byte             `cbor:"1,keyasint"`
	Phase     Phase              `cbor:"2,keyasint"`
	Change    Change             `cbor:"3,keyasint"`
	Options   Options            `cbor:"4,keyasint"`
	Ref       settings.SchemaRef `cbor:"5,keyasint"`
	Rows      []Row              `cbor:"6,keyasint"`
	SwitchAt  time.Time          `cbor:"7,keyasint"`
	RevertAt  time.Time          `cbor:"8,keyasint"`
	Started   time.Time          `cbor:"9,keyasint"`
	Ended     time.Time          `cbor:"10,keyasint"`
	Requests  int                `cbor:"11,keyasint"`
	Unicast   int                `cbor:"12,keyasint"`
	Bytes     int                `cbor:"13,keyasint"`
	Reason    *Reason            `cbor:"14,keyasint,omitempty"`
	Network   bool               `cbor:"15,keyasint"`
	Going     bool               `cbor:"16,keyasint"` // somebody had it applied
	Predicted Cost               `cbor:"17,keyasint"`
}

// Encode encodes s.
func (s *State) Encode() []byte { return cbor.MustMarshal(s) }

// ParseState decodes what [State.Encode] made. Errors wrap [cbor.ErrDecode].
func ParseState(data []byte) (s State, err error) {
	if err = cbor.Unmarshal(data, &s); err == nil && len(s.Txn) != settings.TxnSize {
		err = fmt.Errorf("%w: reading a change: no transaction of 4 bytes", cbor.ErrDecode)
	}
	return s, err
}

// View is what a page shows of s.
func (s *State) View() View {
	return View{Phase: s.Phase, Txn: s.Txn, Rows: slices.Clone(s.Rows), Requests: s.Requests, Unicast: s.Unicast, Bytes: s.Bytes,
		SwitchAt: s.SwitchAt, RevertAt: s.RevertAt, Started: s.Started, Ended: s.Ended, Reason: s.Reason, Network: s.Network, Predicted: s.Predicted}
}

// Undo is the change that takes s back, where it was confirmed.
func (s *State) Undo() Change {
	c := Change{Own: map[string]settings.Map{}}
	var one []byte
	alike := true
	for i := range s.Rows {
		if row := &s.Rows[i]; row.State == RowConfirmed {
			back := settings.Diff(row.Target, row.Before)
			enc := cbor.MustMarshal(back)
			alike = alike && (one == nil || string(one) == string(enc))
			one, c.Values = enc, back
			c.Own[row.Device] = back
			c.Only = append(c.Only, row.Device)
		}
	}
	if alike {
		c.Own = nil
	} else {
		c.Values = nil
	}
	return c
}

// row returns the row of a device, nil if there is none.
func (s *State) row(device string) *Row {
	i := slices.IndexFunc(s.Rows, func(r Row) bool { return r.Device == device })
	if i < 0 {
		return nil
	}
	return &s.Rows[i]
}

// list lists the devices that go along and are in one of the states; without any
// state, all.
func (s *State) list(states ...RowState) (ids []string) {
	for i := range s.Rows {
		if r := &s.Rows[i]; r.Part && (len(states) == 0 || slices.Contains(states, r.State)) {
			ids = append(ids, r.Device)
		}
	}
	return ids
}

// need is how many devices have to go along.
func (s *State) need() int {
	if s.Options.Quorum > 0 {
		return s.Options.Quorum
	}
	return len(s.list())
}

func presence(m settings.Map) settings.Map {
	out := settings.Map{}
	for key := range m {
		out[key] = true
	}
	return out
}

func sorted(m settings.Map) []uint64 { return slices.Sorted(maps.Keys(m)) }

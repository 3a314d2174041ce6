package rollout

import (
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/firmware"
)

// State is all of a rollout that must survive. It is encoded in CBOR. What devices
// have is not in it for certain: they are asked when a rollout goes on.
type State struct {
	Options Options `cbor:"1,keyasint"`
	Session []byte  `cbor:"2,keyasint"`
	Block   int     `cbor:"3,keyasint"`
	K       int     `cbor:"4,keyasint"`
	Size    int     `cbor:"5,keyasint"`
	Bitmap  bool    `cbor:"6,keyasint"`

	Phase  Phase  `cbor:"7,keyasint"`
	Paused bool   `cbor:"8,keyasint"`
	Waits  bool   `cbor:"9,keyasint"`
	Offers int    `cbor:"10,keyasint"` // how often manifest and opening went out to all
	Todo   []byte `cbor:"11,keyasint"` // bitmap of the source blocks that were not sent yet

	Generations []GenerationState `cbor:"12,keyasint"`
	Devices     []DeviceRecord    `cbor:"13,keyasint"`
	Waves       []WaveRecord      `cbor:"14,keyasint"`
	Wave        int               `cbor:"15,keyasint"` // that is under way or next
	Round       int               `cbor:"16,keyasint"` // of repair

	Sent    int     `cbor:"17,keyasint"` // blocks to the group
	Parity  int     `cbor:"18,keyasint"` // of these
	Sweeps  int     `cbor:"19,keyasint"`
	Unicast int     `cbor:"20,keyasint"` // blocks to one device
	Bytes   int     `cbor:"21,keyasint"`
	Rate    float64 `cbor:"22,keyasint"` // bit/s

	Started   time.Time     `cbor:"23,keyasint"`
	Ended     time.Time     `cbor:"24,keyasint"`
	Predicted time.Duration `cbor:"25,keyasint"`
	ByUnicast time.Duration `cbor:"26,keyasint"`
	Samples   []Sample      `cbor:"27,keyasint"`

	Problem       *Reason `cbor:"28,keyasint"`
	ProblemDevice string  `cbor:"29,keyasint"`
	Stop          *Reason `cbor:"30,keyasint"` // why nobody else is switched

	Foreign [][]byte `cbor:"31,keyasint"` // sessions of other images that are taken over: they are aborted first
}

// GenerationState is what was sent of a generation.
type GenerationState struct {
	_      struct{} `cbor:",toarray"`
	First  uint     // the parity index that was or will be sent first
	Parity uint     // how many were sent from there
	Owed   uint     // how many more follow the source blocks
	Sent   uint     // source and parity
	Open   bool     // source blocks went out; what is owed is not decided
}

// DeviceRecord is what is known of a device.
type DeviceRecord struct {
	ID        string      `cbor:"1,keyasint"`
	Name      string      `cbor:"2,keyasint"`
	Zone      string      `cbor:"3,keyasint"`
	Emergency bool        `cbor:"4,keyasint"`
	State     DeviceState `cbor:"5,keyasint"`
	Reason    *Reason     `cbor:"6,keyasint"`
	Deficits  []byte      `cbor:"7,keyasint"`  // nil: not known
	Heard     uint        `cbor:"8,keyasint"`  // what it counted when it was measured last
	HeardOf   uint        `cbor:"9,keyasint"`  // blocks that had been sent to the group then
	Based     bool        `cbor:"10,keyasint"` // those two are known
	Loss      float64     `cbor:"11,keyasint"`
	Span      uint        `cbor:"21,keyasint"` // blocks over which Loss was measured
	Version   string      `cbor:"12,keyasint"`
	Hardware  string      `cbor:"13,keyasint"`
	Parity    uint        `cbor:"14,keyasint"` // blocks that its decoder can hold
	Boots     uint        `cbor:"15,keyasint"`
	Executed  bool        `cbor:"16,keyasint"` // it was told to switch
	SwitchBy  time.Time   `cbor:"17,keyasint"` // when it should have been confirmed
	Wave      int         `cbor:"18,keyasint"`
	Tries     uint        `cbor:"19,keyasint"` // offers that it got alone

	missing []byte // bitmap of source blocks, in bitmap mode

	Before firmware.Result `cbor:"20,keyasint"` // what it said before the rollout
	Again  bool            `cbor:"22,keyasint"` // it is tried again, and has not said anything since
	Alone  uint            `cbor:"23,keyasint"` // blocks that it got alone
}

// WaveRecord is one wave.
type WaveRecord struct {
	Name    string    `cbor:"1,keyasint"`
	Devices []string  `cbor:"2,keyasint"`
	State   WaveState `cbor:"3,keyasint"`
	Soaked  time.Time `cbor:"4,keyasint"` // when its soak ends
}

// Encode encodes s.
func (s *State) Encode() []byte { return cbor.MustMarshal(s) }

// ParseState decodes what [State.Encode] made. Errors wrap [cbor.ErrDecode].
func ParseState(data []byte) (s State, err error) {
	err = cbor.Unmarshal(data, &s)
	return s, err
}

func (s *State) layout() firmware.Layout {
	return firmware.Layout{Size: s.Size, Block: s.Block, K: s.K}
}

func bit(bitmap []byte, i int) bool { return i/8 < len(bitmap) && bitmap[i/8]&(0x80>>(i%8)) != 0 }

func setBit(bitmap []byte, i int, on bool) {
	if on {
		bitmap[i/8] |= 0x80 >> (i % 8)
	} else {
		bitmap[i/8] &^= 0x80 >> (i % 8)
	}
}

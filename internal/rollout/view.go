package rollout

import "time"

// Phase is where a rollout stands.
type Phase string

// Phases of a rollout.
const (
	Planning  Phase = "planning"
	Sending   Phase = "sending"
	Verifying Phase = "verifying" // sweeps and repair
	Switching Phase = "switching"
	Paused    Phase = "paused" // in views only
	Done      Phase = "done"
	Stopped   Phase = "stopped" // by a threshold
	Failed    Phase = "failed"  // nobody has the image, or aborted
)

// Over reports whether nothing more happens by itself.
func (p Phase) Over() bool { return p == Done || p == Stopped || p == Failed }

// DeviceState is where a device stands.
type DeviceState string

// States of a device.
const (
	LeftOut   DeviceState = "left-out"
	Waiting   DeviceState = "waiting"
	Receiving DeviceState = "receiving"
	Verified  DeviceState = "verified"
	Switched  DeviceState = "switching"
	OnTest    DeviceState = "testing"
	Confirmed DeviceState = "confirmed"
	Reverted  DeviceState = "reverted"
	Broken    DeviceState = "failed"
	Silent    DeviceState = "silent"
)

// WaveState is where a wave stands.
type WaveState string

// States of a wave.
const (
	WaveWaiting   WaveState = "waiting"
	WaveSwitching WaveState = "switching"
	WaveChecking  WaveState = "checking"
	WaveSoaking   WaveState = "soaking"
	WaveDone      WaveState = "done"
	WaveFailed    WaveState = "failed"
)

// View is what a page draws of a rollout.
type View struct {
	Phase   Phase
	Paused  bool
	Waits   bool // for a person to call Advance
	Started time.Time
	Ended   time.Time

	Blocks    int // source blocks of the image
	BlockSize int
	Sent      int // blocks sent to the group, source and parity
	Parity    int // of those
	Sweeps    int
	Unicast   int // blocks sent to one device
	Bytes     int // of all datagrams, as far as they are known

	Generations []GenerationView
	Devices     []DeviceView
	Waves       []WaveView
	Samples     []Sample // at most 120

	Predicted time.Duration
	ByUnicast time.Duration // what one after the other would take
	Left      time.Duration

	Problem       *Reason // the first failure
	Stop          *Reason // why a stopped rollout stopped
	ProblemDevice string
}

// GenerationView is one generation.
type GenerationView struct {
	K        int
	Sent     int // blocks, source and parity
	Worst    int // the largest deficit known
	Complete int // devices that have it
}

// DeviceView is one device.
type DeviceView struct {
	Device   string
	State    DeviceState
	Progress float64 // 0 to 1
	Missing  int     // blocks
	Alone    int     // blocks that it got alone
	Loss     float64
	Version  string
	Wave     int // index of Waves, -1 for none
	Problem  *Reason
}

// WaveView is one wave.
type WaveView struct {
	Name    string
	Devices []string
	State   WaveState
	Done    int
	Failed  int
}

// Sample is a measurement of loss and rate.
type Sample struct {
	At    time.Time `cbor:"1,keyasint"`
	Loss  float64   `cbor:"2,keyasint"` // mean over the devices that were heard
	Worst float64   `cbor:"3,keyasint"`
	Rate  float64   `cbor:"4,keyasint"` // bit/s
}

const maxSamples = 120

package commission

// The part of the schema that is about firmware: images, what would become of them
// in a group, and rollouts. Like api.go it is the source of the page's types.

// FirmwareImage is a firmware file that was taken apart.
type FirmwareImage struct {
	Digest      string   `json:"digest"` // SHA-256 of the image, hex: what the other methods call it by
	Name        string   `json:"name"`   // for people: the model that it is for, as the manifest's text has it
	Version     string   `json:"version"`
	Sequence    uint64   `json:"sequence"`
	Size        int      `json:"size"`   // bytes of the image
	Vendor      string   `json:"vendor"` // UUID
	Class       string   `json:"class"`  // UUID
	Signer      string   `json:"signer"` // thumbprint of the key that signed it, hex, first 8 bytes; while signed is false, what the file says
	Signed      bool     `json:"signed"` // the signature was verified with a key that devices of this site trust; false: none that is known yet
	Algorithm   string   `json:"algorithm"`
	Description string   `json:"description"`
	Created     int64    `json:"created"` // when it was taken in here
	Problem     *Problem `json:"problem"` // why it cannot be sent as it is
}

// FirmwareOptions are what a person may set of a rollout. Zero values mean the
// defaults in brackets.
type FirmwareOptions struct {
	Profile        string   `json:"profile"`        // of the network: "802.15.4", "wi-fi", "ethernet" ["wi-fi"]
	Canary         int      `json:"canary"`         // devices in the first wave, -1: none [1]
	Percent        float64  `json:"percent"`        // of the devices in the second wave, -1: none [10]
	MaxUnavailable int      `json:"maxUnavailable"` // devices of one place that may be switching at a time [half of them, at least 1]
	ConfirmWithin  int      `json:"confirmWithin"`  // seconds after which a device that nobody confirms goes back [600]
	Soak           int      `json:"soak"`           // seconds that a wave is watched for before the next one [0]
	Threshold      float64  `json:"threshold"`      // percent of failures that stop the rollout [5]; one in the first wave always does
	Hold           bool     `json:"hold"`           // wait for a person between waves
	At             int64    `json:"at"`             // when to switch; 0: at once
	Devices        []string `json:"devices"`        // empty: all of the group
	TakeOver       bool     `json:"takeOver"`       // also devices that somebody else's rollout feeds
}

// FirmwarePlan is what a rollout would do; no byte of the image was sent yet.
type FirmwarePlan struct {
	Group          string          `json:"group"`
	Image          FirmwareImage   `json:"image"`
	Options        FirmwareOptions `json:"options"`
	Devices        []FirmwareFit   `json:"devices"`
	Fits           int             `json:"fits"`
	Left           int             `json:"left"`
	Blocks         int             `json:"blocks"`
	BlockSize      int             `json:"blockSize"`
	Bytes          int             `json:"bytes"`          // on the air, predicted
	Seconds        float64         `json:"seconds"`        // predicted, of the transfer
	UnicastSeconds float64         `json:"unicastSeconds"` // the same to one device after the other
	Waves          []FirmwareWave  `json:"waves"`
	Problem        *Problem        `json:"problem"` // why it cannot be started
}

// GroupAsk is how far the devices of a group have told what they run, while firmware or
// settings are planned.
type GroupAsk struct {
	Group    string   `json:"group"`
	Asked    int      `json:"asked"`    // devices
	Answered int      `json:"answered"` // of these
	Silent   int      `json:"silent"`   // that are waited for no more
	Waiting  []string `json:"waiting"`  // devices that are waited for, a few of them
}

// FirmwareFit is whether one device can take an image.
type FirmwareFit struct {
	Device   string   `json:"device"`
	Fits     bool     `json:"fits"`
	Version  string   `json:"version"` // that runs
	Sequence uint64   `json:"sequence"`
	Problem  *Problem `json:"problem"` // why it is left out
}

// WaveState is where a wave stands.
type WaveState string

// States of a wave.
const (
	WaveWaiting   WaveState = "waiting"
	WaveSwitching WaveState = "switching"
	WaveChecking  WaveState = "checking" // devices are back and being tried
	WaveSoaking   WaveState = "soaking"  // all is well so far, and watched
	WaveDone      WaveState = "done"
	WaveFailed    WaveState = "failed"
)

// FirmwareWave is devices that switch together.
type FirmwareWave struct {
	Name    string    `json:"name"` // "Canary", …
	Devices []string  `json:"devices"`
	State   WaveState `json:"state"`
	Done    int       `json:"done"`
	Failed  int       `json:"failed"`
}

// RolloutPhase is where a rollout stands.
type RolloutPhase string

// Phases of a rollout.
const (
	PhasePlanning  RolloutPhase = "planning"
	PhaseSending   RolloutPhase = "sending"
	PhaseVerifying RolloutPhase = "verifying"
	PhaseSwitching RolloutPhase = "switching"
	PhasePaused    RolloutPhase = "paused"
	PhaseDone      RolloutPhase = "done"
	PhaseStopped   RolloutPhase = "stopped" // too many failed, or a person stopped it
	PhaseFailed    RolloutPhase = "failed"
)

// Rollout is a job of kind "firmware", whole.
type Rollout struct {
	Job     string          `json:"job"`
	Group   string          `json:"group"`
	Image   FirmwareImage   `json:"image"`
	Options FirmwareOptions `json:"options"`
	Phase   RolloutPhase    `json:"phase"`
	Paused  bool            `json:"paused"`
	Waits   bool            `json:"waits"` // for a person: advanceFirmware
	Started int64           `json:"started"`
	Ended   int64           `json:"ended"`

	Blocks    int `json:"blocks"` // that the image has
	Sent      int `json:"sent"`   // source blocks to the group, repeated ones too
	Parity    int `json:"parity"` // parity blocks to the group
	Sweeps    int `json:"sweeps"`
	Unicast   int `json:"unicast"` // blocks to one device
	Bytes     int `json:"bytes"`   // on the air
	BlockSize int `json:"blockSize"`

	Generations []RolloutGeneration `json:"generations"`
	Devices     []RolloutDevice     `json:"devices"`
	Waves       []FirmwareWave      `json:"waves"`
	Samples     []RolloutSample     `json:"samples"` // oldest first, at most 120

	PredictedSeconds float64  `json:"predictedSeconds"`
	UnicastSeconds   float64  `json:"unicastSeconds"`
	Left             float64  `json:"left"`          // seconds until the last wave has switched, roughly
	Problem          *Problem `json:"problem"`       // the first failure
	ProblemDevice    string   `json:"problemDevice"` // whose it is
}

// RolloutGeneration is a part of the image that is repaired by itself.
type RolloutGeneration struct {
	K        int `json:"k"`        // source blocks
	Sent     int `json:"sent"`     // blocks, parity too
	Worst    int `json:"worst"`    // how many more the device needs that lacks most
	Complete int `json:"complete"` // devices that have it
}

// RolloutSample is a measurement.
type RolloutSample struct {
	At    int64   `json:"at"`
	Loss  float64 `json:"loss"`  // of all devices, 0 to 1
	Worst float64 `json:"worst"` // of the worst one
	Rate  float64 `json:"rate"`  // bit/s
}

// RolloutState is where one device stands.
type RolloutState string

// States of a device in a rollout.
const (
	RolloutLeftOut   RolloutState = "left-out"
	RolloutWaiting   RolloutState = "waiting"
	RolloutReceiving RolloutState = "receiving"
	RolloutVerified  RolloutState = "verified" // it has the whole image and checked its digest
	RolloutSwitching RolloutState = "switching"
	RolloutTesting   RolloutState = "testing" // runs the new image and goes back unless confirmed
	RolloutConfirmed RolloutState = "confirmed"
	RolloutReverted  RolloutState = "reverted"
	RolloutFailed    RolloutState = "failed"
	RolloutSilent    RolloutState = "silent"
)

// RolloutDevice is one device's row.
type RolloutDevice struct {
	Device   string       `json:"device"`
	State    RolloutState `json:"state"`
	Progress float64      `json:"progress"` // of the image, 0 to 1
	Missing  int          `json:"missing"`  // blocks
	Alone    int          `json:"alone"`    // blocks that it got alone, as it did not have them from what went to all
	Loss     float64      `json:"loss"`     // 0 to 1
	Version  string       `json:"version"`  // that runs, as it last said
	Wave     int          `json:"wave"`     // index of Waves; -1: none
	Problem  *Problem     `json:"problem"`
}

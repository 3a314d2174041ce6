package rollout

import (
	"context"
	"io"
	"slices"
	"time"

	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
)

// Profile is how fast a kind of network is fed.
type Profile struct {
	Name  string        `cbor:"1,keyasint"`
	Rate  int           `cbor:"2,keyasint"` // bit/s of datagrams, headers of UDP and below apart
	Block int           `cbor:"3,keyasint"` // bytes in a block, at most
	Gap   time.Duration `cbor:"4,keyasint"` // between two blocks, at least
}

// Profiles returns the known kinds of networks. RFC 10020, Section 3.6 lets
// PROBING_RATE be configured where answers are heard; the sender hears an acker every
// 16 blocks. 802.15.4 leaves most of the air to other traffic.
func Profiles() []Profile {
	return []Profile{
		{Name: "802.15.4", Rate: 8_000, Block: 512, Gap: 50 * time.Millisecond},
		{Name: "wi-fi", Rate: 1_000_000, Block: firmware.MaxBlock, Gap: 2 * time.Millisecond},
		{Name: "ethernet", Rate: 4_000_000, Block: firmware.MaxBlock},
	}
}

// ProfileNamed returns a profile by its name.
func ProfileNamed(name string) (Profile, bool) {
	all := Profiles()
	i := slices.IndexFunc(all, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return all[i], true
}

// Options are what a person chooses. The zero value of a field is its default.
type Options struct {
	Profile        Profile       `cbor:"1,keyasint"`  // default: 802.15.4
	Cap            int           `cbor:"2,keyasint"`  // bit/s that the rate never exceeds; 0: the profile's
	Loss           float64       `cbor:"3,keyasint"`  // the expected loss of datagrams, until it is measured; default 0.05
	Canary         int           `cbor:"4,keyasint"`  // devices in the first wave; 0: none
	Percent        float64       `cbor:"5,keyasint"`  // of the devices in the second wave; 0: no such wave
	MaxUnavailable int           `cbor:"6,keyasint"`  // devices of a zone that switch at a time; default: half of it
	ConfirmWithin  time.Duration `cbor:"7,keyasint"`  // default: firmware.DefaultConfirm
	Soak           time.Duration `cbor:"8,keyasint"`  // after a wave, before the next
	Threshold      float64       `cbor:"9,keyasint"`  // percent of failures that stop the rollout; default 5
	Hold           bool          `cbor:"10,keyasint"` // a person lets each further wave begin
	At             time.Time     `cbor:"11,keyasint"` // when the first wave switches; zero: at once
	TakeOver       bool          `cbor:"12,keyasint"` // go on although another sender feeds the devices
}

// Defaults of [Options].
const (
	defaultLoss      = 0.05
	defaultThreshold = 5.0
	minExecuted      = 5 // devices that switched before the threshold counts
)

func (o Options) withDefaults() Options {
	if o.Profile.Rate <= 0 {
		o.Profile = Profiles()[0]
	}
	if o.Profile.Block < firmware.MinBlock || o.Profile.Block > firmware.MaxBlock {
		o.Profile.Block = firmware.MaxBlock
	}
	if o.Cap <= 0 || o.Cap > o.Profile.Rate {
		o.Cap = o.Profile.Rate
	}
	if o.Loss <= 0 || o.Loss >= 1 {
		o.Loss = defaultLoss
	}
	if o.ConfirmWithin <= 0 {
		o.ConfirmWithin = firmware.DefaultConfirm * time.Second
	}
	o.ConfirmWithin = min(o.ConfirmWithin, firmware.MaxConfirm*time.Second)
	if o.Threshold <= 0 {
		o.Threshold = defaultThreshold
	}
	return o
}

// Device is a member of the group that the image may be for.
type Device struct {
	ID        string
	Name      string
	Zone      string
	Emergency bool // an emergency light: it switches last
}

// Manifest is what the sender needs to know of the image's SUIT manifest. Whoever
// fills it has verified the envelope's digests.
type Manifest struct {
	Digest   []byte   // SHA-256 of the manifest, as its SUIT_Digest has it
	Image    [32]byte // SHA-256 of the image
	Size     int      // bytes of the image
	Sequence uint64
	Vendor   []byte // UUID
	Class    []byte // UUID
	Version  string
	Signer   []byte // COSE_Key of who signed it; nil: not known, devices decide
}

// Params is what a rollout works with.
type Params struct {
	Group groupcomm.Group
	Clock groupcomm.Clock
	Rand  io.Reader

	Image    []byte
	Envelope []byte // as it goes on air, without the image
	Manifest Manifest

	Devices []Device
	Options Options
	Feeder  []byte // the first 8 bytes of the own credential's thumbprint

	// Parallel is how many devices are asked at a time; default 4. With 1 nothing
	// runs beside anything else and equal inputs make equal rollouts.
	Parallel int

	// Asked hears of each device that a plan has asked: whether it answered. It is called
	// from several goroutines; nil: nobody hears.
	Asked func(device string, answered bool)

	Save     func(State) error                              // keeps the state durably; nil: nothing is kept
	Progress func(View)                                     // may be nil; called from Run's goroutine
	Probe    func(ctx context.Context, device string) error // whether a device that came back does its work; nil: not asked
}

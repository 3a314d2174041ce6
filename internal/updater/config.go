package updater

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"lamplighter/internal/cose"
)

// Config is what the updater of a device is made of.
type Config struct {
	Flash    Flash
	Anchors  []cose.PublicKey // the vendor's trust anchors, set at the factory
	Vendor   []byte           // UUID, 16 bytes
	Class    []byte           // UUID, 16 bytes
	Device   []byte           // UUID, 16 bytes; nil: no manifest for a single device fits
	Hardware string           // at most 64 bytes

	// Factory is the image that is put into slot A at the very first start, when
	// the flash holds no journal, and FactorySequence its manifest's sequence number.
	Factory         []byte
	FactorySequence uint64

	Ability  Ability
	MaxImage int // bytes of an image, at most; 0: what a slot holds

	// Start starts an image that was verified and returns its version. An error is a
	// crash: the boot loader goes back to the image before.
	Start func(image []byte) (version string, err error)

	// Reboot asks for a restart, which is another Open over the same flash. It is
	// called without locks, from Tick, after the answer had time to leave. The
	// Updater does nothing more from then on.
	Reboot func()

	Now    func() time.Time // nil: time.Now. All but the date of a switch is measured between two of its times: setting it must not show there
	Rand   io.Reader        // nil: crypto/rand
	Logger *slog.Logger     // nil: silent
}

// Ability is what a device advertises of its receiver. Zeros are the defaults.
type Ability struct {
	Block  int // bytes in a block, at most [1024]
	K      int // source blocks in a generation, at most [64]
	Parity int // parity blocks that are held at a time; 0: no decoder
}

// Errors of Open.
var (
	ErrConfig = errors.New("unusable configuration of an updater")
	ErrBrick  = errors.New("no image starts") // nothing in the flash that was verified does
)

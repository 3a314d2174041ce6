package holder

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"lamplighter/internal/settings"
	"lamplighter/internal/store"
)

// Config is what the settings of a device are made of.
type Config struct {
	Schema    *settings.Schema
	SchemaDoc []byte      // as its maker signed it; nil: the device does not tell it
	Store     store.Store // the holder's own; see store.Prefix

	Clock  bool                 // Now is the time of day, also after a restart; else "at" is refused
	Now    func() time.Time     // nil: time.Now
	Uptime func() time.Duration // a clock that nobody sets; nil: how far Now has come since Open
	Rand   io.Reader            // nil: crypto/rand
	Logger *slog.Logger         // nil: silent

	// SenderID is the device's own in a group, nil where it is no member. It is called
	// without locks. Without it the device is meant by every list of addressees.
	SenderID func(group string) []byte

	// Apply is called after every switch, and every way back, when that is durable
	// and before anything is answered. It must not call the Holder, but for Values,
	// Value and Scene.
	Apply func(old, new settings.Map)
}

// ErrConfig is a configuration of which no Holder can be made.
var ErrConfig = errors.New("unusable configuration of settings")

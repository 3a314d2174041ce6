package updater

import (
	"context"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// Updater is the receiver of firmware in a device. It is passive, and safe for
// concurrent use.
type Updater struct {
	cfg Config
	mu  sync.Mutex
}

// Open runs the boot loader: it picks the slot, counts test boots, reverts an image
// that was not confirmed, and starts the image.
func Open(cfg Config) (*Updater, error) { return &Updater{cfg: cfg}, nil }

// Running is the image that runs.
func (u *Updater) Running() firmware.Running { return firmware.Running{} }

// Image reads the image that runs.
func (u *Updater) Image() []byte { return nil }

// View is what an inspector sees of an Updater.
type View struct {
	State      firmware.State   `json:"state"`
	Running    firmware.Running `json:"running"`
	Minimum    uint64           `json:"minimum"`  // a manifest's sequence number must be above it
	Verified   bool             `json:"verified"` // the other slot holds an image that was verified
	Result     firmware.Result  `json:"result"`
	Reason     string           `json:"reason"`     // of the result, a sentence
	SwitchedAt time.Time        `json:"switchedAt"` // zero: not since Open
}

// View is what an inspector sees.
func (u *Updater) View() View { return View{} }

// Status answers as a FETCH of these fields does. A nonce is given as by a FETCH.
func (u *Updater) Status(fields firmware.Field) firmware.Status { return firmware.Status{} }

// Register adds the /fw resources. guard lets pass who may use them.
func (u *Updater) Register(mux *coap.Mux, guard func(coap.HandlerFunc) coap.HandlerFunc) {
	none := func(context.Context, *coap.Request) *coap.Message { return coap.Problem(coap.NotImplemented, "") }
	for path, method := range map[string]coap.Code{
		firmware.PathStatus: coap.FETCH, firmware.PathManifest: coap.PUT, firmware.PathBlock: coap.PUT,
		firmware.PathSession: coap.POST, firmware.PathActivate: coap.POST, firmware.PathReport: coap.GET,
	} {
		mux.Handle(method, path, guard(none))
	}
}

// Due is when Tick has something to do, and whether there is such a time. It changes
// with every request and every Tick.
func (u *Updater) Due() (time.Time, bool) { return time.Time{}, false }

// Tick does what is due: a scheduled switch, going back to the image before, dropping
// a session that was left.
func (u *Updater) Tick() {}

package commission

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// Config is what an [Engine] runs on. Store and Exchange are required.
type Config struct {
	Store    store.Store
	Exchange coap.Exchanger                               // the way to AS, GM and devices
	SignIn   func(ctx context.Context, code string) error // trades the invitation's access code at the bridge; nil: there is none
	Sealer   Sealer                                       // nil: no backups
	Events   func(Event)                                  // called one at a time, must not call back into the engine; nil: dropped
	Logger   *slog.Logger                                 // nil: discarded
	Now      func() time.Time                             // nil: time.Now
	Rand     io.Reader                                    // nil: crypto/rand
	Version  string                                       // what the snapshot and the diagnostics say
	Record   bool                                         // switch the nonce recorder on, for tests
	Tuning   Tuning
}

// Tuning holds waits and limits; zero values mean the defaults in brackets.
type Tuning struct {
	Timeout     time.Duration // for one exchange [10 s]
	Leisure     time.Duration // how long devices spread their multicast answers [1 s]
	Grace       time.Duration // what is added to Leisure before silence counts [400 ms]
	Discovery   time.Duration // how long a discovery listens [2 s]
	Backoff     time.Duration // before the second try of a job's item; doubles [1 s]
	Tries       int           // of a job's item [4]
	Concurrency int           // devices that a job works on at a time [8]
	Follow      int           // silent devices that a roll call asks at a time [16]
}

// Sealer encrypts backups with a passphrase: age files in the browser and
// natively.
type Sealer interface {
	Seal(ctx context.Context, plaintext []byte, passphrase string) (armored string, err error)
	Open(ctx context.Context, armored, passphrase string) (plaintext []byte, err error)
}

// Engine is the installer's engine. It is safe for concurrent use.
type Engine struct {
	cfg Config
}

// New makes an engine. Nothing happens before [Engine.Start].
func New(cfg Config) (*Engine, error) { panic("not built yet") }

// Start loads the state and goes on with unfinished jobs until ctx ends or Close.
func (e *Engine) Start(ctx context.Context) error { panic("not built yet") }

// Close stops all work and waits for it. What is durable goes on at the next
// Start.
func (e *Engine) Close() { panic("not built yet") }

// SetLink tells the engine how the way to the bridge is. A reason is a sentence
// with the next step. Drivers without a bridge need not call it.
func (e *Engine) SetLink(up bool, rtt time.Duration, reason string) { panic("not built yet") }

// Call runs one of [Methods]; args is a JSON array. The result is encoded as
// JSON by the caller; nil stands for "void". Every error is an [*Error].
func (e *Engine) Call(ctx context.Context, method string, args json.RawMessage) (any, error) {
	panic("not built yet")
}

// WaitJob blocks until a job has ended.
func (e *Engine) WaitJob(ctx context.Context, id string) (Job, error) { panic("not built yet") }

// The methods of [Methods], typed.

func (e *Engine) Snapshot() Snapshot { panic("not built yet") }
func (e *Engine) AcceptInvitation(ctx context.Context, fragment string) (Site, error) {
	panic("not built yet")
}
func (e *Engine) PreviewLabels(ctx context.Context, text string) (LabelReport, error) {
	panic("not built yet")
}
func (e *Engine) ImportLabels(ctx context.Context, text string) (LabelReport, error) {
	panic("not built yet")
}
func (e *Engine) Discover(ctx context.Context) (int, error) { panic("not built yet") }
func (e *Engine) Claim(ctx context.Context, devices []string) (Job, error) {
	panic("not built yet")
}
func (e *Engine) Join(ctx context.Context, group string, devices []string) (Job, error) {
	panic("not built yet")
}
func (e *Engine) SetLight(ctx context.Context, group string, light Light) (RollCall, error) {
	panic("not built yet")
}
func (e *Engine) RollCall(ctx context.Context, group string) (RollCall, error) {
	panic("not built yet")
}
func (e *Engine) RollCallCSV(group string) (string, error) { panic("not built yet") }
func (e *Engine) Blink(ctx context.Context, device string, seconds int) error {
	panic("not built yet")
}
func (e *Engine) Leave(ctx context.Context, group string, devices []string) (Job, error) {
	panic("not built yet")
}
func (e *Engine) Release(ctx context.Context, devices []string) (Job, error) {
	panic("not built yet")
}
func (e *Engine) Forget(ctx context.Context, devices []string) error   { panic("not built yet") }
func (e *Engine) RetryJob(ctx context.Context, job string) (Job, error)  { panic("not built yet") }
func (e *Engine) CancelJob(ctx context.Context, job string) (Job, error) { panic("not built yet") }
func (e *Engine) Backup(ctx context.Context, passphrase string) (string, error) {
	panic("not built yet")
}
func (e *Engine) Restore(ctx context.Context, file, passphrase string) (Site, error) {
	panic("not built yet")
}
func (e *Engine) Diagnostics() string { panic("not built yet") }
func (e *Engine) NonceLog() []string  { panic("not built yet") }

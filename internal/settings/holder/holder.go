package holder

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/settings"
)

// Holder is the settings of a device. It is passive, and safe for concurrent use.
type Holder struct {
	cfg     Config
	log     *slog.Logger
	opened  time.Time
	running atomic.Pointer[settings.Map] // rec.Values, for who holds other locks

	mu    sync.Mutex
	rec   record // as the store has it, or as it would be read after a restart
	nonce nonce
	spent []byte // the nonce that was used last in its time, whatever came of it

	// By Uptime: when the present state ends by itself, and when that is tried again
	// because the store failed.
	deadline time.Duration
	retry    time.Duration
}

// Open reads the settings; a new device has the defaults of its schema, and so has one
// whose store has what nobody can read, such as of a later firmware. What a
// restart ends is ended: see the package.
func Open(cfg Config) (*Holder, error) {
	if cfg.Schema == nil || cfg.Store == nil {
		return nil, fmt.Errorf("%w: a schema and a store are needed", ErrConfig)
	}
	if err := cfg.Schema.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	h := &Holder{cfg: cfg, log: cfg.Logger, opened: cfg.Now()}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.cfg.Uptime == nil {
		h.cfg.Uptime = func() time.Duration { return h.cfg.Now().Sub(h.opened) }
	}
	rec, found, err := load(cfg.Store)
	if errors.Is(err, cbor.ErrDecode) { // a lamp that can be reached is better than none
		h.log.Error("the settings are unreadable: those of the factory run", "err", err)
		found, err = false, nil
	}
	if err != nil {
		return nil, err
	}
	if !found {
		rec = record{Values: cfg.Schema.Defaults()}
	}
	if err := h.boot(rec); err != nil {
		return nil, err
	}
	return h, nil
}

// Values are the settings that run. They are not to be changed.
func (h *Holder) Values() settings.Map { return *h.running.Load() }

// Schema is what gives the settings their meaning.
func (h *Holder) Schema() *settings.Schema { return h.cfg.Schema }

// Value is what runs for a setting by its name: its value, else its default, else nil.
func (h *Holder) Value(name string) any {
	d := h.cfg.Schema.Named(name)
	if d == nil {
		return nil
	}
	return d.In(h.Values())
}

// scenes is the name of the setting that holds scenes by their numbers.
const scenes = "scenes"

// Scene is what is stored for a scene, with the defaults of what is left out, and
// whether anything is.
func (h *Holder) Scene(id uint64) (settings.Map, bool) {
	d := h.cfg.Schema.Named(scenes)
	if d == nil {
		return nil, false
	}
	all, _ := d.In(h.Values()).(settings.Map)
	stored, found := all[id].(settings.Map)
	if !found {
		return nil, false
	}
	scene := settings.Map{}
	for i := range d.Members {
		if v := d.Members[i].In(stored); v != nil {
			scene[d.Members[i].Key] = v
		}
	}
	return scene, true
}

// View is what an inspector sees of a Holder.
type View struct {
	State      settings.State  `json:"state"`
	Digest     []byte          `json:"digest"` // of what runs, the first 8 bytes
	Values     settings.Map    `json:"values"`
	Txn        []byte          `json:"txn"`
	Result     settings.Result `json:"result"`     // how the latest change ended
	Left       time.Duration   `json:"left"`       // until the switch, or until it goes back
	SwitchedAt int64           `json:"switchedAt"` // milliseconds since 1970 of the latest switch or way back; 0: none
}

// View is what an inspector sees.
func (h *Holder) View() View {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := View{
		State: h.rec.State, Digest: h.rec.Values.Short(), Values: h.rec.Values, Txn: h.rec.Txn,
		Result: h.rec.End, SwitchedAt: h.rec.Switched,
	}
	if v.Txn == nil {
		v.Txn = h.rec.Last
	}
	v.Left = h.left()
	return v
}

// Package device is a lamp that can be commissioned: a CoAP handler with the
// resources of docs/device.md, the owner's and the label's sessions in front of
// it (OSCORE, RFC 8613, Appendix B.2), Group OSCORE for the groups it is in
// (RFC 10021), and a small client with which a member keeps its keys current
// (draft-ietf-ace-key-groupcomm-oscore-21, "KGO").
//
// Everything that must survive a loss of power is in the store before the answer
// leaves: a reboot is another New over the same store. After one, every sender of
// group requests is challenged with Echo before it is obeyed.
//
// Not built: /ll/join (a device with an ACE client), /ll/reset, EDHOC, tokens of
// the Authorization Server.
package device

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/label"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/settings/holder"
	"lamplighter/internal/store"
	"lamplighter/internal/updater"
)

// Config is what a device is made of.
type Config struct {
	ID          [8]byte // EUI-64
	Model       string
	HW, FW      string      // versions; with Firmware, FW is that of the running image
	LabelSecret cose.Secret // 16 bytes
	Store       store.Store // the device's own; see store.Prefix
	Exchange    coap.Exchanger
	GroupAddr   netip.AddrPort            // the multicast address it listens to; zero: a membership may name any
	Policy      func(group string) Policy // nil: the zero Policy for every group

	// ResponseMode is how requests in group mode are answered. nil: in pairwise
	// mode. Requests in pairwise mode always are.
	ResponseMode *group.Mode

	Now    func() time.Time // nil: time.Now
	Rand   io.Reader        // nil: crypto/rand
	Logger *slog.Logger     // nil: silent

	// OnLight is called after each change of the light, in their order.
	OnLight func(Light)

	// Firmware is what the updater is made of, but for Now, Rand and, when nil,
	// Logger, which are the device's. New runs its boot loader. nil: a device
	// without /fw.
	Firmware *updater.Config

	// Settings is what the holder is made of, but for Store, Now, Rand, SenderID and,
	// when nil, Logger, which are the device's. nil: a device without /cfg.
	Settings *holder.Config

	// Emergency is the battery of an emergency light; nil: it is none.
	Emergency *EmergencyConfig

	// Tamper is put around each handler of /fw, behind the check of who may use it: a
	// simulated device lies with it. nil: nothing is.
	Tamper func(coap.HandlerFunc) coap.HandlerFunc
}

// Policy is what a device does in one group where the standards leave it open.
type Policy struct {
	// RefuseWhenSilent: without word from the Group Manager that the keys are
	// current, group requests are not obeyed. The default is to obey: light
	// matters more than a key that may be old.
	RefuseWhenSilent bool
}

// Light is the state of the lamp.
type Light struct {
	On    bool  `cbor:"1,keyasint" json:"on"`
	Level uint8 `cbor:"2,keyasint" json:"level"` // percent

	Priority uint8 `cbor:"3,keyasint,omitempty" json:"priority,omitempty"` // 1: an emergency holds it
}

// State is what an inspector sees of a device, without secrets.
type State struct {
	ID       string       `json:"id"` // 16 lower-case hex digits
	Claimed  bool         `json:"claimed"`
	Name     string       `json:"name,omitempty"`
	Light    Light        `json:"light"`
	Blinking bool         `json:"blinking"`
	Groups   []GroupState `json:"groups"`
	Gone     []GoneGroup  `json:"gone"` // groups that it is no member of any more, by others' doing

	Output    uint8 `json:"output"`              // percent, what the lamp really gives
	ReachedAt int64 `json:"reachedAt,omitempty"` // milliseconds since 1970: when a fade ends, or the light was set
	Occupied  bool  `json:"occupied,omitempty"`  // somebody was seen, by sensors of the lamp's link

	Settings  *SettingsState   `json:"settings,omitempty"`
	Emergency *emergencyAnswer `json:"emergency,omitempty"`
}

// GroupState is one membership in a [State].
type GroupState struct {
	Name     string `json:"name"`
	GID      []byte `json:"gid"`
	SenderID []byte `json:"senderID"`
	Num      uint64 `json:"num"`
	InSync   bool   `json:"inSync"` // the Group Manager confirmed the keys when last asked
	Paused   bool   `json:"paused"` // the group is not active: nothing in it is obeyed

	// Renew says, in a sentence, why the Group Manager gives the device no keys
	// over its present association; empty: it does. A commissioner joins it again.
	Renew   string `json:"renew,omitempty"`
	Expires uint64 `json:"expires"` // of the association's token, seconds since 1970
}

// GroupEnd is why a membership ended.
type GroupEnd uint8

// Ends of memberships.
const (
	EndEvicted GroupEnd = 1 // the Group Manager removed the device
	EndDeleted GroupEnd = 2 // there is no such group any more
	EndUnbuilt GroupEnd = 3 // it left: the group uses algorithms that the device lacks
)

func (e GroupEnd) String() string {
	return map[GroupEnd]string{
		EndEvicted: "evicted by the Group Manager", EndDeleted: "the group was deleted",
		EndUnbuilt: "the group uses algorithms that this device lacks",
	}[e]
}

// GoneGroup is a membership that ended without the owner's doing.
type GoneGroup struct {
	Name string   `json:"name"`
	Why  GroupEnd `json:"why"`
	Text string   `json:"text"`
	At   int64    `json:"at"`  // seconds since 1970
	Num  uint64   `json:"num"` // of the last keys
}

// Device is a lamp. It is safe for concurrent use.
type Device struct {
	cfg   Config
	log   *slog.Logger
	key   ed25519.PrivateKey
	cred  []byte // own authentication credential, an untagged CCS
	psk   *oscore.PSKServer
	gms   *oscore.Server   // the associations with Group Managers, see gm.go
	fw    *updater.Updater // nil: a device without firmware
	fwOwn *coap.Mux        // its resources, for the device itself
	stir  chan struct{}    // something may be due

	settings *holder.Holder // nil: a device without settings
	handler  coap.Handler
	held     chan struct{} // one token for each request that waits for the Group Manager
	life     context.Context
	end      context.CancelFunc

	lightMu sync.Mutex // held over a change of the light and its OnLight; before mu

	mu            sync.Mutex
	ex            coap.Exchanger
	claim         *claimRecord
	commissioners *commissioners // nil without a claim
	light         Light
	before        *Light    // what an emergency's command holds back, nil: none does
	reached       time.Time // when the light has its level
	scene         *uint     // that was recalled, nil: something else came
	recalled      time.Time
	occupancy     occupancy
	sensor        sensor
	toggled       map[uint]bool // what a button that toggles switched last
	emergency     emergency
	blinkUntil    time.Time
	members       map[string]*member          // by group name
	gone          map[string]goneRecord       // memberships that others ended, by group name
	sequences     map[string]*oscore.Sequence // by mark key: never two for one key and ID
	sessions      map[string]session          // the PSK sessions that are open, by name
}

// Names of the PSK sessions.
const (
	peerLabel = "label"
	peerOwner = "owner"

	peerCommissioner = "commissioner/" // + thumbprint in hex
)

// errConfig is a [Config] that makes no device.
var errConfig = errors.New("unusable configuration")

// New loads a device from its store, or makes its key and keeps it there.
func New(cfg Config) (*Device, error) {
	if len(cfg.LabelSecret) != label.SecretSize || cfg.Store == nil || cfg.Model == "" {
		return nil, fmt.Errorf("%w: a store, a model and a label secret of %d bytes are needed", errConfig, label.SecretSize)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	cfg.Rand = cose.SharedRandom(cfg.Rand)
	d := &Device{
		cfg: cfg, log: cfg.Logger, ex: cfg.Exchange,
		held:      make(chan struct{}, maxHeld),
		stir:      make(chan struct{}, 1),
		members:   map[string]*member{},
		gone:      map[string]goneRecord{},
		sequences: map[string]*oscore.Sequence{},
		toggled:   map[uint]bool{},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.log = d.log.With("device", label.FormatID(cfg.ID))
	if err := d.bootFirmware(); err != nil {
		return nil, fmt.Errorf("starting device %s: %w", label.FormatID(cfg.ID), err)
	}
	if err := d.bootSettings(); err != nil {
		return nil, fmt.Errorf("starting device %s: %w", label.FormatID(cfg.ID), err)
	}
	d.life, d.end = context.WithCancel(context.Background())
	d.gms = oscore.NewServer(cfg.Rand)
	d.gms.OnAccept = d.keepHeard
	if err := d.load(); err != nil {
		d.end()
		return nil, fmt.Errorf("loading device %s: %w", label.FormatID(cfg.ID), err)
	}
	d.powerOn()
	if err := d.bootEmergency(); err != nil {
		d.end()
		return nil, fmt.Errorf("starting device %s: %w", label.FormatID(cfg.ID), err)
	}
	d.psk = oscore.NewPSKServer(cfg.Rand, cfg.Now)
	d.setSessions()
	d.handler = coap.SecureInBlocks(d.admit(d.routes()), cfg.Now, d.psk, gmOpener{d}, groupOpener{d})
	return d, nil
}

// Bind gives the device its way to the network, for its requests to the Group
// Manager.
func (d *Device) Bind(ex coap.Exchanger) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ex = ex
}

// Handler serves the device's resources; it takes off the protection itself.
func (d *Device) Handler() coap.Handler { return d.handler }

// Close ends what goes on in the background. The store stays open.
func (d *Device) Close() { d.end() }

// Label returns what is printed on the device.
func (d *Device) Label() label.Label {
	sum := cose.Thumbprint(d.cred)
	return label.Label{
		ID: d.cfg.ID, Model: d.cfg.Model, Secret: d.cfg.LabelSecret,
		Thumbprint: sum[:label.MinThumbprintSize],
	}
}

// Credential returns the device's authentication credential, an untagged CCS.
func (d *Device) Credential() []byte { return d.cred }

// State returns the device's state.
func (d *Device) State() State {
	set := d.settingsState()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := State{
		ID: label.FormatID(d.cfg.ID), Claimed: d.claim != nil, Light: d.light,
		Blinking: d.cfg.Now().Before(d.blinkUntil), Groups: []GroupState{}, Gone: []GoneGroup{},
	}
	if d.claim != nil {
		s.Name = d.claim.Name
	}
	d.lightState(&s, set)
	for _, m := range d.sortedMembers() {
		s.Groups = append(s.Groups, m.state(d.cfg.Now()))
	}
	for _, name := range slices.Sorted(maps.Keys(d.gone)) {
		g := d.gone[name]
		s.Gone = append(s.Gone, GoneGroup{Name: name, Why: g.Why, Text: g.Why.String(), At: g.At, Num: g.Num})
	}
	return s
}

package rollout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"lamplighter/internal/firmware"
)

// ErrImage says that the image is not the one that its manifest names.
var ErrImage = errors.New("the image is not the one that its manifest names: get the file again")

// Fit is whether the image fits a device, and what the device is.
type Fit struct {
	Device
	Fits     bool
	Reason   *Reason // why not
	Version  string  // that runs
	Sequence uint64
	Hardware string

	ability firmware.Ability
	status  firmware.Status
}

// WavePlan is devices that switch together.
type WavePlan struct {
	Name    string
	Devices []string
}

// Plan is what a rollout would do. Making it sends no byte of the image.
type Plan struct {
	Fits    []Fit // in the order of the devices
	Waves   []WavePlan
	Layout  firmware.Layout
	Session []byte
	Bitmap  bool // a device without a decoder is among them: lost blocks are sent again as they are
	Started bool // devices have this session open already: it is gone on with

	Blocks    int // source blocks
	Bytes     int // of all datagrams, expected
	Time      time.Duration
	ByUnicast time.Duration

	params Params
}

// Eligible is how many devices the image fits.
func (p *Plan) Eligible() (n int) {
	for _, f := range p.Fits {
		if f.Fits {
			n++
		}
	}
	return n
}

// NewPlan asks every device what it is and what it can take, a few at a time. It
// fails when the image is not the manifest's or ctx ends; a device that does not
// answer is only left out.
func NewPlan(ctx context.Context, params Params) (*Plan, error) {
	params = params.withDefaults()
	if err := params.check(); err != nil {
		return nil, err
	}
	p := &Plan{params: params, Fits: make([]Fit, len(params.Devices))}
	for i, d := range params.Devices {
		p.Fits[i].Device = d
	}
	if err := p.survey(ctx, params); err != nil {
		return nil, err
	}
	p.choose()
	p.predict()
	p.Waves = makeWaves(p.Fits, params.Options)
	return p, nil
}

func (p Params) withDefaults() Params {
	p.Options = p.Options.withDefaults()
	if p.Parallel <= 0 {
		p.Parallel = 4
	}
	if p.Save == nil {
		p.Save = func(State) error { return nil }
	}
	if p.Progress == nil {
		p.Progress = func(View) {}
	}
	return p
}

func (p *Params) check() error {
	if len(p.Image) == 0 || len(p.Image) != p.Manifest.Size || sha256.Sum256(p.Image) != p.Manifest.Image {
		return ErrImage
	}
	if len(p.Manifest.Digest) == 0 || len(p.Envelope) == 0 {
		return fmt.Errorf("%w: the manifest is missing", ErrImage)
	}
	return nil
}

// digest is what devices quote of the image.
func (p *Params) digest() []byte { return p.Manifest.Image[:firmware.DigestSize] }

// survey fills in what each device says and whether the image fits it.
func (p *Plan) survey(ctx context.Context, params Params) error {
	ids := make([]string, len(p.Fits))
	for i := range p.Fits {
		ids[i] = p.Fits[i].ID
	}
	const all = firmware.FieldRunning | firmware.FieldProgress | firmware.FieldAbility | firmware.FieldFeeder
	replies := callAll(ctx, &params, ids, fetchRequest(all, nil, 0), func(r *reply) {
		if params.Asked != nil && ctx.Err() == nil {
			params.Asked(r.device, r.err == nil)
		}
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range p.Fits {
		p.Fits[i].judge(&params, replies[i])
	}
	return nil
}

// judge decides whether the image fits.
func (f *Fit) judge(params *Params, r reply) {
	f.Reason = r.problem()
	if f.Reason == nil && (r.status.Ability == nil || r.status.Running == nil) {
		f.Reason = reasonNone
	}
	if f.Reason == nil {
		f.status, f.ability = r.status, *r.status.Ability
		f.Version, f.Sequence, f.Hardware = r.status.Running.Version, r.status.Running.Sequence, f.ability.Hardware
		f.Reason = f.unfit(params)
	}
	f.Fits = f.Reason == nil
}

// unfit is why the image does not fit; nil when it does.
func (f *Fit) unfit(params *Params) *Reason {
	m, a, st := &params.Manifest, &f.ability, &f.status
	runs := st.Running.Sequence == m.Sequence && bytes.Equal(st.Running.Digest, params.digest())
	switch {
	case !bytes.Equal(a.Vendor, m.Vendor) || !bytes.Equal(a.Class, m.Class):
		return reasonClass
	case runs && st.State == firmware.Testing: // a switch that another sender began
		return nil
	case runs:
		return reasonRunning
	case st.State == firmware.Testing:
		return reasonTesting
	case m.Sequence <= a.Minimum:
		return reasonOlder
	case uint64(m.Size) > a.Slot:
		return reasonSpace
	case m.Signer != nil && !trusts(a.Anchors, m.Signer):
		return reasonSigner
	case a.Block < firmware.MinBlock || a.K == 0:
		return reasonBlocks
	case f.busy(params):
		return reasonBusy
	}
	return nil
}

// busy reports whether another sender feeds the device at this time.
func (f *Fit) busy(params *Params) bool {
	st := &f.status
	return !params.Options.TakeOver && st.State == firmware.Downloading && len(st.Feeder) > 0 && len(params.Feeder) > 0 &&
		!bytes.Equal(st.Feeder, params.Feeder) && st.FedAgo < firmware.Stale
}

func trusts(anchors [][]byte, signer []byte) bool {
	for _, a := range anchors {
		if bytes.Equal(a, signer) {
			return true
		}
	}
	return false
}

// choose takes the layout that all eligible devices can take, or the one of the
// session that they have open already.
func (p *Plan) choose() {
	block, k := uint(p.params.Options.Profile.Block), uint(firmware.MaxK)
	for _, f := range p.Fits {
		if f.Fits {
			block, k = min(block, f.ability.Block), min(k, f.ability.K)
			p.Bitmap = p.Bitmap || f.ability.Parity == 0
		}
	}
	p.Layout = firmware.Layout{Size: len(p.params.Image), Block: int(block), K: int(k)}
	if open, ok := p.underWay(); ok {
		p.Layout, p.Started = open, true
	}
	p.Blocks, p.Session = p.Layout.Blocks(), p.Layout.SessionID(p.params.Manifest.Digest)
	for i := range p.Fits {
		if f := &p.Fits[i]; f.Fits && (f.ability.Block < uint(p.Layout.Block) || f.ability.K < uint(p.Layout.K)) {
			f.Fits, f.Reason = false, reasonBlocks
		}
	}
}

// underWay finds the layout of a session of this manifest that most devices have
// open: a sender before made it from what the devices could take then.
func (p *Plan) underWay() (best firmware.Layout, ok bool) {
	blocks, ks := map[uint]bool{256: true, 512: true, firmware.MaxBlock: true, uint(p.Layout.Block): true}, map[uint]bool{16: true, 32: true, firmware.MaxK: true, uint(p.Layout.K): true}
	open := map[string]int{}
	for _, f := range p.Fits {
		if len(f.status.Session) > 0 && f.status.State != firmware.Idle {
			open[string(f.status.Session)]++
		}
		if f.ability.Block > 0 {
			blocks[min(f.ability.Block, firmware.MaxBlock)], ks[min(f.ability.K, firmware.MaxK)] = true, true
		}
	}
	most := 0
	for block := range blocks {
		for k := range ks {
			l := firmware.Layout{Size: len(p.params.Image), Block: int(block), K: int(k)}
			if l.Check() != nil {
				continue
			}
			if n := open[string(l.SessionID(p.params.Manifest.Digest))]; n > most {
				best, most = l, n
			}
		}
	}
	return best, most > 0
}

// Ability is what the device said that it can take; zero when it did not answer.
func (f *Fit) Ability() firmware.Ability { return f.ability }

package rollout

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"lamplighter/internal/firmware"
)

const (
	overheadGroup    = firmware.OverheadGroup
	overheadPairwise = firmware.OverheadPairwise + firmware.OverheadAnswer
	switchTime       = 30 * time.Second // that a wave takes, roughly
)

// predict says what the rollout takes.
func (p *Plan) predict() {
	n := p.Eligible()
	pr := p.Layout.Predict(n, p.params.Options.Loss, float64(p.params.Options.Cap))
	p.Bytes = pr.Bytes
	p.Time = time.Duration(pr.Seconds * float64(time.Second))
	p.ByUnicast = time.Duration(pr.UnicastSeconds * float64(time.Second))
}

// state makes the state that a rollout of p begins with.
func (p *Plan) state() State {
	st := State{
		Options: p.params.Options, Session: p.Session, Block: p.Layout.Block, K: p.Layout.K, Size: p.Layout.Size, Bitmap: p.Bitmap,
		Phase: Planning, Rate: float64(p.params.Options.Cap), Started: p.params.Clock.Now(), Predicted: p.Time, ByUnicast: p.ByUnicast,
		Todo: make([]byte, (p.Blocks+7)/8), Generations: make([]GenerationState, p.Layout.Generations()),
	}
	for b := range p.Blocks {
		setBit(st.Todo, b, true)
	}
	first := uint(firmware.MaxK)
	if p.Started { // which parity blocks were sent before is not known: begin elsewhere
		first += p.params.randomN(firmware.MaxSymbols - firmware.MaxK)
	}
	for g := range st.Generations {
		st.Generations[g].First = first
	}
	for _, f := range p.Fits {
		st.Devices = append(st.Devices, f.record(p))
		// Another session that is open where the image fits is an own one that ended, one
		// that nobody feeds any more, or one that is taken over.
		if id := f.status.Session; f.Fits && len(id) > 0 && !bytes.Equal(id, p.Session) &&
			!slices.ContainsFunc(st.Foreign, func(other []byte) bool { return bytes.Equal(id, other) }) {
			st.Foreign = append(st.Foreign, id)
		}
	}
	for _, w := range p.Waves {
		st.Waves = append(st.Waves, WaveRecord{Name: w.Name, Devices: w.Devices, State: WaveWaiting})
	}
	st.number()
	return st
}

// number writes each device's wave into its record.
func (s *State) number() {
	wave := map[string]int{}
	for i, w := range s.Waves {
		for _, id := range w.Devices {
			wave[id] = i
		}
	}
	for i := range s.Devices {
		s.Devices[i].Wave = -1
		if w, ok := wave[s.Devices[i].ID]; ok {
			s.Devices[i].Wave = w
		}
	}
}

// record is what is known of a device from the plan.
func (f *Fit) record(p *Plan) DeviceRecord {
	d := DeviceRecord{ID: f.ID, Name: f.Name, Zone: f.Zone, Emergency: f.Emergency, State: Waiting, Reason: f.Reason,
		Version: f.Version, Hardware: f.Hardware, Parity: f.ability.Parity, Wave: -1, Before: f.status.Result, Based: !p.Started}
	switch {
	case !f.Fits:
		d.State = LeftOut
	case bytes.Equal(f.status.Session, p.Session) && f.status.State == firmware.Downloading:
		d.State, d.Deficits = Receiving, f.status.Deficits
	}
	return d
}

// randomN draws a number below n.
func (p *Params) randomN(n uint) uint {
	var b [4]byte
	if p.Rand != nil {
		if _, err := p.Rand.Read(b[:]); err != nil {
			return 0
		}
	}
	return uint(binary.BigEndian.Uint32(b[:])) % n
}

package rollout

import (
	"math"
	"slices"
)

// mostRepaired is the loss that one round of repair makes up for in any case. More than
// that, and than the others lose, a device may have lost in one moment: it does not set
// the cost of all before it was measured again.
const mostRepaired = 0.3

// repairs is the loss of a device that a round makes up for.
func (s *Sender) repairs(d *DeviceRecord) float64 {
	return min(s.lossOf(d), max(s.unusual(), mostRepaired))
}

// unusual is the loss that is much more than a device loses that stands in the middle of
// all: one that was away for a while does not move it.
func (s *Sender) unusual() float64 {
	var all []float64
	for i := range s.st.Devices {
		if d := &s.st.Devices[i]; d.Span > 0 && (d.State == Receiving || d.State == Verified) {
			all = append(all, d.Loss)
		}
	}
	if len(all) == 0 {
		return 2*s.st.Options.Loss + 0.05
	}
	slices.Sort(all)
	return 2*all[(len(all)-1)/2] + 0.05
}

// amount is how many further blocks of generation g the devices are sent: at least
// the largest deficit / (1 - loss); then more, as long as a block costs less than the
// part of a further round that it saves.
func (s *Sender) amount(ids []string, g int) int {
	least := 0
	for _, id := range ids {
		d := s.device(id)
		if g < len(d.Deficits) {
			least = max(least, int(math.Ceil(float64(d.Deficits[g])/(1-s.repairs(d))-0.5)))
			least = max(least, int(d.Deficits[g]))
		}
	}
	if least == 0 {
		return 0
	}
	block := float64(s.st.Block + overheadGroup)
	worth := block / (s.askBytes(len(ids)) + block)
	n, fails := least, s.shortfall(ids, g, least)
	for n < least+least/2+4 {
		next := s.shortfall(ids, g, n+1)
		if fails-next < worth {
			break
		}
		n, fails = n+1, next
	}
	return n
}

// lossOf is what a device loses, at most 0.9; as the others, while it was not measured.
func (s *Sender) lossOf(d *DeviceRecord) float64 {
	if d.Span == 0 {
		return min(s.loss(), 0.9)
	}
	return min(d.Loss, 0.9)
}

// shortfall is how probable it is that n blocks do not complete generation g at one of
// the devices.
func (s *Sender) shortfall(ids []string, g, n int) float64 {
	good := 1.0
	for _, id := range ids {
		d := s.device(id)
		if g >= len(d.Deficits) || d.Deficits[g] == 0 {
			continue
		}
		good *= 1 - fewer(int(d.Deficits[g]), n, 1-max(s.repairs(d), 0.005))
	}
	return 1 - good
}

// fewer is P(X < d) of X binomial with n draws of probability p.
func fewer(d, n int, p float64) (sum float64) {
	term := math.Pow(1-p, float64(n)) // P(X = 0)
	for x := range d {
		sum += term
		term *= float64(n-x) / float64(x+1) * p / (1 - p)
	}
	return min(sum, 1)
}

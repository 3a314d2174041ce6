package rollout

import (
	"math"
	"strconv"
)

// makeWaves divides the devices that the image fits: a canary over different
// hardware and zones, a few percent, the rest, and emergency lights last.
func makeWaves(fits []Fit, o Options) []WavePlan {
	var plain, emergency []*Fit
	for i := range fits {
		if f := &fits[i]; f.Fits && f.Emergency {
			emergency = append(emergency, f)
		} else if f.Fits {
			plain = append(plain, f)
		}
	}
	if len(plain) == 0 { // the first of them are tried first all the same
		plain, emergency = emergency, nil
	}
	var waves []WavePlan
	add := func(name string, devices []*Fit) {
		if len(devices) == 0 {
			return
		}
		w := WavePlan{Name: name}
		for _, f := range devices {
			w.Devices = append(w.Devices, f.ID)
		}
		waves = append(waves, w)
	}
	canary, plain := spread(plain, o.Canary)
	add("Canary", canary)
	share := 0
	if o.Percent > 0 {
		share = int(math.Ceil(float64(len(canary)+len(plain)+len(emergency)) * o.Percent / 100))
	}
	few, plain := spread(plain, share)
	add(strconv.FormatFloat(o.Percent, 'f', -1, 64)+" %", few)
	add("Rest", plain)
	add("Emergency lights", emergency)
	return waves
}

// spread takes n devices so that each next one has a hardware, then a zone, of which
// the fewest were taken. It returns them and the others in their order.
func spread(from []*Fit, n int) (taken, others []*Fit) {
	hardware, zone, used := map[string]int{}, map[string]int{}, map[*Fit]bool{}
	for range min(n, len(from)) {
		var best *Fit
		for _, f := range from {
			if used[f] {
				continue
			}
			if best == nil || hardware[f.Hardware] < hardware[best.Hardware] ||
				hardware[f.Hardware] == hardware[best.Hardware] && zone[f.Zone] < zone[best.Zone] {
				best = f
			}
		}
		used[best] = true
		hardware[best.Hardware]++
		zone[best.Zone]++
		taken = append(taken, best)
	}
	for _, f := range from {
		if !used[f] {
			others = append(others, f)
		}
	}
	return taken, others
}

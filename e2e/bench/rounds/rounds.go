// Package rounds compares the time of an operation with that of a reference on
// a machine that does other things too. It runs both in turn in short rounds,
// so that a busy moment meets both, and reports medians. Benchmarks in other
// packages use it and ./e2e/bench reads what they print.
package rounds

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

// Work prepares n runs of an operation and returns what does them; only that is
// measured.
type Work func(n int) (run func())

// Each is the work of an operation that needs no preparation.
func Each(f func()) Work {
	return func(n int) func() {
		return func() {
			for range n {
				f()
			}
		}
	}
}

// least is how long a round takes: browsers' clocks are coarse.
const least = 2 * time.Millisecond

// fewest is how many rounds there are at least, however busy the machine is.
const fewest = 15

// Compare reports the medians over rounds of own (ns/op) and of reference
// (reference-ns/op), the median of their ratios in each round (ratio), and what
// own allocates (allocs/op, B/op).
func Compare(b *testing.B, own, reference Work) {
	b.Helper()
	b.ReportAllocs()     // prints them
	calibrate(reference) // browsers compile again what is used much
	n := calibrate(own)
	var mine, theirs, ratios []float64
	round := func() {
		first, second := own, reference
		swapped := len(mine)%2 == 1
		if swapped {
			first, second = reference, own
		}
		x, y := timed(first, n), timed(second, n)
		if swapped {
			x, y = y, x
		}
		mine, theirs, ratios = append(mine, x), append(theirs, y), append(ratios, x/y)
	}
	for b.Loop() {
		round()
	}
	for len(mine) < fewest {
		round()
	}
	allocs, bytes := allocations(own, min(100, 10*n))
	b.ReportMetric(Median(mine), "ns/op")
	b.ReportMetric(Median(theirs), "reference-ns/op")
	b.ReportMetric(Median(ratios), "ratio")
	b.ReportMetric(allocs, "allocs/op")
	b.ReportMetric(bytes, "B/op")
}

// calibrate returns how many runs make a round. The best of three tries counts,
// lest a busy moment make rounds short.
func calibrate(work Work) int {
	for n := 1; ; n *= 2 {
		best := min(timed(work, n), timed(work, n), timed(work, n))
		if best*float64(n) >= float64(least) {
			return n
		}
	}
}

// timed returns nanoseconds per run.
func timed(work Work, n int) float64 {
	run := work(n)
	start := time.Now()
	run()
	return float64(time.Since(start)) / float64(n)
}

// allocations returns how many allocations a run makes and of how many bytes.
func allocations(work Work, runs int) (count, bytes float64) {
	run := work(runs)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(runs), float64(after.TotalAlloc-before.TotalAlloc) / float64(runs)
}

// Median sorts list and returns its median, 0 for an empty one.
func Median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}

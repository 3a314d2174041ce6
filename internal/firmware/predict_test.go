package firmware

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestProactive(t *testing.T) {
	for _, c := range []struct {
		k    int
		loss float64
		want int
	}{{64, 0, 0}, {64, 0.01, 3}, {64, 0.05, 7}, {64, 0.2, 24}, {1, 0.05, 1}, {64, 0.9, Proactive(64, 0.5)}} {
		if got := Proactive(c.k, c.loss); got != c.want {
			t.Errorf("%d blocks, loss %g: %d, want %d", c.k, c.loss, got, c.want)
		}
	}
}

// The bound is what drawing lots gives.
func TestBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, crowds := range [][]Crowd{{{1, 0.05}}, {{10, 0.2}}, {{100, 0.05}}, {{95, 0.01}, {5, 0.3}}} {
		const k, runs = 50, 2000
		sum := 0.0
		for range runs {
			most := 0
			for _, c := range crowds {
				for range c.N {
					sent := 0
					for got := 0; got < k; sent++ {
						if rng.Float64() >= c.Loss {
							got++
						}
					}
					most = max(most, sent)
				}
			}
			sum += float64(most)
		}
		if got, want := Bound(k, crowds...), sum/runs; math.Abs(got-want) > 0.25 {
			t.Errorf("%v: %.2f, drawn %.2f", crowds, got, want)
		}
	}
	if got := Bound(256, Crowd{100, 0}); got != 256 {
		t.Errorf("without loss: %g", got)
	}
	if got := AtLeast(64, 200, Crowd{100, 0.05}); got < 200 || got > 200.001 {
		t.Errorf("at least 200: %g", got)
	}
	// As computed in the design: 280 KiB of 256 for 100 receivers at 5 %.
	if got := Bound(256, Crowd{100, 0.05}); got < 279 || got > 281 {
		t.Errorf("256 blocks to 100 receivers: %g", got)
	}
	if got := Bound(100_000, Crowd{1000, 0.2}); math.IsNaN(got) || got < 125_000 || got > 127_000 {
		t.Errorf("100,000 blocks: %g", got)
	}
}

func TestPredict(t *testing.T) {
	l := Layout{Size: 256 << 10, Block: 1024, K: 64}
	p := l.Predict(100, 0.05, 50_000)
	if p.Blocks < 285 || p.Blocks > 300 || p.Seconds < 50 || p.Seconds > 60 || p.UnicastSeconds < 70*60 || p.UnicastSeconds > 100*60 {
		t.Errorf("%+v", p)
	}
	if more := l.Predict(100, 0.2, 50_000); more.Bytes <= p.Bytes || more.UnicastBytes <= p.UnicastBytes {
		t.Errorf("more loss costs less: %+v", more)
	}
	if none := (Layout{}).Predict(100, 0, 1); none != (Prediction{}) {
		t.Errorf("%+v", none)
	}
	if none := l.Predict(0, 0, 1); none != (Prediction{}) {
		t.Errorf("%+v", none)
	}
	if all := l.Predict(100, 1, 0); all.Blocks == 0 || all.Seconds != 0 {
		t.Errorf("%+v", all)
	}
}

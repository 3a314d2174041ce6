package proxy

import "time"

// bucket is a token bucket that holds two seconds' worth.
type bucket struct {
	rate  float64 // a second
	level float64
	last  time.Time
}

func newBucket(rate float64, now time.Time) bucket {
	return bucket{rate: rate, level: burst(rate), last: now}
}

func burst(rate float64) float64 { return max(2*rate, 1) }

// allow takes one out, if there is one.
func (b *bucket) allow(now time.Time) bool {
	b.level = min(b.level+b.rate*now.Sub(b.last).Seconds(), burst(b.rate))
	b.last = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

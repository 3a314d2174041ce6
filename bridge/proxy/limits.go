package proxy

import "time"

// bucket is a token bucket.
type bucket struct {
	rate  float64 // a second
	size  float64
	level float64
	last  time.Time
}

// newBucket makes one that holds two seconds' worth.
func newBucket(rate float64, now time.Time) bucket {
	return fullBucket(rate, max(2*rate, 1), now)
}

func fullBucket(rate, size float64, now time.Time) bucket {
	return bucket{rate: rate, size: size, level: size, last: now}
}

// allow takes one out, if there is one.
func (b *bucket) allow(now time.Time) bool {
	b.level = min(b.level+b.rate*now.Sub(b.last).Seconds(), b.size)
	b.last = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

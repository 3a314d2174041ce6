package device

import "time"

// bucket limits how often something is done: burst at once, then one an
// interval.
type bucket struct {
	burst int
	every time.Duration

	used int
	last time.Time // when used was last lowered
}

// take reports whether it may be done now, and counts it.
func (b *bucket) take(now time.Time) bool {
	if back := int(now.Sub(b.last) / b.every); back > 0 {
		b.used = max(0, b.used-back)
		b.last = b.last.Add(time.Duration(back) * b.every)
	}
	if b.used == 0 || now.Before(b.last) { // idle, or the clock was set back
		b.last = now
	}
	if b.used >= b.burst {
		return false
	}
	b.used++
	return true
}

// absences remembers for a while what the Group Manager did not know, so that
// made-up identifiers cost nothing twice.
type absences map[string]time.Time // when it may be asked again

const (
	absentFor  = 30 * time.Second
	maxAbsent  = 128
	absentGID  = "gid "
	absentPeer = "kid "
)

func (a absences) add(what string, now time.Time) {
	if len(a) >= maxAbsent {
		for k := range a {
			if !a.has(k, now) {
				delete(a, k)
			}
		}
	}
	if len(a) < maxAbsent { // else only the rate limit holds
		a[what] = now.Add(absentFor)
	}
}

// has is about the next half minute: what is said to be absent for longer was noted
// before the clock was set back.
func (a absences) has(what string, now time.Time) bool {
	wait := a[what].Sub(now)
	return wait > 0 && wait <= absentFor
}

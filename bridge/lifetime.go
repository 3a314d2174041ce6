package main

import (
	"fmt"
	"strconv"
	"time"
)

// lifetime is how long something lasts, as an operator writes it: 7d, 2w, 36h,
// 90m. Days are of 24 hours.
type lifetime time.Duration

const (
	day         = 24 * time.Hour
	maxLifetime = 365 * day
)

// UnmarshalText reads a number of weeks, days, or what [time.ParseDuration]
// takes.
func (l *lifetime) UnmarshalText(text []byte) error {
	d, err := parseLifetime(string(text))
	if err != nil {
		return err
	}
	*l = lifetime(d)
	return nil
}

func parseLifetime(s string) (time.Duration, error) {
	var d time.Duration
	var err error
	if unit := unitOf(s); unit != 0 {
		var n uint64
		n, err = strconv.ParseUint(s[:len(s)-1], 10, 16)
		d = time.Duration(n) * unit
	} else {
		d, err = time.ParseDuration(s)
	}
	if err != nil || d < time.Minute || d > maxLifetime {
		return 0, fmt.Errorf("%q is no time such as 7d, 2w, 36h or 90m, from a minute to a year", s)
	}
	return d, nil
}

// unitOf returns the length of days and weeks, which package time does not know.
func unitOf(s string) time.Duration {
	if s == "" {
		return 0
	}
	switch s[len(s)-1] {
	case 'd':
		return day
	case 'w':
		return 7 * day
	}
	return 0
}

// String writes the lifetime in the largest unit that is whole.
func (l lifetime) String() string {
	d := time.Duration(l)
	if d > 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

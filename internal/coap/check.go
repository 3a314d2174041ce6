package coap

import (
	"errors"
	"fmt"
)

// ErrBadOption tells that a critical option is unknown or illegal: 4.02.
var ErrBadOption = errors.New("critical option not understood")

type optionRule struct {
	min, max   int
	repeatable bool
}

// rules holds length and repetition of the options that a server here
// understands. RFC 7252, Table 4; RFC 8613, Section 2; RFC 9175; RFC 7959.
// If-Match, If-None-Match and the block options are left out: a server that
// does not act on them must not pretend to.
var rules = map[OptionID]optionRule{
	OptionURIHost:          {min: 1, max: 255},
	OptionURIPort:          {max: 2},
	OptionOSCORE:           {max: 255},
	OptionURIPath:          {max: 255, repeatable: true},
	OptionURIQuery:         {max: 255, repeatable: true},
	OptionAccept:           {max: 2},
	OptionETag:             {min: 1, max: 8, repeatable: true},
	OptionObserve:          {max: 3},
	OptionLocationPath:     {max: 255, repeatable: true},
	OptionContentFormat:    {max: 2},
	OptionMaxAge:           {max: 4},
	OptionHopLimit:         {min: 1, max: 1},
	OptionLocationQuery:    {max: 255, repeatable: true},
	OptionSize2:            {max: 4},
	OptionSize1:            {max: 4},
	OptionEcho:             {min: 1, max: 40},
	OptionNoResponse:       {max: 1},
	OptionRequestTag:       {max: 8, repeatable: true},
	OptionMulticastTimeout: {max: 4},
	OptionGroupETag:        {min: 1, max: 8, repeatable: true},
	OptionReplyFrom:        {min: 5, max: 1034},
}

// CheckOptions takes elective options of illegal length or surplus number off m
// and returns an error that wraps [ErrBadOption] when a critical one is unknown,
// of illegal length or repeated. RFC 7252, Sections 5.4.1, 5.4.3 and 5.4.5.
func CheckOptions(m *Message) error {
	var previous OptionID
	for i := 0; i < len(m.Options); i++ {
		o := m.Options[i]
		rule, known := rules[o.ID]
		legal := known && len(o.Value) >= rule.min && len(o.Value) <= rule.max &&
			(i == 0 || o.ID != previous || rule.repeatable)
		previous = o.ID
		switch {
		case legal, !known && !Critical(o.ID):
		case Critical(o.ID):
			return fmt.Errorf("%w: number %d", ErrBadOption, o.ID)
		default:
			m.Options = append(m.Options[:i:i], m.Options[i+1:]...)
			i--
		}
	}
	return nil
}

// Critical reports whether a receiver must understand the option. RFC 7252,
// Section 5.4.6.
func Critical(id OptionID) bool { return id&1 != 0 }

// Unsafe reports whether a proxy must understand the option to forward it.
// RFC 7252, Section 5.4.6.
func Unsafe(id OptionID) bool { return id&2 != 0 }

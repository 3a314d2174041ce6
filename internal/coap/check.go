package coap

import (
	"errors"
	"fmt"
	"slices"
)

// ErrBadOption tells that a critical option is unknown or illegal: 4.02.
var ErrBadOption = errors.New("critical option not understood")

type optionRule struct {
	min, max   int
	repeatable bool
}

// rules holds length and repetition of the options that a server here
// understands. RFC 7252, Table 4; RFC 8613, Section 2; RFC 9175; RFC 7959.
// If-None-Match is left out: a server that does not act on it must not pretend
// to. The block options are understood only where somebody does block-wise
// transfers, and If-Match where a handler says so.
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

// blockRule is the rule of the block options. RFC 7959, Section 2.1.
var blockRule = optionRule{max: maxBlockOption}

// ifMatchRule is the rule of If-Match. RFC 7252, Section 5.10.8.1.
var ifMatchRule = optionRule{max: 8, repeatable: true}

// CheckOptions takes elective options of illegal length or surplus number off m
// and returns an error that wraps [ErrBadOption] when a critical one is unknown,
// of illegal length or repeated. RFC 7252, Sections 5.4.1, 5.4.3 and 5.4.5.
func CheckOptions(m *Message) error {
	return checkOptions(m, func(OptionID) bool { return false })
}

// An understanding handler acts on critical options that most do not know.
type understanding interface{ Understands(id OptionID) bool }

// Understands reports whether h acts on an option that most handlers do not
// know: [BlockServer.Wrap] makes handlers that understand the block options,
// [Understanding] those that understand others.
func Understands(h Handler, id OptionID) bool {
	u, ok := h.(understanding)
	return ok && u.Understands(id)
}

// Understanding is h for requests with options that most handlers do not know and h
// acts on.
func Understanding(h Handler, ids ...OptionID) Handler { return &understandingHandler{h, ids} }

type understandingHandler struct {
	Handler
	ids []OptionID
}

// Understands implements what [Understands] asks for.
func (h *understandingHandler) Understands(id OptionID) bool {
	return slices.Contains(h.ids, id) || Understands(h.Handler, id)
}

// CheckRequestOptions is [CheckOptions] for a request that h is to answer.
func CheckRequestOptions(h Handler, m *Message) error {
	return checkOptions(m, func(id OptionID) bool { return Understands(h, id) })
}

// checkOptions is [CheckOptions] for who understands further options.
func checkOptions(m *Message, understands func(OptionID) bool) error {
	var previous OptionID
	for i := 0; i < len(m.Options); i++ {
		o := m.Options[i]
		rule, known := rules[o.ID]
		if anyBlock(o.ID) && understands(o.ID) {
			rule, known = blockRule, true
		} else if o.ID == OptionIfMatch && understands(o.ID) {
			rule, known = ifMatchRule, true
		}
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

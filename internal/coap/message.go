package coap

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/plgd-dev/go-coap/v3/message"
)

// NewRequest makes a request for a path with an optional query, such as
// "/ll/id?x=y". Segments are taken as they stand: nothing is percent-decoded.
func NewRequest(code Code, path string, payload []byte) *Message {
	m := &Message{Code: code, Payload: payload, Type: message.Unset, MessageID: -1}
	path, query, hasQuery := strings.Cut(path, "?")
	for s := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if path != "" && path != "/" {
			AddOption(m, OptionURIPath, []byte(s))
		}
	}
	if hasQuery {
		for s := range strings.SplitSeq(query, "&") {
			AddOption(m, OptionURIQuery, []byte(s))
		}
	}
	return m
}

// Respond makes a response. A contentFormat of [NoFormat] leaves the option out.
func Respond(code Code, contentFormat int, payload []byte) *Message {
	m := &Message{Code: code, Payload: payload, Type: message.Unset, MessageID: -1}
	if contentFormat >= 0 {
		AddUint(m, OptionContentFormat, uint32(contentFormat))
	}
	return m
}

// Problem makes an error response with a diagnostic payload: one sentence in
// UTF-8 for a person. RFC 7252, Section 5.5.2.
func Problem(code Code, diagnostic string) *Message {
	return Respond(code, NoFormat, []byte(diagnostic))
}

// NoResponses is the value of the No-Response Option that asks for no answer of any
// class. RFC 7967, Section 2.1.
const NoResponses = 2 | 8 | 16

// Unwanted reports whether a request asks not to be answered with a code of that
// class, by the No-Response Option. RFC 7967, Section 2.1.
func Unwanted(req *Message, code Code) bool {
	classes, _ := OptionUint(req, OptionNoResponse)
	return Class(code) > 0 && classes>>(Class(code)-1)&1 != 0
}

// Path returns the path of a request, such as "/ll/id"; "/" when it has none.
func Path(m *Message) string {
	var b strings.Builder
	for v := range Each(m, OptionURIPath) {
		b.WriteByte('/')
		b.Write(v)
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// Query returns the value of the query parameter "name=…" and whether it was there.
func Query(m *Message, name string) (string, bool) {
	for v := range Each(m, OptionURIQuery) {
		if key, value, _ := strings.Cut(string(v), "="); key == name {
			return value, true
		}
	}
	return "", false
}

// ContentFormat returns the Content-Format and whether the message has one.
func ContentFormat(m *Message) (int, bool) {
	v, ok := OptionUint(m, OptionContentFormat)
	return int(v), ok
}

// Each yields the values of an option in order.
func Each(m *Message, id OptionID) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for _, o := range m.Options {
			if o.ID == id && !yield(o.Value) {
				return
			}
		}
	}
}

// GetOption returns the value of the first option with the number id; nil when
// there is none (an empty value is not nil).
func GetOption(m *Message, id OptionID) []byte {
	for _, o := range m.Options {
		if o.ID == id {
			if o.Value == nil {
				return []byte{}
			}
			return o.Value
		}
	}
	return nil
}

// HasOption reports whether the option is present.
func HasOption(m *Message, id OptionID) bool { return GetOption(m, id) != nil }

// OptionUint returns an option of format uint and whether it was present and at
// most four bytes long.
func OptionUint(m *Message, id OptionID) (uint32, bool) {
	v := GetOption(m, id)
	if v == nil || len(v) > 4 {
		return 0, false
	}
	var n uint32
	for _, b := range v {
		n = n<<8 | uint32(b)
	}
	return n, true
}

// AddOption adds an option behind those with the same number. Messages that
// share m's options are not touched.
func AddOption(m *Message, id OptionID, value []byte) {
	at := len(m.Options)
	for at > 0 && m.Options[at-1].ID > id {
		at--
	}
	m.Options = slices.Insert(slices.Clip(m.Options), at, Option{ID: id, Value: value})
}

// AddUint adds an option of format uint in its shortest form. RFC 7252, Section 3.2.
func AddUint(m *Message, id OptionID, v uint32) { AddOption(m, id, EncodeUint(v)) }

// EncodeUint encodes an option value of format uint. RFC 7252, Section 3.2.
func EncodeUint(v uint32) []byte {
	b := []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// SetOption replaces all options with the number id by one.
func SetOption(m *Message, id OptionID, value []byte) {
	RemoveOption(m, id)
	AddOption(m, id, value)
}

// RemoveOption takes all options with the number id off. Messages that share
// m's options are not touched.
func RemoveOption(m *Message, id OptionID) {
	if !HasOption(m, id) {
		return
	}
	kept := make(Options, 0, len(m.Options))
	for _, o := range m.Options {
		if o.ID != id {
			kept = append(kept, o)
		}
	}
	m.Options = kept
}

// Clone copies a message so that options can be added to the copy. The bytes of
// token, option values and payload are shared.
func Clone(m *Message) *Message {
	c := *m
	c.Options = slices.Clone(m.Options)
	return &c
}

// ResponseError is a response with an error code.
type ResponseError struct {
	Code       Code
	Diagnostic string   // the diagnostic payload, when it is one
	Message    *Message // the whole response
}

// Error gives the code and what the peer said.
func (e *ResponseError) Error() string {
	if e.Diagnostic == "" {
		return "the peer answered " + CodeString(e.Code)
	}
	return fmt.Sprintf("the peer answered %s (%s)", CodeString(e.Code), e.Diagnostic)
}

// CheckResponse returns a [*ResponseError] when m is no success.
func CheckResponse(m *Message) error {
	if Class(m.Code) == 2 {
		return nil
	}
	e := &ResponseError{Code: m.Code, Message: m}
	const longest = 300
	if _, has := ContentFormat(m); !has && len(m.Payload) <= longest && printable(m.Payload) {
		e.Diagnostic = string(m.Payload)
	}
	return e
}

func printable(b []byte) bool {
	return utf8.Valid(b) && !slices.ContainsFunc([]rune(string(b)), func(r rune) bool { return r < ' ' || r == 0x7f })
}

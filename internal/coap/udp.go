package coap

import (
	"errors"
	"fmt"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
)

// maxOptions bounds the options of one message.
const maxOptions = 256

// Message types of RFC 7252, Section 4.
const (
	Confirmable     = message.Confirmable
	NonConfirmable  = message.NonConfirmable
	Acknowledgement = message.Acknowledgement
	Reset           = message.Reset
)

// MarshalUDP encodes a message with its type and message ID as one datagram.
//
//	 0                   1                   2                   3
//	|Ver| T |  TKL  |      Code     |          Message ID           |
//	|   Token   |   Options   |1 1 1 1 1 1 1 1|    Payload          |
//
// RFC 7252, Section 3.
func MarshalUDP(m *Message) ([]byte, error) { return AppendUDP(nil, m) }

// AppendUDP appends the datagram of m to dst.
func AppendUDP(dst []byte, m *Message) ([]byte, error) {
	size, err := coder.DefaultCoder.Size(*m)
	if err != nil {
		return dst, fmt.Errorf("encoding a datagram: %w", err)
	}
	n := len(dst)
	dst = append(dst, make([]byte, size)...)
	if _, err := coder.DefaultCoder.Encode(*m, dst[n:]); err != nil {
		return dst[:n], fmt.Errorf("encoding a datagram: %w", err)
	}
	return dst, nil
}

// UnmarshalUDP decodes one datagram. The message shares b's memory. Errors wrap
// [ErrDecode]. RFC 7252, Sections 3 and 4.1.
func UnmarshalUDP(b []byte) (*Message, error) {
	m := &Message{}
	err := withRoom(m, func() error {
		_, err := coder.DefaultCoder.Decode(b, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDecode, err)
	}
	if m.Code == Empty && len(b) > 4 {
		return nil, fmt.Errorf("%w: an empty message with content", ErrDecode)
	}
	return m, nil
}

// withRoom runs decode with more and more room for options, because go-coap
// does not grow them.
func withRoom(m *Message, decode func() error) error {
	for room := 16; room <= maxOptions; room *= 4 {
		m.Options = make(Options, 0, room)
		if err := decode(); !errors.Is(err, message.ErrOptionsTooSmall) {
			return err
		}
	}
	return errors.New("too many options")
}

package coap

import (
	"errors"
	"fmt"

	"github.com/plgd-dev/go-coap/v3/message"
)

// What a CoAP-over-WebSockets connection is opened with. RFC 8323, Section 4.
const (
	WSPath        = "/.well-known/coap"
	WSSubprotocol = "coap"
)

// BaseMessageSize is what a peer accepts before it has sent a CSM. RFC 8323,
// Section 5.3.1.
const BaseMessageSize = 1152

// CoAP Signaling Option Numbers (IANA, CoRE Parameters); each belongs to one code.
const (
	CSMMaxMessageSize    OptionID = 2 // uint32, octets
	CSMBlockWiseTransfer OptionID = 4 // empty
	PingCustody          OptionID = 2 // empty; Pong too
	ReleaseAltAddress    OptionID = 2 // string, 1-255
	ReleaseHoldOff       OptionID = 4 // uint, seconds
	AbortBadCSMOption    OptionID = 2 // uint16
)

// MarshalWS encodes a message as the content of one binary WebSocket message.
// Type and message ID do not exist there.
//
//	|0 0 0 0|  TKL  |      Code     |   Token   |   Options   |1 1 1 1 1 1 1 1| Payload
//
// RFC 8323, Section 4.2.
func MarshalWS(m *Message) ([]byte, error) { return AppendWS(nil, m) }

// AppendWS appends the frame of m to dst.
func AppendWS(dst []byte, m *Message) ([]byte, error) {
	if len(m.Token) > message.MaxTokenSize || m.Code > 0xff {
		return dst, fmt.Errorf("encoding a frame: token or code too long")
	}
	size, err := m.Options.Marshal(nil)
	if err != nil && !errors.Is(err, message.ErrTooSmall) {
		return dst, fmt.Errorf("encoding a frame: %w", err)
	}
	dst = append(dst, byte(len(m.Token)), byte(m.Code))
	dst = append(dst, m.Token...)
	n := len(dst)
	dst = append(dst, make([]byte, size)...)
	if _, err := m.Options.Marshal(dst[n:]); err != nil {
		return dst[:n], fmt.Errorf("encoding a frame: %w", err)
	}
	if len(m.Payload) > 0 {
		dst = append(append(dst, 0xff), m.Payload...)
	}
	return dst, nil
}

// UnmarshalWS decodes the content of one binary WebSocket message. The message
// shares b's memory. Errors wrap [ErrDecode]. RFC 8323, Section 4.2.
func UnmarshalWS(b []byte) (*Message, error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("%w: frame too short", ErrDecode)
	}
	tkl := int(b[0] & 0x0f)
	if b[0]>>4 != 0 || tkl > message.MaxTokenSize || len(b) < 2+tkl {
		return nil, fmt.Errorf("%w: bad length or token length", ErrDecode)
	}
	m := &Message{Code: Code(b[1]), Type: message.Unset, MessageID: -1}
	if tkl > 0 {
		m.Token = Token(b[2 : 2+tkl])
	}
	rest := b[2+tkl:]
	defs := message.CoapOptionDefs
	if Class(m.Code) == 7 {
		defs = nil // signaling options have numbers of their own: keep all
	}
	var n int
	err := withRoom(m, func() (err error) {
		n, err = m.Options.Unmarshal(rest, defs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDecode, err)
	}
	if n < len(rest) {
		m.Payload = rest[n:]
	}
	return m, nil
}

// NewCSM makes the Capabilities and Settings Message that opens a connection.
// RFC 8323, Section 5.3.
func NewCSM(maxMessageSize uint32) *Message {
	m := &Message{Code: CSM, Type: message.Unset, MessageID: -1}
	AddUint(m, CSMMaxMessageSize, maxMessageSize)
	AddOption(m, CSMBlockWiseTransfer, nil)
	return m
}

// NewAbort makes the message that ends a connection on an error. badOption is
// the CSM option that was not understood, 0 when that was not the reason.
// RFC 8323, Section 5.6.
func NewAbort(badOption OptionID, diagnostic string) *Message {
	m := &Message{Code: Abort, Payload: []byte(diagnostic), Type: message.Unset, MessageID: -1}
	if badOption != 0 {
		AddUint(m, AbortBadCSMOption, uint32(badOption))
	}
	return m
}

// Settings is what a peer's CSMs have said so far.
type Settings struct {
	MaxMessageSize uint32 // largest message that the peer takes, in octets
	BlockWise      bool   // it supports block-wise transfer (RFC 7959) and BERT
}

// DefaultSettings holds before the first CSM.
var DefaultSettings = Settings{MaxMessageSize: BaseMessageSize}

// Apply takes a CSM in; options that it leaves out keep their value. The number
// of a critical option that is unknown is returned with an error: the
// connection is then to be aborted. RFC 8323, Section 5.3.
func (s *Settings) Apply(csm *Message) (bad OptionID, err error) {
	if v, ok := OptionUint(csm, CSMMaxMessageSize); ok {
		s.MaxMessageSize = max(v, BaseMessageSize)
	}
	if HasOption(csm, CSMBlockWiseTransfer) {
		s.BlockWise = true
	}
	return SignalOption(csm)
}

// SignalOption returns the first critical option of a signaling message, with an
// error: none is defined. RFC 8323, Section 5.2.
func SignalOption(m *Message) (bad OptionID, err error) {
	for _, o := range m.Options {
		if Critical(o.ID) {
			return o.ID, fmt.Errorf("%w: signaling option %d", ErrBadOption, o.ID)
		}
	}
	return 0, nil
}

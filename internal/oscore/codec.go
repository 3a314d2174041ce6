package oscore

import (
	"fmt"

	"lamplighter/internal/coap"
)

// The plaintext is Code (1 byte) | options | 0xff | payload, with the options
// and the payload marker encoded as in a CoAP message. RFC 8613, Section 5.3.

const payloadMarker = 0xff

// appendCoAPOption appends one option in the format of RFC 7252, Section 3.1.
func appendCoAPOption(dst []byte, delta coap.OptionID, value []byte) []byte {
	d, dExt, dLen := extended(int(delta))
	l, lExt, lLen := extended(len(value))
	dst = append(dst, d<<4|l)
	dst = append(dst, dExt[2-dLen:]...)
	dst = append(dst, lExt[2-lLen:]...)
	return append(dst, value...)
}

// extended returns the nibble for n and, right-aligned, its extension bytes.
func extended(n int) (nibble byte, ext [2]byte, size int) {
	switch {
	case n < 13:
		return byte(n), ext, 0
	case n < 269:
		ext[1] = byte(n - 13)
		return 13, ext, 1
	}
	n -= 269
	return 14, [2]byte{byte(n >> 8), byte(n)}, 2
}

// maxOptions bounds the memory that a plaintext can ask for: an option takes one
// byte in it, and 32 in a message. No message of CoAP comes near.
const maxOptions = 256

// parsePlaintext reads a plaintext into room. The message shares its memory.
func parsePlaintext(b []byte, room *Room) (*coap.Message, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty plaintext", ErrDecode)
	}
	room.message = coap.Message{Code: coap.Code(b[0])}
	options := room.options[:0]
	rest := b[1:]
	id := 0
	for len(rest) > 0 && rest[0] != payloadMarker {
		delta, length, tail, ok := parseOptionHead(rest)
		id += delta
		if !ok || id > 0xffff || len(tail) < length || len(options) == maxOptions {
			return nil, fmt.Errorf("%w: options", ErrDecode)
		}
		options = append(options, coap.Option{ID: coap.OptionID(id), Value: tail[:length:length]})
		rest = tail[length:]
	}
	if len(rest) == 1 {
		return nil, fmt.Errorf("%w: payload marker without payload", ErrDecode)
	}
	m := &room.message
	if len(options) > 0 {
		m.Options = options
	}
	if len(rest) > 0 {
		m.Payload = rest[1:]
	}
	return m, nil
}

func parseOptionHead(b []byte) (delta, length int, rest []byte, ok bool) {
	head, rest := b[0], b[1:]
	delta, rest, ok = parseExtended(head>>4, rest)
	if !ok {
		return 0, 0, nil, false
	}
	length, rest, ok = parseExtended(head&0x0f, rest)
	return delta, length, rest, ok
}

func parseExtended(nibble byte, b []byte) (n int, rest []byte, ok bool) {
	switch {
	case nibble < 13:
		return int(nibble), b, true
	case nibble == 13 && len(b) >= 1:
		return int(b[0]) + 13, b[1:], true
	case nibble == 14 && len(b) >= 2:
		return int(b[0])<<8 + int(b[1]) + 269, b[2:], true
	}
	return 0, nil, false
}

//go:build !js

package endpoint

import "encoding/binary"

// Content types of records. RFC 5246, Section 6.2.1.
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordApplicationData  = 23
)

// Handshake types. RFC 5246, Section 7.4.
const (
	handshakeClientHello = 1
	handshakeServerHello = 2
)

// Alerts. RFC 5246, Section 7.2.
const (
	alertFatal            = 2
	alertIllegalParameter = 47
	alertInternalError    = 80
)

const (
	recordHeaderLen    = 13
	handshakeHeaderLen = 12
	helloRandomLen     = 32
	dtls10, dtls12     = 0xfeff, 0xfefd
)

// record is one DTLS record as it stands in a datagram. RFC 6347, Section 4.1.
//
//	ContentType 1 | ProtocolVersion 2 | epoch 2 | sequence_number 6 | length 2 | fragment
type record struct {
	kind  byte
	epoch uint16
	body  []byte
}

// eachRecord calls fn for the records of a datagram. It reports whether the
// datagram is nothing but records and fn has said yes to all of them.
func eachRecord(b []byte, fn func(record) bool) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		if len(b) < recordHeaderLen {
			return false
		}
		version := binary.BigEndian.Uint16(b[1:])
		n := int(binary.BigEndian.Uint16(b[11:]))
		if version != dtls10 && version != dtls12 || n > len(b)-recordHeaderLen {
			return false
		}
		r := record{b[0], binary.BigEndian.Uint16(b[3:]), b[recordHeaderLen : recordHeaderLen+n]}
		if !fn(r) {
			return false
		}
		b = b[recordHeaderLen+n:]
	}
	return true
}

// first returns the first record of a datagram, the zero value when there is none.
func first(b []byte) (r record) {
	eachRecord(b, func(it record) bool {
		r = it
		return false
	})
	return r
}

// isHandshake says whether r begins a plain handshake message of this type.
func (r record) isHandshake(kind byte) bool {
	return r.kind == recordHandshake && r.epoch == 0 && len(r.body) > handshakeHeaderLen && r.body[0] == kind
}

// helloRandom returns what tells the ClientHellos of different handshakes apart:
// the repetition with the cookie has the same. RFC 6347, Section 4.2.1.
func helloRandom(b []byte) (random [helloRandomLen]byte, ok bool) {
	const at = handshakeHeaderLen + 2 // client_version
	r := first(b)
	if !r.isHandshake(handshakeClientHello) || len(r.body) < at+helloRandomLen ||
		r.body[6] != 0 || r.body[7] != 0 || r.body[8] != 0 { // fragment_offset
		return random, false
	}
	return [helloRandomLen]byte(r.body[at:]), true
}

// plainAlert returns the description of a fatal alert that is not protected.
func plainAlert(b []byte) (description byte, ok bool) {
	r := first(b)
	if r.kind != recordAlert || r.epoch != 0 || len(r.body) != 2 || r.body[0] != alertFatal {
		return 0, false
	}
	return r.body[1], true
}

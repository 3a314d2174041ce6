package coap

import "github.com/plgd-dev/go-coap/v3/message"

// CoAP Option Numbers that go-coap does not name (IANA, CoRE Parameters).
const (
	OptionOSCORE OptionID = 9 // RFC 8613
)

// Provisional: draft-ietf-core-groupcomm-proxy-07, Sections 2 to 4.
const (
	OptionMulticastTimeout OptionID = 2   // uint32, seconds
	OptionGroupETag        OptionID = 24  // opaque, 1-8 bytes
	OptionReplyFrom        OptionID = 248 // CBOR sequence of CRIs, 5-1034 bytes
)

// go-coap drops options of a length that it does not allow, so every length is
// registered as legal here and checked by [CheckOptions].
func init() {
	const anyLength = 65535
	for id, def := range message.CoapOptionDefs {
		def.MinLen, def.MaxLen = 0, anyLength
		message.CoapOptionDefs[id] = def
	}
	for _, id := range []OptionID{OptionOSCORE, OptionReplyFrom, OptionGroupETag} {
		message.CoapOptionDefs[id] = message.OptionDef{MaxLen: anyLength, ValueFormat: message.ValueOpaque}
	}
	message.CoapOptionDefs[OptionMulticastTimeout] = message.OptionDef{MaxLen: anyLength, ValueFormat: message.ValueUint}
}

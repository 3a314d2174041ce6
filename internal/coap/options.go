package coap

import "github.com/plgd-dev/go-coap/v3/message"

// CoAP Option Numbers (IANA, CoRE Parameters).
const (
	OptionIfMatch       = message.IfMatch
	OptionURIHost       = message.URIHost
	OptionETag          = message.ETag
	OptionIfNoneMatch   = message.IfNoneMatch
	OptionObserve       = message.Observe
	OptionURIPort       = message.URIPort
	OptionLocationPath  = message.LocationPath
	OptionOSCORE        = OptionID(9) // RFC 8613
	OptionURIPath       = message.URIPath
	OptionContentFormat = message.ContentFormat
	OptionMaxAge        = message.MaxAge
	OptionURIQuery      = message.URIQuery
	OptionHopLimit      = OptionID(16) // RFC 8768
	OptionAccept        = message.Accept
	OptionQBlock1       = message.QBlock1
	OptionLocationQuery = message.LocationQuery
	OptionEDHOC         = OptionID(21) // RFC 9668
	OptionBlock2        = message.Block2
	OptionBlock1        = message.Block1
	OptionSize2         = message.Size2
	OptionQBlock2       = message.QBlock2
	OptionProxyURI      = message.ProxyURI
	OptionProxyScheme   = message.ProxyScheme
	OptionSize1         = message.Size1
	OptionEcho          = message.Echo // RFC 9175
	OptionNoResponse    = message.NoResponse
	OptionRequestTag    = message.RequestTag
)

// Provisional: draft-ietf-core-groupcomm-proxy-07, Sections 2 to 4.
const (
	OptionMulticastTimeout OptionID = 2   // uint32, seconds
	OptionGroupETag        OptionID = 24  // opaque, 1-8 bytes
	OptionReplyFrom        OptionID = 248 // CBOR sequence of CRIs, 5-1034 bytes
)

// CoAP Content-Formats (IANA, CoRE Parameters) that more than one package uses.
const (
	FormatText = 0  // text/plain; charset=utf-8
	FormatLink = 40 // application/link-format
	FormatCBOR = 60 // application/cbor
	NoFormat   = -1 // no Content-Format Option
)

// go-coap drops elective options of a length that it does not allow, so every
// length is registered as legal here and checked by [CheckOptions].
func init() {
	const anyLength = 65535
	for id, def := range message.CoapOptionDefs {
		def.MinLen, def.MaxLen = 0, anyLength
		message.CoapOptionDefs[id] = def
	}
	for _, id := range []OptionID{OptionOSCORE, OptionEDHOC, OptionReplyFrom, OptionGroupETag} {
		message.CoapOptionDefs[id] = message.OptionDef{MaxLen: anyLength, ValueFormat: message.ValueOpaque}
	}
	for _, id := range []OptionID{OptionMulticastTimeout, OptionHopLimit} {
		message.CoapOptionDefs[id] = message.OptionDef{MaxLen: anyLength, ValueFormat: message.ValueUint}
	}
}

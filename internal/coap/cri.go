package coap

import (
	"fmt"
	"net/netip"

	"lamplighter/internal/cbor"
)

// DefaultPort is the port of the coap scheme. RFC 7252, Section 6.1.
const DefaultPort = 5683

// schemeCOAP is the scheme-id of coap: -1 minus its CRI Scheme Number 0.
// Provisional: draft-ietf-core-href, Section 5.1.1.
const schemeCOAP = -1

// replyFrom is the first element of the Reply-From Option: a CRI with scheme
// and authority only, in which the default port is left out.
//
//	[scheme-id, [host-ip, ? port]]
type replyFrom struct {
	_         struct{} `cbor:",toarray"`
	Scheme    int
	Authority []cbor.RawMessage
}

// ReplyFrom encodes the value of the Reply-From Option for a server at addr.
// draft-ietf-core-groupcomm-proxy-07, Section 3.
func ReplyFrom(addr netip.AddrPort) []byte {
	b := cbor.AppendHead(make([]byte, 0, 24), cbor.Array, 2)
	b = cbor.AppendInt(b, schemeCOAP)
	if addr.Port() == DefaultPort {
		b = cbor.AppendHead(b, cbor.Array, 1)
		return cbor.AppendBytes(b, addr.Addr().Unmap().AsSlice())
	}
	b = cbor.AppendHead(b, cbor.Array, 2)
	b = cbor.AppendBytes(b, addr.Addr().Unmap().AsSlice())
	return cbor.AppendInt(b, int64(addr.Port()))
}

// ParseReplyFrom returns the address in a Reply-From Option. A CRI reference
// behind it, which only reverse proxies send, is not looked at. Errors wrap
// [ErrDecode].
func ParseReplyFrom(value []byte) (netip.AddrPort, error) {
	var cri replyFrom
	if _, err := cbor.UnmarshalFirst(value, &cri); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: Reply-From: %w", ErrDecode, err)
	}
	if cri.Scheme != schemeCOAP || len(cri.Authority) < 1 || len(cri.Authority) > 2 {
		return netip.AddrPort{}, fmt.Errorf("%w: Reply-From is no coap address", ErrDecode)
	}
	var ip []byte
	port := uint16(DefaultPort)
	if err := cbor.Unmarshal(cri.Authority[0], &ip); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: Reply-From: %w", ErrDecode, err)
	}
	if len(cri.Authority) == 2 {
		if err := cbor.Unmarshal(cri.Authority[1], &port); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%w: Reply-From: %w", ErrDecode, err)
		}
	}
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%w: Reply-From: an address of %d bytes", ErrDecode, len(ip))
	}
	return netip.AddrPortFrom(addr, port), nil
}

package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"lamplighter/internal/coap"
)

// destination is where a request goes.
type destination struct {
	host string // an IP address or a name
	port uint16
}

// known are the options that a proxy must understand to forward them. Of these
// only Observe means something here, and it passes as it is. RFC 7252, Table 4,
// and the registry.
var known = map[coap.OptionID]bool{
	coap.OptionURIHost: true, coap.OptionURIPort: true, coap.OptionURIPath: true, coap.OptionURIQuery: true,
	coap.OptionObserve: true, coap.OptionMaxAge: true, coap.OptionBlock1: true, coap.OptionBlock2: true,
	coap.OptionQBlock1: true, coap.OptionQBlock2: true, coap.OptionProxyURI: true, coap.OptionProxyScheme: true,
	coap.OptionNoResponse: true, coap.OptionMulticastTimeout: true,
}

// unknownUnsafe reports whether m has an option that a proxy must not forward
// without understanding it. RFC 7252, Section 5.7.1.
func unknownUnsafe(m *coap.Message) bool {
	for _, o := range m.Options {
		if coap.Unsafe(o.ID) && !known[o.ID] {
			return true
		}
	}
	return false
}

// route finds out where a request goes, by Proxy-Uri or by Proxy-Scheme with
// Uri-Host and Uri-Port, and returns it as it goes there. Everything else in it
// stays untouched. RFC 7252, Sections 5.7.2 and 5.10.2.
func route(m *coap.Message) (dest destination, out *coap.Message, problem *coap.Message) {
	if unknownUnsafe(m) {
		return dest, nil, coap.Problem(coap.BadOption, "The request has an option that the bridge must not forward.")
	}
	out = coap.Clone(m)
	var err error
	switch {
	case coap.HasOption(m, coap.OptionProxyURI):
		dest, err = byURI(out)
	case coap.HasOption(m, coap.OptionProxyScheme):
		dest, err = byScheme(out)
	default:
		return dest, nil, coap.Problem(coap.NotFound, "The bridge has no resources: say where to forward the request.")
	}
	if errors.Is(err, errScheme) {
		return dest, nil, coap.Problem(coap.ProxyingNotSupported, "The bridge forwards to coap only.")
	}
	if err != nil {
		return dest, nil, coap.Problem(coap.BadRequest, err.Error())
	}
	if problem := countHop(out); problem != nil {
		return dest, nil, problem
	}
	return dest, out, nil
}

var errScheme = errors.New("another scheme than coap")

// byScheme takes Proxy-Scheme, Uri-Port and an address in Uri-Host off. A name
// in Uri-Host goes on: the server may serve several.
func byScheme(out *coap.Message) (dest destination, err error) {
	if !strings.EqualFold(string(coap.GetOption(out, coap.OptionProxyScheme)), "coap") {
		return dest, errScheme
	}
	dest.host = string(coap.GetOption(out, coap.OptionURIHost))
	if dest.port, err = portOf(out); err != nil {
		return dest, err
	}
	if err := checkHost(&dest); err != nil {
		return dest, err
	}
	coap.RemoveOption(out, coap.OptionProxyScheme)
	coap.RemoveOption(out, coap.OptionURIPort)
	if isAddress(dest.host) {
		coap.RemoveOption(out, coap.OptionURIHost)
	}
	return dest, nil
}

func portOf(m *coap.Message) (uint16, error) {
	if !coap.HasOption(m, coap.OptionURIPort) {
		return coap.DefaultPort, nil
	}
	port, ok := coap.OptionUint(m, coap.OptionURIPort)
	if !ok || port == 0 || port > 65535 {
		return 0, fmt.Errorf("Uri-Port is no port")
	}
	return uint16(port), nil
}

// byURI takes Proxy-Uri apart into options. RFC 7252, Sections 5.10.2 and 6.4.
func byURI(out *coap.Message) (destination, error) {
	u, err := parseURI(string(coap.GetOption(out, coap.OptionProxyURI)))
	if err != nil {
		return destination{}, err
	}
	for _, id := range []coap.OptionID{coap.OptionProxyURI, coap.OptionProxyScheme, coap.OptionURIHost, coap.OptionURIPort, coap.OptionURIPath, coap.OptionURIQuery} {
		coap.RemoveOption(out, id)
	}
	if !isAddress(u.host) {
		coap.AddOption(out, coap.OptionURIHost, []byte(u.host))
	}
	for _, s := range u.path {
		coap.AddOption(out, coap.OptionURIPath, []byte(s))
	}
	for _, s := range u.query {
		coap.AddOption(out, coap.OptionURIQuery, []byte(s))
	}
	return u.destination, nil
}

// coapURI is a coap URI taken apart.
type coapURI struct {
	destination
	path, query []string
}

// parseURI takes a coap URI apart. RFC 7252, Section 6.4.
func parseURI(s string) (u coapURI, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return u, fmt.Errorf("Proxy-Uri is no absolute URI with an authority")
	}
	if !strings.EqualFold(scheme, "coap") {
		return u, errScheme
	}
	if strings.ContainsAny(rest, "#@\\ ") {
		return u, fmt.Errorf("Proxy-Uri has a fragment, user information or an illegal character")
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if u.destination, err = parseAuthority(authority); err != nil {
		return u, err
	}
	if path != "" {
		if u.path, err = decodeParts(path, "/"); err != nil {
			return u, err
		}
	}
	if hasQuery {
		u.query, err = decodeParts(query, "&")
	}
	return u, err
}

func parseAuthority(s string) (dest destination, err error) {
	dest.port = coap.DefaultPort
	host, port := s, ""
	if end := strings.LastIndexByte(s, ':'); end > strings.LastIndexByte(s, ']') {
		host, port = s[:end], s[end+1:]
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return dest, fmt.Errorf("Proxy-Uri has no legal port")
		}
		dest.port = uint16(n)
	}
	if dest.host, err = url.PathUnescape(host); err != nil {
		return dest, fmt.Errorf("Proxy-Uri is badly encoded")
	}
	return dest, checkHost(&dest)
}

// checkHost takes the brackets of an IPv6 address off and refuses what is
// neither an address nor a name.
func checkHost(dest *destination) error {
	inner, bracketed := strings.CutPrefix(dest.host, "[")
	if bracketed {
		dest.host = strings.TrimSuffix(inner, "]")
		if a, err := netip.ParseAddr(dest.host); err != nil || !a.Is6() || len(dest.host) != len(inner)-1 {
			return fmt.Errorf("the host is no IPv6 address")
		}
		return nil
	}
	if isAddress(dest.host) {
		return nil
	}
	if dest.host == "" || len(dest.host) > 253 {
		return fmt.Errorf("the request does not say which host it is for")
	}
	dest.host = strings.ToLower(dest.host)
	for _, c := range []byte(dest.host) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return fmt.Errorf("the host is no name")
		}
	}
	return nil
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// maxPart is the longest Uri-Path or Uri-Query option. RFC 7252, Table 4.
const maxPart = 255

func decodeParts(s, separator string) ([]string, error) {
	parts := strings.Split(s, separator)
	for i, p := range parts {
		d, err := url.PathUnescape(p)
		if err != nil || len(d) > maxPart {
			return nil, fmt.Errorf("Proxy-Uri is badly encoded")
		}
		parts[i] = d
	}
	return parts, nil
}

// countHop counts Hop-Limit down. RFC 8768, Section 3.
func countHop(out *coap.Message) *coap.Message {
	if !coap.HasOption(out, coap.OptionHopLimit) {
		return nil
	}
	n, ok := coap.OptionUint(out, coap.OptionHopLimit)
	if !ok || n == 0 || n > 255 {
		return coap.Problem(coap.BadRequest, "Hop-Limit is no number from 1 to 255.")
	}
	if n == 1 {
		return coap.Problem(coap.HopLimitReached, "bridge")
	}
	coap.SetOption(out, coap.OptionHopLimit, coap.EncodeUint(n-1))
	return nil
}

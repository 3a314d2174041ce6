package oscore

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"lamplighter/internal/coap"
)

// Why a Proxy-Uri cannot be split.
var (
	errProxyURI  = errors.New("protecting a request: its Proxy-Uri is no absolute URI with a host")
	errProxyOnly = errors.New("protecting a request: Proxy-Uri beside another one, Proxy-Scheme or Uri-*")
	errSegment   = errors.New("protecting a request: its Proxy-Uri has a segment that no option can hold")
)

// defaultPorts are left out of a URI. RFC 7252, Section 6.5; RFC 8323, Section
// 8; RFC 9110, Section 4.2.
var defaultPorts = map[string]string{
	"coap": "5683", "coaps": "5684", "coap+tcp": "5683", "coaps+tcp": "5684",
	"coap+ws": "80", "coaps+ws": "443", "http": "80", "https": "443",
}

// splitProxyURI replaces a Proxy-Uri Option by one without path and query, and
// the Uri-Path and Uri-Query Options that these stand for, so that they go
// inside. Other requests come back as they are. RFC 8613, Section 4.1.3.3; RFC
// 7252, Sections 5.10.2, 6.4 and 6.5.
func splitProxyURI(req *coap.Message) (*coap.Message, error) {
	value := coap.GetOption(req, coap.OptionProxyURI)
	if value == nil {
		return req, nil
	}
	if !aloneOption(req) {
		return nil, errProxyOnly
	}
	u, err := url.Parse(string(value))
	if err != nil || u.Scheme == "" || !goodHost(u) || u.User != nil || strings.Contains(string(value), "#") {
		return nil, errProxyURI
	}
	u = (&url.URL{}).ResolveReference(u) // takes the dot segments out
	req = coap.Clone(req)
	coap.SetOption(req, coap.OptionProxyURI, []byte(u.Scheme+"://"+authority(u)))
	if path := strings.TrimPrefix(u.EscapedPath(), "/"); path != "" {
		if err := addUnescaped(req, coap.OptionURIPath, strings.Split(path, "/")); err != nil {
			return nil, err
		}
	}
	if u.RawQuery != "" || u.ForceQuery {
		if err := addUnescaped(req, coap.OptionURIQuery, strings.Split(u.RawQuery, "&")); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// aloneOption says whether the Proxy-Uri is alone in naming the resource.
func aloneOption(req *coap.Message) bool {
	count := 0
	for _, o := range req.Options {
		switch o.ID {
		case coap.OptionProxyURI:
			count++
		case coap.OptionProxyScheme, coap.OptionURIHost, coap.OptionURIPort, coap.OptionURIPath, coap.OptionURIQuery:
			return false
		}
	}
	return count == 1
}

// goodHost says whether a URI has an IPv6 address in brackets or a name or IPv4
// address. RFC 3986, Section 3.2.2.
func goodHost(u *url.URL) bool {
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(u.Hostname())
		return err == nil && a.Is6()
	}
	return u.Hostname() != "" && !strings.ContainsAny(u.Hostname(), ":[]")
}

// authority returns host and port as Uri-Host and Uri-Port compose to them.
func authority(u *url.URL) string {
	plain := url.URL{Host: strings.ToLower(u.Host)}
	host := strings.TrimPrefix(plain.String(), "//") // percent-encodes again
	if port := u.Port(); port == "" || port == defaultPorts[u.Scheme] {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return host
}

func addUnescaped(req *coap.Message, id coap.OptionID, parts []string) error {
	const longest = 255
	for _, part := range parts {
		value, err := url.PathUnescape(part)
		if err != nil {
			return errProxyURI
		}
		dots := id == coap.OptionURIPath && slices.Contains([]string{".", ".."}, value)
		if len(value) > longest || dots {
			return errSegment
		}
		coap.AddOption(req, id, []byte(value))
	}
	return nil
}

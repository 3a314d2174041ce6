package oscore

import (
	"fmt"
	"net/url"
	"strings"

	"lamplighter/internal/coap"
)

// splitProxyURI replaces a Proxy-Uri Option by one without path and query, and
// the Uri-Path and Uri-Query Options that these stand for, so that they go
// inside. Other requests come back as they are. RFC 8613, Section 4.1.3.3; RFC
// 7252, Section 6.4.
func splitProxyURI(req *coap.Message) (*coap.Message, error) {
	value := coap.GetOption(req, coap.OptionProxyURI)
	if value == nil {
		return req, nil
	}
	u, err := url.Parse(string(value))
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("protecting a request: its Proxy-Uri is no absolute URI")
	}
	if coap.HasOption(req, coap.OptionURIPath) || coap.HasOption(req, coap.OptionURIQuery) {
		return nil, fmt.Errorf("protecting a request with Proxy-Uri and Uri-Path or Uri-Query")
	}
	req = coap.Clone(req)
	coap.SetOption(req, coap.OptionProxyURI, []byte(u.Scheme+"://"+u.Host))
	if path := strings.TrimPrefix(u.EscapedPath(), "/"); path != "" {
		if err := addUnescaped(req, coap.OptionURIPath, strings.Split(path, "/")); err != nil {
			return nil, err
		}
	}
	if u.RawQuery != "" {
		if err := addUnescaped(req, coap.OptionURIQuery, strings.Split(u.RawQuery, "&")); err != nil {
			return nil, err
		}
	}
	return req, nil
}

func addUnescaped(req *coap.Message, id coap.OptionID, parts []string) error {
	for _, part := range parts {
		value, err := url.PathUnescape(part)
		if err != nil {
			return fmt.Errorf("protecting a request: its Proxy-Uri has a bad escape")
		}
		coap.AddOption(req, id, []byte(value))
	}
	return nil
}

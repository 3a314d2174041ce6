package oscore

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/coap"
)

// proxied protects a request with a Proxy-Uri and returns what stays outside
// and what went inside.
func proxied(t testing.TB, client, server *Context, uri string) (outer string, path, query []string, err error) {
	t.Helper()
	req := &coap.Message{Code: coap.GET}
	coap.AddOption(req, coap.OptionProxyURI, []byte(uri))
	m, _, err := client.ProtectRequest(req)
	if err != nil {
		return "", nil, nil, err
	}
	in, _, err := server.UnprotectRequest(over(t, m))
	if err != nil {
		t.Fatal(err)
	}
	for v := range coap.Each(in, coap.OptionURIPath) {
		path = append(path, string(v))
	}
	for v := range coap.Each(in, coap.OptionURIQuery) {
		query = append(query, string(v))
	}
	return string(coap.GetOption(m, coap.OptionProxyURI)), path, query, nil
}

// RFC 8613, Section 4.1.3.3.
func TestProxyURI(t *testing.T) {
	client, server := newPair(t)
	for uri, want := range map[string]struct {
		outer       string
		path, query []string
	}{
		"coap://example.com/resource?q=1":        {"coap://example.com", []string{"resource"}, []string{"q=1"}},
		"coap://[2001:db8::1]:61616/a%2Fb/c?x&y": {"coap://[2001:db8::1]:61616", []string{"a/b", "c"}, []string{"x", "y"}},
		"coap://10.0.0.1":                        {"coap://10.0.0.1", nil, nil},
		"coap://10.0.0.1/":                       {"coap://10.0.0.1", nil, nil},
		"coap://h/a/":                            {"coap://h", []string{"a", ""}, nil},
		"coap://h//a":                            {"coap://h", []string{"", "a"}, nil},
		"COAP://Example.COM:5683/A?B":            {"coap://example.com", []string{"A"}, []string{"B"}},
		"coap://[2001:DB8::1]:5683/":             {"coap://[2001:db8::1]", nil, nil},
		"coaps://h:5683/":                        {"coaps://h:5683", nil, nil},
		"coap+ws://h:80/a":                       {"coap+ws://h", []string{"a"}, nil},
		"coap://h:/a":                            {"coap://h", []string{"a"}, nil},
		"x://h:5683/a":                           {"x://h:5683", []string{"a"}, nil},
		"http://h:80":                            {"http://h", nil, nil},
		"coap://h/a/../b/./c":                    {"coap://h", []string{"b", "c"}, nil},
		"coap://h/a?":                            {"coap://h", []string{"a"}, []string{""}},
		"coap://h?a&&b+c":                        {"coap://h", nil, []string{"a", "", "b+c"}},
		"coap://h/%C3%A9?%26":                    {"coap://h", []string{"é"}, []string{"&"}},
		"coap://%C3%A9/":                         {"coap://%C3%A9", nil, nil},
	} {
		outer, path, query, err := proxied(t, client, server, uri)
		if err != nil || outer != want.outer || fmt.Sprintf("%q%q", path, query) != fmt.Sprintf("%q%q", want.path, want.query) {
			t.Errorf("%s: outside %q, inside %q %q, %v", uri, outer, path, query, err)
		}
	}
	long := strings.Repeat("a", 255)
	if _, path, _, err := proxied(t, client, server, "coap://h/"+long); err != nil || path[0] != long {
		t.Errorf("a long segment: %q, %v", path, err)
	}
	for _, uri := range []string{
		"", "/path", "//h/a", "coap:a", "coap:///a", "coap://:5683/a", "coap://u:p@h/a", "coap://u@h/a", "coap://h/a#f", "coap://h/a#",
		"coap://h/a?%zz", "coap://h/%zz", "coap://h:port/", "\x7f://", "coap://h/%2e%2E/a", "coap://h/%2e", "coap://h/" + long + "a", "coap://h?" + long + "a",
	} {
		if outer, _, _, err := proxied(t, client, server, uri); err == nil {
			t.Errorf("%q is protected as %q", uri, outer)
		}
	}
}

func TestProxyURIAlone(t *testing.T) {
	client, _ := newPair(t)
	for _, id := range []coap.OptionID{
		coap.OptionProxyURI, coap.OptionProxyScheme, coap.OptionURIHost, coap.OptionURIPort, coap.OptionURIPath, coap.OptionURIQuery,
	} {
		req := &coap.Message{Code: coap.GET}
		coap.AddOption(req, coap.OptionProxyURI, []byte("coap://h/b"))
		coap.AddOption(req, id, []byte("coap"))
		if _, _, err := client.ProtectRequest(req); err == nil {
			t.Errorf("Proxy-Uri beside option %d is protected", id)
		}
	}
}

// A URI that is split composes to one that splits the same way, and nothing of
// path and query stays outside.
func FuzzProxyURI(f *testing.F) {
	for _, s := range []string{"coap://example.com/resource?q=1", "COAP://H:5683//a/../%2F?x&y", "coap+ws://[::1]:80?", "http://%41/a%20b", "coap:a"} {
		f.Add(s)
	}
	options := func(req *coap.Message, id coap.OptionID) (out []string) {
		for v := range coap.Each(req, id) {
			out = append(out, string(v))
		}
		return out
	}
	f.Fuzz(func(t *testing.T, uri string) {
		req := &coap.Message{Code: coap.GET}
		coap.AddOption(req, coap.OptionProxyURI, []byte(uri))
		first, err := splitProxyURI(req)
		if err != nil {
			return
		}
		outer := string(coap.GetOption(first, coap.OptionProxyURI))
		u, err := url.Parse(outer)
		if err != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Host == "" {
			t.Fatalf("%q: %q stays outside (%v)", uri, outer, err)
		}
		path, query := options(first, coap.OptionURIPath), options(first, coap.OptionURIQuery)
		composed := outer
		for _, s := range path {
			composed += "/" + url.PathEscape(s)
		}
		for i, s := range query {
			composed += string("?&"[min(i, 1)]) + strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
		}
		if len(path) == 1 && path[0] == "" {
			return // "//" and "/" cannot be told apart
		}
		again := &coap.Message{Code: coap.GET}
		coap.AddOption(again, coap.OptionProxyURI, []byte(composed))
		second, err := splitProxyURI(again)
		if err != nil {
			t.Fatalf("%q composes to %q: %v", uri, composed, err)
		}
		if string(coap.GetOption(second, coap.OptionProxyURI)) != outer || !slices.Equal(options(second, coap.OptionURIPath), path) || !slices.Equal(options(second, coap.OptionURIQuery), query) {
			t.Errorf("%q composes to %q", uri, composed)
		}
	})
}

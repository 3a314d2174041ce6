package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// origins holds which pages may talk to the bridge and under which names it is
// reached. A name of somebody else that was pointed at our address (DNS
// rebinding) is neither.
type origins struct {
	pages map[string]bool // "https://lights.example"; empty: loopback only
	hosts map[string]bool // "lights.example", without port
}

func newOrigins(pages, hosts []string) (origins, error) {
	o := origins{pages: make(map[string]bool), hosts: make(map[string]bool)}
	for _, p := range pages {
		u, err := url.Parse(p)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return o, fmt.Errorf("%q is no origin such as https://lights.example", p)
		}
		o.pages[strings.ToLower(u.Scheme+"://"+u.Host)] = true
		o.hosts[strings.ToLower(u.Hostname())] = true
	}
	for _, h := range hosts {
		o.hosts[strings.ToLower(h)] = true
	}
	return o, nil
}

// ownHost reports whether a Host header names this bridge.
func (o origins) ownHost(host string) bool {
	name := hostname(host)
	return loopbackName(name) || o.hosts[name]
}

// allowed reports whether pages of an origin may use the bridge. Loopback pages
// may only from the very address that they came from: another program's page on
// the same machine is another origin.
func (o origins) allowed(origin, host string) bool {
	if o.pages[strings.ToLower(origin)] {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && loopbackName(hostname(u.Host)) && strings.EqualFold(u.Host, host)
}

// elsewhere reports whether a page comes from another address than the bridge's.
func (o origins) elsewhere(origin, host string) bool {
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, host)
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

func loopbackName(name string) bool {
	a, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && a.IsLoopback()
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxSignInBody))
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

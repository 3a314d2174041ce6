package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"sort"
	"sync"

	"lamplighter/bridge/proxy"
	"lamplighter/internal/coap"
)

const (
	maxTraffic   = 256 << 20 // bytes that a tap keeps; a test crosses far less
	windowSize   = 8         // bytes that locate a secret in the traffic
	maxLeaksTold = 20
)

// trafficTap keeps everything that crosses the bridge, and every AEAD key and
// plaintext of this process, to prove in tests that the bridge learns nothing:
// no key and no plaintext stands in what it carried, and what was not OSCORE is
// counted by method and path.
type trafficTap struct {
	mu      sync.Mutex
	frames  [][]byte
	size    int
	paths   map[string]string // request path by client and token, to name a response
	plain   map[string]int
	sealed  int
	secrets map[string]string // secret -> what it is
	full    bool
}

// trafficReport is what a test reads.
type trafficReport struct {
	Frames      int            `json:"frames"`
	Protected   int            `json:"protected"`
	Unprotected map[string]int `json:"unprotected"` // "POST /authz-info", "2.01 to POST /authz-info"
	Secrets     int            `json:"secrets"`     // how many were searched for
	Leaks       []string       `json:"leaks"`
}

func newTrafficTap() *trafficTap {
	return &trafficTap{paths: map[string]string{}, plain: map[string]int{}, secrets: map[string]string{}}
}

// record is a proxy.Config.Record.
func (t *trafficTap) record(d proxy.Direction, peer netip.AddrPort, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size += len(b); t.size > maxTraffic {
		t.full = true
		return
	}
	t.frames = append(t.frames, bytes.Clone(b))
	if d == proxy.FromClient || d == proxy.ToClient {
		t.classify(peer, b)
	}
}

// classify counts a WebSocket frame; its datagram carries the same content.
func (t *trafficTap) classify(client netip.AddrPort, b []byte) {
	m, err := coap.UnmarshalWS(b)
	exchange := ""
	if err == nil {
		exchange = client.String() + " " + string(m.Token)
	}
	switch {
	case err != nil:
		t.plain["unreadable"]++
	case coap.Class(m.Code) == 7:
		t.plain["signal "+coap.CodeString(m.Code)]++
	case coap.HasOption(m, coap.OptionOSCORE):
		t.sealed++
		if coap.IsRequest(m.Code) {
			delete(t.paths, exchange) // a token that is used again
		}
	case coap.IsRequest(m.Code):
		name := methodName(m.Code) + " " + coap.Path(m)
		t.paths[exchange] = name
		t.plain[name]++
	default:
		name, known := t.paths[exchange]
		if !known {
			name = "a protected request"
		}
		t.plain[fmt.Sprintf("%s to %s", coap.CodeString(m.Code), name)]++
	}
}

func methodName(c coap.Code) string {
	names := map[coap.Code]string{coap.GET: "GET", coap.POST: "POST", coap.PUT: "PUT", coap.DELETE: "DELETE", coap.FETCH: "FETCH"}
	if name, known := names[c]; known {
		return name
	}
	return coap.CodeString(c)
}

// see notes a secret that must never cross.
func (t *trafficTap) see(what string, secret []byte) {
	if len(secret) < windowSize {
		return // as short as that, chance finds it
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.secrets[string(secret)] = what
}

func (t *trafficTap) report() trafficReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := trafficReport{Frames: len(t.frames), Protected: t.sealed, Unprotected: maps.Clone(t.plain), Secrets: len(t.secrets), Leaks: t.leaks()}
	if t.full {
		r.Leaks = append(r.Leaks, "the recorder was full: the search is incomplete")
	}
	return r
}

// leaks looks for every secret at every offset: first by a window of its first
// bytes, then in full.
func (t *trafficTap) leaks() []string {
	first := map[[windowSize]byte][]string{}
	for secret := range t.secrets {
		w := [windowSize]byte([]byte(secret[:windowSize]))
		first[w] = append(first[w], secret)
	}
	found := map[string]bool{}
	for _, frame := range t.frames {
		for i := 0; i+windowSize <= len(frame); i++ {
			for _, secret := range first[[windowSize]byte(frame[i:i+windowSize])] {
				if bytes.HasPrefix(frame[i:], []byte(secret)) {
					found[fmt.Sprintf("%s in frame %s…", t.secrets[secret], hex.EncodeToString(frame[:min(len(frame), 12)]))] = true
				}
			}
		}
	}
	list := []string{}
	for leak := range found {
		list = append(list, leak)
	}
	sort.Strings(list)
	return list[:min(len(list), maxLeaksTold)]
}

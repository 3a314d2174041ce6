package oscore

import (
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// What a short message costs: its ciphertext or plaintext, the message, and for a
// request its binding.
func TestAllocations(t *testing.T) {
	if flipShare < 1000 {
		t.Skip("under -race pools forget, and js counts otherwise")
	}
	cose.Recorder = nil // it copies
	defer func() { cose.Recorder = record }()
	client, server := newPair(t)
	req, resp := coap.NewRequest(coap.PUT, "/light", make([]byte, 64)), content("b")
	outer, cb, err := client.ProtectRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	outerResp, err := server.ProtectResponse(resp, sb)
	if err != nil {
		t.Fatal(err)
	}
	fresh, window := *cb, Window{size: 1}
	for name, c := range map[string]struct {
		most float64
		f    func()
	}{
		"ProtectRequest":   {2, func() { _, _, err = client.ProtectRequest(req) }},
		"UnprotectRequest": {2, func() { server.window = window; _, _, err = server.UnprotectRequest(outer) }},
		"ProtectResponse":  {2, func() { _, err = server.ProtectResponse(resp, sb) }}, // with a Partial IV of its own
		"UnprotectResponse": {2, func() {
			*cb = fresh
			_, err = client.UnprotectResponse(outerResp, cb)
		}},
	} {
		if n := testing.AllocsPerRun(200, c.f); n > c.most || err != nil {
			t.Errorf("%s: %v allocations, %v", name, n, err)
		}
	}
}

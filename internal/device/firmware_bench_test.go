//go:build !js

package device

import (
	"path/filepath"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/store/bolt"
)

// BenchmarkGroupRequest is what a device does for one group request over a store in a
// file: for a block, whose replay window is written later, and for a question, whose
// window is written first.
func BenchmarkGroupRequest(b *testing.B) {
	for _, c := range []struct {
		name string
		make func(x *transfer, n int) *coap.Message
	}{
		{"block", func(x *transfer, n int) *coap.Message { return x.block(n % (x.layout.Blocks() - 1)) }},
		{"question", func(*transfer, int) *coap.Message { return lightMessage(nil) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := newBuilding(b, 1)
			db, err := bolt.Open(filepath.Join(b.TempDir(), "lamp.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			l, x := h.bulbs[0], newTransfer(b, "2.0.0", 20)
			l.lamp.cfg.Store = db
			h.anna.silently(x.manifest())
			h.anna.silently(x.open())
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				outer := h.anna.seal(c.make(x, n))
				b.StartTimer()
				l.lamp.Handler().Serve(b.Context(), &coap.Request{Message: outer, From: browserAddr, Multicast: true})
			}
		})
	}
}

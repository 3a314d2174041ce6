package group

import (
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// What a message allocates is what is handed out: the message, its bytes, the
// binding; beside that an Ed25519 signature.
func TestAllocations(t *testing.T) {
	if slow {
		t.Skip("other builds allocate more")
	}
	saved := cose.Recorder
	cose.Recorder = nil
	defer func() { cose.Recorder = saved }()
	for _, x := range []struct {
		to                                                []byte
		mode                                              Mode
		protect, unprotect, protectResponse, openResponse float64
	}{
		{nil, Group, 3, 2, 3, 2},
		{[]byte{1}, Pairwise, 2, 2, 2, 2},
	} {
		w := newWorld(t, 2)
		client, server, req := w.members[0], w.members[1], get("/a")
		coap.AddUint(req, coap.OptionObserve, 0)
		peer := server.peers["\x00"]
		outer, cb, err := client.ProtectRequest(req, x.to)
		if err != nil {
			t.Fatal(err)
		}
		_, sb, err := server.UnprotectRequest(outer)
		if err != nil {
			t.Fatal(err)
		}
		n := content("n")
		coap.AddUint(n, coap.OptionObserve, 1)
		var resp *coap.Message
		for name, y := range map[string]struct {
			most float64
			f    func() error
		}{
			"protecting a request": {x.protect, func() (err error) {
				_, _, err = client.ProtectRequest(req, x.to)
				return err
			}},
			"opening a request": {x.unprotect, func() (err error) {
				peer.window, _ = oscore.NewWindow(0, oscore.WindowState{})
				_, _, err = server.UnprotectRequest(outer)
				return err
			}},
			"protecting a response": {x.protectResponse, func() (err error) {
				resp, err = server.ProtectResponse(n, sb, x.mode)
				return err
			}},
			"a response both ways": {x.protectResponse + x.openResponse, func() (err error) {
				if resp, err = server.ProtectResponse(n, sb, x.mode); err == nil {
					_, _, _, err = client.UnprotectResponse(resp, cb)
				}
				return err
			}},
		} {
			got := testing.AllocsPerRun(200, func() {
				if err := y.f(); err != nil {
					t.Fatal(err)
				}
			})
			if got > y.most+0.5 {
				t.Errorf("%s in %v: %.1f allocations, not %.0f", name, x.mode, got, y.most)
			}
		}
	}
}

package oscore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"runtime"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// Whatever arrives is either refused with an error or opened, and answered
// without a panic.
func FuzzOpen(f *testing.F) {
	client, server := newPair(f)
	s := NewServer(rand.Reader)
	s.Add("a", nil, server)
	psk := NewPSK([]byte("name"), randomBytes(16), SaltLabel)
	p := NewPSKServer(rand.Reader, time.Now)
	p.Set("b", psk, nil)
	session, err := psk.client(randomBytes(8))
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range []*Context{client, session} {
		outer, _, err := c.ProtectRequest(get("/a"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(coap.GetOption(outer, coap.OptionOSCORE), outer.Payload)
	}
	f.Add([]byte{0x80}, []byte{1})
	f.Add(AppendOption(nil, Option{PIV: []byte{0}, KID: psk.KID, KIDContext: wrapID(make([]byte, 24))}), make([]byte, 20))
	b := &Binding{context: session, pivSize: 1, own: true}
	f.Fuzz(func(t *testing.T, option, payload []byte) {
		m := Finish(&coap.Message{Code: coap.POST}, option, payload)
		for _, o := range []coap.Opener{s, p} {
			opened, reply, err := o.Open(t.Context(), &coap.Request{Message: m})
			if (err == nil) != (opened != nil) || err == nil && reply != nil {
				t.Errorf("%v, %v, %v", opened, reply, err)
			}
		}
		if resp, err := client.UnprotectResponse(m, b); err == nil {
			t.Errorf("opened as a response: %v", resp)
		}
	})
}

// genuine is a message of the vectors and who receives it.
type genuine struct {
	vector
	receiver *Context
	binding  Binding // of a response, as it was before
}

// genuineMessages returns the requests or the responses of RFC 8613, which are
// the seeds too.
func genuineMessages(f *testing.F, requests bool) []*genuine {
	f.Helper()
	var all []*genuine
	file := vectorFiles(f)["oscore-rfc8613.json"]
	for _, v := range file.Vectors {
		g := &genuine{vector: v}
		switch {
		case v.OuterRequest != nil && requests:
			// The keys are always the same ones, so challenges draw their numbers.
			_, g.receiver = file.sides(f, v, v.SSN, 1+PIVNumber(randomBytes(5))>>1)
			f.Add([]byte(v.OuterRequest))
		case v.OuterResp != nil && !requests:
			client, _, cb, _ := file.answered(f, v)
			g.receiver, g.binding = client, *cb
			f.Add([]byte(v.OuterResp))
		default:
			continue
		}
		all = append(all, g)
	}
	return all
}

// isForged says whether an accepted message is another one than the vector's.
func (g *genuine) isForged(t *testing.T, outer *coap.Message) bool {
	t.Helper()
	o, err := MessageOption(outer)
	return err != nil || !bytes.Equal(outer.Payload, g.Ciphertext) || !bytes.Equal(o.PIV, g.PIV)
}

// A datagram is a request of the vectors, whatever its unprotected parts are, or
// it is refused and leaves all state as it was.
func FuzzUnprotectRequest(f *testing.F) {
	all := genuineMessages(f, true)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		outer, err := coap.UnmarshalUDP(datagram)
		if err != nil {
			return
		}
		for _, g := range all {
			for _, lost := range []bool{false, true} {
				g.receiver.window, g.receiver.lost, g.receiver.echo = Window{size: 32}, lost, Echo{}
				g.receiver.rand = rand.Reader
				before := stateOf(g.receiver, nil)
				req, b, err := g.receiver.UnprotectRequest(outer)
				_, asked := errors.AsType[*EchoError](err)
				switch {
				case err == nil && lost, asked && !lost, (err == nil) != (req != nil && b != nil):
					t.Fatalf("%v, %v, %v", req, b, err)
				case (err == nil || asked) && g.isForged(t, outer):
					t.Fatalf("accepted a forgery: %v", req)
				case err != nil && !asked && !stateOf(g.receiver, nil).equal(before):
					t.Fatal("refused, and the state has changed")
				}
			}
		}
	})
}

// The same for responses.
func FuzzUnprotectResponse(f *testing.F) {
	all := genuineMessages(f, false)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		outer, err := coap.UnmarshalUDP(datagram)
		if err != nil {
			return
		}
		for _, g := range all {
			b := g.binding
			before := stateOf(g.receiver, &b)
			resp, err := g.receiver.UnprotectResponse(outer, &b)
			switch {
			case (err == nil) != (resp != nil):
				t.Fatalf("%v, %v", resp, err)
			case err != nil && !stateOf(g.receiver, &b).equal(before):
				t.Fatal("refused, and the state has changed")
			case err == nil && !isVector(all, outer):
				t.Fatalf("accepted a forgery: %v", resp)
			}
		}
	})
}

// isVector says whether a response is one of the vectors, which all answer the
// same request.
func isVector(all []*genuine, outer *coap.Message) bool {
	for _, g := range all {
		if o, err := MessageOption(outer); err == nil && bytes.Equal(outer.Payload, g.Ciphertext) && bytes.Equal(o.PIV, g.PIV) {
			return true
		}
	}
	return false
}

// What a message makes a receiver allocate is bounded by its length.
func TestAllocationIsBounded(t *testing.T) {
	client, server := newPair(t)
	allocated := func(m *coap.Message) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, _ = server.UnprotectRequest(m)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	const most = 1<<16 - 1
	options := func(n int) []byte { return append([]byte{1}, make([]byte, n)...) }
	garbage := client.sealRaw(t, make([]byte, most))
	garbage.Payload[0] ^= 1
	many := client.sealRaw(t, options(most-1))
	long := garbage.Payload
	for name, m := range map[string]*coap.Message{
		"garbage":              garbage,
		"65534 options":        many,
		"256 options":          client.sealRaw(t, options(maxOptions)),
		"few bytes":            client.sealRaw(t, options(3)),
		"a long OSCORE Option": withOption(garbage, long, long[:9]),
		"a long kid":           withOption(garbage, append([]byte{0x09, 1}, long[:200]...), long[:9]),
	} {
		// The recorder of this test binary and the AEAD copy the payload.
		bound := uint64(8*len(m.Payload) + 64<<10)
		if n := allocated(m); n > bound {
			t.Errorf("%s: %d bytes for %d", name, n, len(m.Payload))
		}
	}
	if m, err := parse(options(maxOptions)); err != nil || len(m.Options) != maxOptions {
		t.Errorf("%d options: %v", maxOptions, err)
	}
	if _, err := parse(options(maxOptions + 1)); !errors.Is(err, ErrDecode) {
		t.Errorf("%d options: %v", maxOptions+1, err)
	}
	req := get("/a")
	for range maxOptions {
		coap.AddOption(req, coap.OptionURIQuery, nil)
	}
	if _, _, err := client.ProtectRequest(req); err == nil {
		t.Errorf("%d options are protected", len(req.Options))
	}
}

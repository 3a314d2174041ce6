package coap

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// TestBlocksOverBadLink is a model: a client puts, posts and fetches bodies over a
// link that loses messages and delays them by many others. Whatever happens, a body that the server acts
// on, or that the client gets, is one that was sent, in one piece.
func TestBlocksOverBadLink(t *testing.T) {
	for seed := range byte(60) {
		rng := rand.New(seeded(seed))
		sent := map[string]bool{"": true} // bodies that the client puts, or the server gives
		var state []byte
		done := 0
		h := NewBlockServer(BlockLimits{Size: 64, MaxTransfers: 4}, time.Now).Wrap(HandlerFunc(func(_ context.Context, req *Request) *Message {
			if req.Code == GET {
				state = pattern(rng.IntN(300), byte(rng.Uint32()))
				sent[string(state)] = true
				return Respond(Content, NoFormat, state)
			}
			if !sent[string(req.Payload)] {
				t.Fatalf("seed %d: the server acts on %d bytes that nobody sent", seed, len(req.Payload))
			}
			return Respond(Changed, NoFormat, req.Payload)
		}))
		link := &badLink{h: h, rng: rng}
		c := NewBlockCaller(link, BlockLimits{Size: 32}, rng2reader{rng})
		for range 100 {
			code := []Code{PUT, POST, GET, FETCH}[rng.IntN(4)]
			var body []byte
			if code != GET {
				body = pattern(rng.IntN(300), byte(rng.Uint32()))
				sent[string(body)] = true
			}
			resp, err := c.Call(context.Background(), blockRequest(code, body))
			switch {
			case err != nil, Class(resp.Code) != 2:
			case code == GET && !sent[string(resp.Payload)]:
				t.Fatalf("seed %d: the client gets %d bytes that nobody sent", seed, len(resp.Payload))
			case code != GET && !bytes.Equal(resp.Payload, body):
				t.Fatalf("seed %d: the answer is to another request", seed)
			default:
				done++
			}
		}
		if done < 20 {
			t.Errorf("seed %d: only %d of 100 succeed", seed, done)
		}
	}
}

type rng2reader struct{ *rand.Rand }

func (r rng2reader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

// badLink loses, repeats and delays requests. As with OSCORE, the server takes a
// request once, however late, and an answer belongs to its request.
type badLink struct {
	h    Handler
	rng  *rand.Rand
	late []*Message // not taken yet
}

func (l *badLink) Call(_ context.Context, req *Message) (*Message, error) {
	for range l.rng.IntN(3) {
		if len(l.late) > 0 {
			i := l.rng.IntN(len(l.late))
			ask(l.h, addrA, l.late[i])
			l.late = append(l.late[:i], l.late[i+1:]...)
		}
	}
	switch l.rng.IntN(60) {
	case 0: // it comes after the client has given up
		l.late = append(l.late, Clone(req))
		return nil, ErrTimeout
	case 1: // the answer is lost
		ask(l.h, addrA, Clone(req))
		return nil, ErrTimeout
	}
	return ask(l.h, addrA, Clone(req)), nil
}

func FuzzBlockServer(f *testing.F) {
	add := func(ms ...*Message) {
		var b []byte
		for _, m := range ms {
			m.Type, m.MessageID = Confirmable, 1
			d, err := MarshalUDP(m)
			if err != nil {
				f.Fatal(err)
			}
			b = append(append(b, byte(len(d)>>8), byte(len(d))), d...)
		}
		f.Add(b)
	}
	add(blockRequest(PUT, make([]byte, 16), OptionBlock1, Block{0, true, 16}), blockRequest(PUT, []byte("x"), OptionBlock1, Block{1, false, 16}))
	add(blockRequest(GET, nil), blockRequest(GET, nil, OptionBlock2, Block{1, false, 16}))
	add(blockRequest(POST, make([]byte, 64), OptionBlock1, Block{0, true, 64}, OptionBlock2, Block{0, false, 16}))
	add(protected("x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := BlockLimits{Size: 64, MaxBody: 256, MaxTransfers: 4, MaxBytes: 1024, Lifetime: time.Second}
		c := &clock{start}
		s := NewBlockServer(limits, c.now)
		h := s.Wrap(&memory{body: pattern(200, 1)})
		for i := 0; len(b) >= 2; i++ {
			n := min(int(b[0])<<8|int(b[1]), len(b)-2)
			m, err := UnmarshalUDP(b[2 : 2+n])
			b = b[2+n:]
			if err != nil || !IsRequest(m.Code) || CheckRequestOptions(h, m) != nil {
				continue
			}
			from := netip.AddrPortFrom(addrA.Addr(), uint16(i%3))
			resp := ask(h, from, m)
			if resp == nil {
				continue
			}
			if got, has, err := BlockOption(resp, OptionBlock2); err != nil || has && len(resp.Payload) > got.Size {
				t.Fatal(resp)
			}
			if _, _, err := BlockOption(resp, OptionBlock1); err != nil {
				t.Fatal(resp)
			}
			c.t = c.t.Add(time.Duration(len(b)%5) * 100 * time.Millisecond)
			held := 0
			for _, x := range s.transfers.byKey {
				held += x.held
				if x.held != cap(x.body) || len(x.body) > max(limits.MaxBody, 200+65535) {
					t.Fatal("a transfer holds", cap(x.body))
				}
			}
			if held != s.transfers.bytes || held > limits.MaxBytes || len(s.transfers.byKey) > limits.MaxTransfers {
				t.Fatalf("%d bytes in %d transfers are held, %d counted", held, len(s.transfers.byKey), s.transfers.bytes)
			}
		}
	})
}

func FuzzBlockCaller(f *testing.F) {
	f.Add([]byte("\x02\x08\x10ABCDEFGHIJKLMNOP\x02\x10\x03end"), false)
	f.Add([]byte("\x01\x08\x00\x01\x18\x00\x00\x20\x00"), true)
	f.Fuzz(func(t *testing.T, b []byte, up bool) {
		calls := 0
		s := &scripted{func(*Message) *Message {
			calls++
			resp := Respond(Content, NoFormat, nil)
			if len(b) < 3 {
				return resp
			}
			if b[0]&1 != 0 {
				AddOption(resp, OptionBlock1, b[1:2])
				resp.Code = Continue
			}
			if b[0]&2 != 0 {
				AddOption(resp, OptionBlock2, b[1:2])
			}
			if b[0]&4 != 0 {
				AddOption(resp, OptionETag, b[1:2])
			}
			n := min(int(b[2]), len(b)-3)
			resp.Payload, b = b[3:3+n], b[3+n:]
			return resp
		}, nil}
		req := blockRequest(FETCH, nil)
		if up {
			req.Payload = pattern(100, 0)
		}
		resp, err := NewBlockCaller(s, BlockLimits{Size: 16, MaxBody: 100}, seeded(1)).Call(context.Background(), req)
		if err == nil && len(resp.Payload) > max(100, 255) || calls > len(b)+100 {
			t.Fatalf("%d bytes after %d calls", len(resp.Payload), calls)
		}
	})
}

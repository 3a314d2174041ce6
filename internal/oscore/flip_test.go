package oscore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"lamplighter/internal/coap"
)

// flips calls f with a copy of b for single bits that are flipped: all of them
// natively, a seeded sample in the slow builds.
func flips(b []byte, f func(bit int, flipped []byte)) {
	random := rand.New(rand.NewPCG(8613, uint64(len(b))))
	for bit := range len(b) * 8 {
		if random.IntN(1000) >= flipShare {
			continue
		}
		flipped := bytes.Clone(b)
		flipped[bit/8] ^= 1 << (bit % 8)
		f(bit, flipped)
	}
}

// state is all that a context and a binding may change.
type state struct {
	window  WindowState
	next    uint64
	lost    bool
	echo    string
	binding Binding
}

func stateOf(c *Context, b *Binding) state {
	s := state{window: c.window.State(), next: c.sequence.Peek(), lost: c.lost, echo: string(c.echo.value)}
	if b != nil {
		s.binding = *b
		s.binding.kid = nil
	}
	return s
}

func (s state) equal(o state) bool {
	return s.window == o.window && s.next == o.next && s.lost == o.lost && s.echo == o.echo &&
		s.binding.pivBuf == o.binding.pivBuf && s.binding.pivSize == o.binding.pivSize && s.binding.own == o.binding.own &&
		s.binding.observe == o.binding.observe && s.binding.used == o.binding.used &&
		s.binding.done == o.binding.done && s.binding.notified == o.binding.notified
}

// withOption returns a copy of m with another OSCORE Option and payload.
func withOption(m *coap.Message, option, payload []byte) *coap.Message {
	c := coap.Clone(m)
	coap.SetOption(c, coap.OptionOSCORE, option)
	c.Payload = payload
	return c
}

// Every single bit of the vectors' messages and of what they authenticate
// counts, and a message that is refused changes nothing.
func TestFlips(t *testing.T) {
	for name, file := range vectorFiles(t) {
		for _, v := range file.Vectors {
			switch {
			case v.OuterRequest != nil:
				t.Run(name+"/"+v.Title, func(t *testing.T) { flipRequest(t, file, v) })
			case v.OuterResp != nil:
				t.Run(name+"/"+v.Title, func(t *testing.T) { flipResponse(t, file, v) })
			}
		}
	}
}

func flipRequest(t *testing.T, f *vectors, v vector) {
	_, server := f.sides(t, v, v.SSN, 0)
	outer := decodeUDP(t, v.OuterRequest)
	before := stateOf(server, nil)
	refused := func(what string, bit int, m *coap.Message) {
		req, b, err := server.UnprotectRequest(m)
		if req != nil || b != nil || !(errors.Is(err, ErrVerify) || errors.Is(err, ErrDecode) || errors.Is(err, coap.ErrNoContext)) {
			t.Errorf("bit %d of %s: %v, %v", bit, what, req, err)
		}
		if !stateOf(server, nil).equal(before) {
			t.Fatalf("bit %d of %s: the state has changed", bit, what)
		}
	}
	flips(v.Option, func(bit int, option []byte) { refused("option", bit, withOption(outer, option, v.Ciphertext)) })
	flips(v.Ciphertext, func(bit int, payload []byte) { refused("payload", bit, withOption(outer, v.Option, payload)) })
	flipAAD(t, server, v)
	if _, _, err := server.UnprotectRequest(outer); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func flipResponse(t *testing.T, f *vectors, v vector) {
	client, _, b, _ := f.answered(t, v)
	outer := decodeUDP(t, v.OuterResp)
	before := stateOf(client, b)
	refused := func(what string, bit int, m *coap.Message, with *Binding) {
		resp, err := client.UnprotectResponse(m, with)
		if resp != nil || !(errors.Is(err, ErrVerify) || errors.Is(err, ErrDecode)) {
			t.Errorf("bit %d of %s: %v, %v", bit, what, resp, err)
		}
		if !stateOf(client, b).equal(before) {
			t.Fatalf("bit %d of %s: the state has changed", bit, what)
		}
	}
	flips(v.Option, func(bit int, option []byte) {
		if o, err := ParseOption(option); err == nil && o.KID != nil && bytes.Equal(o.KID, client.recipientID) {
			return // it says the same, at more length
		}
		refused("option", bit, withOption(outer, option, v.Ciphertext), b)
	})
	flips(v.Ciphertext, func(bit int, payload []byte) { refused("payload", bit, withOption(outer, v.Option, payload), b) })
	flips(b.kid, func(bit int, kid []byte) {
		with := *b
		with.kid = kid
		refused("request_kid", bit, outer, &with)
	})
	flips(b.piv(), func(bit int, piv []byte) {
		with := newBinding(client, b.kid, piv)
		with.own = true
		refused("request_piv", bit, outer, with)
	})
	flipAAD(t, client, v)
	if _, err := client.UnprotectResponse(outer, b); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// flipAAD flips the bits of the whole Enc_structure and of the nonce below the
// context.
func flipAAD(t *testing.T, c *Context, v vector) {
	t.Helper()
	flips(v.AAD, func(bit int, aad []byte) {
		if out, err := c.recipient.Open(nil, v.Nonce, v.Ciphertext, aad); err == nil || out != nil {
			t.Errorf("bit %d of the AAD is not authenticated", bit)
		}
	})
	flips(v.Nonce, func(bit int, nonce []byte) {
		if out, err := c.recipient.Open(nil, nonce, v.Ciphertext, v.AAD); err == nil || out != nil {
			t.Errorf("bit %d of the nonce does not matter", bit)
		}
	})
	if _, err := c.recipient.Open(nil, v.Nonce, v.Ciphertext, v.AAD); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

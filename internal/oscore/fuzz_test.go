package oscore

import (
	"crypto/rand"
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
	f.Fuzz(func(t *testing.T, option, payload []byte) {
		m := Finish(&coap.Message{Code: coap.POST}, option, payload)
		for _, o := range []coap.Opener{s, p} {
			opened, reply, err := o.Open(t.Context(), &coap.Request{Message: m})
			if (err == nil) != (opened != nil) || err == nil && reply != nil {
				t.Errorf("%v, %v, %v", opened, reply, err)
			}
		}
		if resp, err := client.UnprotectResponse(m, newBinding(session, nil, []byte{0})); err == nil {
			t.Errorf("opened as a response: %v", resp)
		}
	})
}

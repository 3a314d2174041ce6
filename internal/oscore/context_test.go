package oscore

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

func get(path string) *coap.Message { return coap.NewRequest(coap.GET, path, nil) }

func content(payload string) *coap.Message {
	return coap.Respond(coap.Content, coap.FormatText, []byte(payload))
}

func TestRoundTrip(t *testing.T) {
	client, server := newPair(t)
	for i := range 300 {
		req := coap.NewRequest(coap.PUT, "/a/b?c=d", bytes.Repeat([]byte{1}, i))
		resp := content(strings.Repeat("x", i))
		gotReq, gotResp := exchange(t, client, server, req, resp)
		sameMessage(t, "request", gotReq, req)
		sameMessage(t, "response", gotResp, resp)
	}
}

func TestIDContext(t *testing.T) {
	client, server := newPair(t, func(c, s *Params) {
		c.IDContext = []byte("here")
		s.IDContext = c.IDContext
	})
	req, _ := exchange(t, client, server, get("/a"), content("b"))
	sameMessage(t, "request", req, get("/a"))

	outer, _, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	o, _ := MessageOption(outer)
	without := over(t, outer)
	o.KIDContext = nil
	coap.SetOption(without, coap.OptionOSCORE, AppendOption(nil, o))
	if _, _, err := server.UnprotectRequest(without); err != nil {
		t.Errorf("without kid context: %v", err)
	}
	o.KIDContext = []byte("there")
	coap.SetOption(without, coap.OptionOSCORE, AppendOption(nil, o))
	if _, _, err := server.UnprotectRequest(without); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("another kid context: %v", err)
	}
}

// What an attacker can do to a request: each is refused, and the window stays.
func TestRequestRefused(t *testing.T) {
	client, server := newPair(t)
	option := func(change func(*Option)) func(*coap.Message) {
		return func(m *coap.Message) {
			o, _ := MessageOption(m)
			change(&o)
			coap.SetOption(m, coap.OptionOSCORE, AppendOption([]byte{}, o))
		}
	}
	for _, c := range []struct {
		name   string
		change func(*coap.Message)
		want   error
		code   coap.Code
	}{
		{"ciphertext bit", func(m *coap.Message) { m.Payload[0] ^= 1 }, ErrVerify, coap.BadRequest},
		{"tag bit", func(m *coap.Message) { m.Payload[len(m.Payload)-1] ^= 0x80 }, ErrVerify, coap.BadRequest},
		{"truncated", func(m *coap.Message) { m.Payload = m.Payload[:len(m.Payload)-1] }, ErrVerify, coap.BadRequest},
		{"tag alone", func(m *coap.Message) { m.Payload = m.Payload[:8] }, ErrVerify, coap.BadRequest},
		{"too short", func(m *coap.Message) { m.Payload = m.Payload[:7] }, ErrVerify, coap.BadRequest},
		{"no payload", func(m *coap.Message) { m.Payload = nil }, ErrVerify, coap.BadRequest},
		{"extended", func(m *coap.Message) { m.Payload = append(m.Payload, 0) }, ErrVerify, coap.BadRequest},
		{"another Partial IV", option(func(o *Option) { o.PIV = []byte{9} }), ErrVerify, coap.BadRequest},
		{"no Partial IV", option(func(o *Option) { o.PIV = nil }), ErrDecode, coap.BadOption},
		{"wrong kid", option(func(o *Option) { o.KID = []byte{3} }), coap.ErrNoContext, coap.Unauthorized},
		{"own kid", option(func(o *Option) { o.KID = []byte{2} }), coap.ErrNoContext, coap.Unauthorized},
		{"no kid", option(func(o *Option) { o.KID = nil }), coap.ErrNoContext, coap.Unauthorized},
		{"unwanted kid context", option(func(o *Option) { o.KIDContext = []byte{} }), coap.ErrNoContext, coap.Unauthorized},
		{"group flag", option(func(o *Option) { o.Group = true }), coap.ErrNoContext, coap.Unauthorized},
		{"reserved flag", func(m *coap.Message) {
			value := bytes.Clone(coap.GetOption(m, coap.OptionOSCORE))
			value[0] |= 0x40
			coap.SetOption(m, coap.OptionOSCORE, value)
		}, ErrDecode, coap.BadOption},
		{"no option", func(m *coap.Message) { coap.RemoveOption(m, coap.OptionOSCORE) }, ErrDecode, coap.BadOption},
	} {
		outer, _, err := client.ProtectRequest(get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		before := server.Window()
		bad := over(t, outer)
		c.change(bad)
		m, b, err := server.UnprotectRequest(bad)
		if m != nil || b != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", c.name, m, err)
		}
		resp := ErrorResponse(err)
		if age, ok := coap.OptionUint(resp, coap.OptionMaxAge); resp.Code != c.code || !ok || age != 0 {
			t.Errorf("%s: answered with %v", c.name, resp)
		}
		if server.Window() != before {
			t.Errorf("%s: the window moved", c.name)
		}
		if _, _, err := server.UnprotectRequest(over(t, outer)); err != nil {
			t.Errorf("%s: the honest message is refused: %v", c.name, err)
		}
		_, _, err = server.UnprotectRequest(over(t, outer))
		if !errors.Is(err, ErrReplay) || ErrorResponse(err).Code != coap.Unauthorized {
			t.Errorf("%s: replayed: %v", c.name, err)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"Failed to decode COSE":      fmt.Errorf("x: %w", ErrDecode),
		"Security context not found": errNotMine,
		"Replay detected":            ErrReplay,
		"Decryption failed":          ErrVerify,
		"":                           errors.New("disk full"),
	} {
		if got := string(ErrorResponse(err).Payload); got != want {
			t.Errorf("%v: %q", err, got)
		}
	}
}

func TestResponseRefused(t *testing.T) {
	client, server := newPair(t)
	for name, change := range map[string]func(m *coap.Message){
		"bit":            func(m *coap.Message) { m.Payload[0] ^= 1 },
		"truncated":      func(m *coap.Message) { m.Payload = m.Payload[:5] },
		"Partial IV":     func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{1, 0}) },
		"wrong kid":      func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{8, 9}) },
		"group flag":     func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{0x28, 2}) },
		"broken option":  func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{0x80}) },
		"without option": func(m *coap.Message) { coap.RemoveOption(m, coap.OptionOSCORE) },
	} {
		outer, cb, err := client.ProtectRequest(get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		_, sb, err := server.UnprotectRequest(over(t, outer))
		if err != nil {
			t.Fatal(err)
		}
		outer, err = server.ProtectResponse(content("b"), sb)
		if err != nil {
			t.Fatal(err)
		}
		bad := over(t, outer)
		change(bad)
		if m, err := client.UnprotectResponse(bad, cb); err == nil || m != nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := client.UnprotectResponse(over(t, outer), cb); err != nil {
			t.Errorf("%s: the honest response is refused: %v", name, err)
		}
		if _, err := client.UnprotectResponse(over(t, outer), cb); !errors.Is(err, ErrReplay) {
			t.Errorf("%s: a second response: %v", name, err)
		}
	}
}

// A response belongs to its request.
func TestResponseOfAnotherRequest(t *testing.T) {
	client, server := newPair(t)
	_, first, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	outer, _, err := client.ProtectRequest(get("/b"))
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // with the request's nonce, and with an own one
		resp, err := server.ProtectResponse(content("b"), sb)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.UnprotectResponse(resp, first); !errors.Is(err, ErrVerify) {
			t.Errorf("accepted for another request: %v", err)
		}
	}
}

func TestCannotProtect(t *testing.T) {
	client, server := newPair(t)
	before := client.Sequence().Peek()
	nested := get("/a")
	coap.AddOption(nested, coap.OptionOSCORE, nil)
	for name, m := range map[string]*coap.Message{
		"a protected message": nested,
		"an empty message":    {},
		"a response":          content("x"),
		"a signal":            {Code: 7<<5 | 1},
		"64 KiB":              coap.NewRequest(coap.PUT, "/a", make([]byte, 1<<16)),
	} {
		if _, _, err := client.ProtectRequest(m); err == nil {
			t.Errorf("%s is protected as a request", name)
		}
	}
	if client.Sequence().Peek() != before {
		t.Error("sequence numbers were wasted")
	}
	outer, _, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.ProtectResponse(get("/a"), sb); err == nil {
		t.Error("a request is protected as a response")
	}
}

// sealRaw protects any bytes as a request.
func (c *Context) sealRaw(t testing.TB, plaintext []byte) *coap.Message {
	t.Helper()
	n, err := c.sequence.Next()
	if err != nil {
		t.Fatal(err)
	}
	b := newBinding(c, c.senderID, AppendPIV(nil, n))
	payload := c.sender.Seal(nil, c.nonceOf(c.senderID, b.piv()), plaintext, c.aadOf(b))
	return Finish(&coap.Message{Code: coap.POST}, AppendOption(nil, Option{PIV: b.piv(), KID: c.senderID}), payload)
}

// An authentic peer that sends nonsense inside.
func TestNonsenseInside(t *testing.T) {
	client, server := newPair(t)
	for name, plaintext := range map[string]string{
		"nothing":             "",
		"a response code":     "45",
		"an empty code":       "00",
		"a broken option":     "01b3",
		"protected once more": "0190",
	} {
		m := client.sealRaw(t, unhex(t, plaintext))
		if _, _, err := server.UnprotectRequest(m); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := server.UnprotectRequest(m); !errors.Is(err, ErrReplay) {
			t.Errorf("%s, replayed: %v", name, err)
		}
	}
}

// A binding of another context never lends its nonce.
func TestResponseUnderAnotherContext(t *testing.T) {
	client, server := newPair(t)
	_, later := newPair(t)
	outer, _, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := later.ProtectResponse(content("b"), sb)
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := MessageOption(resp); o.PIV == nil {
		t.Error("no Partial IV of its own")
	}
}

func TestNewRefuses(t *testing.T) {
	good := Params{MasterSecret: randomBytes(16), SenderID: []byte{1}, RecipientID: []byte{2}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	long := func(n int) []byte { return make([]byte, n) }
	for name, change := range map[string]func(*Params){
		"AES-CTR":             func(p *Params) { p.AEAD = cose.A128CTR },
		"AES-CBC":             func(p *Params) { p.AEAD = -65531 }, // A128CBC
		"a signature":         func(p *Params) { p.AEAD = cose.EdDSA },
		"an HMAC":             func(p *Params) { p.AEAD = cose.HMAC256 },
		"no algorithm":        func(p *Params) { p.AEAD = 9 },
		"HKDF":                func(p *Params) { p.HKDF = cose.EdDSA },
		"HKDF with AES":       func(p *Params) { p.HKDF = -12 }, // direct+HKDF-AES-128
		"long Sender ID":      func(p *Params) { p.SenderID = long(8) },
		"long Recipient ID":   func(p *Params) { p.RecipientID = long(8) },
		"7 bytes with GCM":    func(p *Params) { p.AEAD, p.SenderID = cose.A128GCM, long(7) },
		"7 bytes with ChaCha": func(p *Params) { p.AEAD, p.RecipientID = cose.ChaCha20Poly1305, long(7) },
		"2 bytes with CCM-64": func(p *Params) { p.AEAD, p.SenderID = cose.AESCCM64_64_128, long(2) },
		"equal IDs":           func(p *Params) { p.RecipientID = p.SenderID },
		"both IDs empty":      func(p *Params) { p.SenderID, p.RecipientID = nil, []byte{} },
		"ID Context too long": func(p *Params) { p.IDContext = long(248) },
		"no Master Secret":    func(p *Params) { p.MasterSecret = nil },
		"window size":         func(p *Params) { p.WindowSize = 65 },
	} {
		p := good
		change(&p)
		if c, err := New(p); err == nil || c != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, change := range map[string]func(*Params){
		"7 bytes with CCM-16": func(p *Params) { p.SenderID = long(7) },
		"6 bytes with GCM":    func(p *Params) { p.AEAD, p.SenderID = cose.A128GCM, long(6) },
		"1 byte with CCM-64":  func(p *Params) { p.AEAD = cose.AESCCM64_64_128 },
		"long ID Context":     func(p *Params) { p.IDContext = long(247) },
		"empty ID Context":    func(p *Params) { p.IDContext = []byte{} },
		"window of 64":        func(p *Params) { p.WindowSize = 64 },
	} {
		p := good
		change(&p)
		if _, err := New(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContextNames(t *testing.T) {
	c, _ := newPair(t, func(c, s *Params) { c.IDContext, s.IDContext = []byte{3}, []byte{3} })
	equal(t, "Sender ID", c.SenderID(), []byte{1})
	equal(t, "Recipient ID", c.RecipientID(), []byte{2})
	equal(t, "ID Context", c.IDContext(), []byte{3})
	if got := c.String(); got != "OSCORE context 01-02" {
		t.Error(got)
	}
	if without, _ := newPair(t); without.IDContext() != nil {
		t.Error("an ID Context that is not there")
	}
}

func TestSpentContext(t *testing.T) {
	client, _ := newPair(t, func(c, _ *Params) { c.Sequence = NewSequence(maxSequence-1, nil) })
	if _, _, err := client.ProtectRequest(get("/a")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.ProtectRequest(get("/a")); !errors.Is(err, ErrSpent) {
		t.Errorf("got %v", err)
	}
}

// Nothing secret is printed.
func TestRedacted(t *testing.T) {
	secret := cose.Secret("0123456789abcdef")
	psk := NewPSK([]byte("name"), secret, SaltLabel)
	p := Params{MasterSecret: secret, SenderID: []byte{1}, RecipientID: []byte{2}}
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{psk, &psk, p, &p, c} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, "0123456789") || strings.Contains(text, "30313233") || strings.Contains(text, "0x30, 0x31") || strings.Contains(text, "48 49 50") {
				t.Errorf("%T with %s: %s", v, verb, text)
			}
		}
	}
}

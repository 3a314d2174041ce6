package group

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// In both modes of the request, both modes of the response.
func TestRoundTrip(t *testing.T) {
	w := newWorld(t, 3)
	client := w.members[0]
	for _, to := range [][]byte{nil, {1}} {
		for _, mode := range []Mode{Group, Pairwise} {
			t.Run(fmt.Sprintf("to %x, %v", to, mode), func(t *testing.T) {
				req := coap.NewRequest(coap.PUT, "/light?x", []byte("on"))
				outer, cb, err := client.ProtectRequest(req, to)
				if err != nil {
					t.Fatal(err)
				}
				if o := optionOf(t, outer); o.Group != (to == nil) || o.KID == nil || o.KIDContext == nil || o.PIV == nil {
					t.Errorf("request option %+v", o)
				}
				if got, ok := ModeOf(outer); !ok || got != cb.Mode {
					t.Errorf("mode %v", got)
				}
				for i, server := range w.members[1:] {
					in, sb, err := server.UnprotectRequest(over(t, outer))
					if to != nil && i > 0 {
						if !errors.Is(err, oscore.ErrVerify) {
							t.Errorf("another member opens a pairwise request: %v", err)
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					if in.Code != req.Code || coap.Path(in) != "/light" || string(in.Payload) != "on" {
						t.Errorf("request %v", in)
					}
					if !bytes.Equal(sb.From.Cred, w.creds[0]) || sb.Mode != cb.Mode {
						t.Errorf("from %+v in %v", sb.From, sb.Mode)
					}
					resp, err := server.ProtectResponse(content(fmt.Sprint(i)), sb, mode)
					if err != nil {
						t.Fatal(err)
					}
					o := optionOf(t, resp)
					if o.PIV != nil || o.KIDContext != nil || o.KID == nil {
						t.Errorf("response option %+v", o)
					}
					got, from, gotMode, err := client.UnprotectResponse(over(t, resp), cb)
					if err != nil {
						t.Fatal(err)
					}
					if string(got.Payload) != fmt.Sprint(i) || gotMode != mode || from.KID[0] != byte(i+1) || from.Roles != uint(i+1) {
						t.Errorf("response %v from %+v in %v", got, from, gotMode)
					}
					if _, _, _, err := client.UnprotectResponse(over(t, resp), cb); !errors.Is(err, oscore.ErrReplay) {
						t.Errorf("the response again: %v", err)
					}
				}
			})
		}
	}
}

// What an attacker can do to a request; nothing of it moves a window.
func TestRequestRefused(t *testing.T) {
	w := newWorld(t, 3)
	client, server := w.members[0], w.members[1]
	option := func(change func(*oscore.Option)) func(*coap.Message) {
		return func(m *coap.Message) {
			o := optionOf(t, m)
			change(&o)
			coap.SetOption(m, coap.OptionOSCORE, oscore.AppendOption([]byte{}, o))
		}
	}
	for _, to := range [][]byte{nil, {1}} {
		for name, c := range map[string]struct {
			change func(*coap.Message)
			want   error
		}{
			"first bit":          {func(m *coap.Message) { m.Payload[0] ^= 1 }, oscore.ErrVerify},
			"last bit":           {func(m *coap.Message) { m.Payload[len(m.Payload)-1] ^= 0x80 }, oscore.ErrVerify},
			"truncated":          {func(m *coap.Message) { m.Payload = m.Payload[:len(m.Payload)-1] }, oscore.ErrVerify},
			"extended":           {func(m *coap.Message) { m.Payload = append(m.Payload, 0) }, oscore.ErrVerify},
			"too short":          {func(m *coap.Message) { m.Payload = m.Payload[:8] }, oscore.ErrVerify},
			"a tag's length":     {func(m *coap.Message) { m.Payload = make([]byte, 72) }, oscore.ErrVerify},
			"no payload":         {func(m *coap.Message) { m.Payload = nil }, oscore.ErrVerify},
			"another Partial IV": {option(func(o *oscore.Option) { o.PIV = []byte{99} }), oscore.ErrVerify},
			"no Partial IV":      {option(func(o *oscore.Option) { o.PIV = nil }), oscore.ErrDecode},
			"another member's":   {option(func(o *oscore.Option) { o.KID = []byte{2} }), oscore.ErrVerify},
			"no kid":             {option(func(o *oscore.Option) { o.KID = nil }), oscore.ErrDecode},
			"own kid":            {option(func(o *oscore.Option) { o.KID = []byte{1} }), ErrOwn},
			"wrong Gid":          {option(func(o *oscore.Option) { o.KIDContext = []byte{0xdd, 0x12} }), coap.ErrNoContext},
			"no Gid":             {option(func(o *oscore.Option) { o.KIDContext = nil }), coap.ErrNoContext},
			"other group flag":   {option(func(o *oscore.Option) { o.Group = !o.Group }), oscore.ErrVerify},
			"reserved flag": {func(m *coap.Message) {
				value := bytes.Clone(coap.GetOption(m, coap.OptionOSCORE))
				value[0] |= 0x80
				coap.SetOption(m, coap.OptionOSCORE, value)
			}, oscore.ErrDecode},
		} {
			outer, _, err := client.ProtectRequest(get("/a"), to)
			if err != nil {
				t.Fatal(err)
			}
			before := server.Windows()
			bad := over(t, outer)
			c.change(bad)
			if m, b, err := server.UnprotectRequest(bad); m != nil || b != nil || !errors.Is(err, c.want) {
				t.Errorf("to %x, %s: %v, %v", to, name, m, err)
			}
			if fmt.Sprint(server.Windows()) != fmt.Sprint(before) {
				t.Errorf("to %x, %s: a window moved", to, name)
			}
			if _, _, err := server.UnprotectRequest(over(t, outer)); err != nil {
				t.Errorf("to %x, %s: the honest message is refused: %v", to, name, err)
			}
			if _, _, err := server.UnprotectRequest(over(t, outer)); !errors.Is(err, oscore.ErrReplay) {
				t.Errorf("to %x, %s: replayed: %v", to, name, err)
			}
		}
	}
}

// The countersignature is checked before anything is decrypted: a member that
// knows all symmetric keys cannot pass for another, and no plaintext is made.
func TestForgedByMember(t *testing.T) {
	w := newWorld(t, 3)
	forger, server := w.members[2], w.members[1]
	forger.senderID, forger.cred = []byte{0}, w.creds[0]
	forger.senderKey = forger.derive(forger.senderID, "Key", 16)
	var err error
	if forger.sender, err = cose.NewAEAD(forger.algs.GroupEnc, forger.senderKey); err != nil {
		t.Fatal(err)
	}
	outer, _, err := forger.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	saved := cose.Recorder
	cose.Recorder = func(_, _, _, _ []byte) { opened++ }
	defer func() { cose.Recorder = saved }()
	if _, _, err := server.UnprotectRequest(outer); !errors.Is(err, oscore.ErrVerify) {
		t.Errorf("got %v", err)
	}
	if opened != 0 {
		t.Error("decrypted before the countersignature was verified")
	}
}

func TestResponseRefused(t *testing.T) {
	w := newWorld(t, 3)
	client, server := w.members[0], w.members[1]
	for _, to := range [][]byte{nil, {1}} {
		for _, mode := range []Mode{Group, Pairwise} {
			outer, cb, err := client.ProtectRequest(get("/a"), to)
			if err != nil {
				t.Fatal(err)
			}
			_, sb, err := server.UnprotectRequest(outer)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := server.ProtectResponse(content("b"), sb, mode)
			if err != nil {
				t.Fatal(err)
			}
			flag := byte(0x08)
			if mode == Group {
				flag |= 0x20
			}
			for name, change := range map[string]func(m *coap.Message){
				"first bit":      func(m *coap.Message) { m.Payload[0] ^= 1 },
				"last bit":       func(m *coap.Message) { m.Payload[len(m.Payload)-1] ^= 1 },
				"truncated":      func(m *coap.Message) { m.Payload = m.Payload[:4] },
				"another member": func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{flag, 2}) },
				"a stranger":     func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{flag, 9}) },
				"the client":     func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{flag, 0}) },
				"a Partial IV":   func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{flag | 1, 7, 1}) },
				"another mode":   func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{flag ^ 0x20, 1}) },
				"another epoch":  func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{flag | 0x10, 1, 5, 1}) },
				"reserved flag":  func(m *coap.Message) { coap.SetOption(m, coap.OptionOSCORE, []byte{0x80}) },
				"without option": func(m *coap.Message) { coap.RemoveOption(m, coap.OptionOSCORE) },
			} {
				bad := over(t, resp)
				change(bad)
				if m, _, _, err := client.UnprotectResponse(bad, cb); m != nil || err == nil {
					t.Errorf("to %x, %v, %s: accepted", to, mode, name)
				}
			}
			if _, _, _, err := client.UnprotectResponse(over(t, resp), cb); err != nil {
				t.Errorf("to %x, %v: the honest response is refused: %v", to, mode, err)
			}
		}
	}
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.protectResponse(content("b"), sb, Group, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.UnprotectResponse(resp, cb); !errors.Is(err, oscore.ErrDecode) {
		t.Errorf("a response without kid to a group request: %v", err)
	}
}

// A group with one mode refuses the other.
func TestOneMode(t *testing.T) {
	w := newWorld(t, 2)
	only := func(algs Algorithms) (a, b *Context) {
		edit := func(p *Params) { p.Algs = algs }
		return w.member(0, edit), w.member(1, edit)
	}
	full := w.members
	groupOnly, _ := only(Algorithms{GroupEnc: 10, Sign: cose.EdDSA, HKDF: cose.HMAC256})
	pairOnly, pairServer := only(Algorithms{AEAD: 10, Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HKDFSHA256})
	if _, _, err := groupOnly.ProtectRequest(get("/a"), []byte{1}); !errors.Is(err, ErrMode) {
		t.Errorf("got %v", err)
	}
	if _, _, err := pairOnly.ProtectRequest(get("/a"), nil); !errors.Is(err, ErrMode) {
		t.Errorf("got %v", err)
	}
	outer, _, err := full[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := pairServer.UnprotectRequest(outer); !errors.Is(err, ErrMode) {
		t.Errorf("got %v", err)
	}
	outer, cb, err := pairOnly.ProtectRequest(get("/a"), []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := pairServer.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pairServer.ProtectResponse(content("x"), sb, Group); !errors.Is(err, ErrMode) {
		t.Errorf("got %v", err)
	}
	resp, err := pairServer.ProtectResponse(content("x"), sb, Pairwise)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := pairOnly.UnprotectResponse(resp, cb); err != nil {
		t.Error(err)
	}
	coap.SetOption(resp, coap.OptionOSCORE, []byte{0x28, 1})
	if _, _, _, err := pairOnly.UnprotectResponse(resp, cb); !errors.Is(err, ErrMode) {
		t.Errorf("got %v", err)
	}
}

func TestCannotProtect(t *testing.T) {
	w := newWorld(t, 2)
	c := w.member(0, func(p *Params) { p.Sequence = oscore.NewSequence(1<<40-1, nil) })
	if _, _, err := c.ProtectRequest(content("x"), nil); err == nil {
		t.Error("a response is protected as a request")
	}
	outer, _, err := c.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ProtectRequest(get("/a"), nil); !errors.Is(err, oscore.ErrSpent) || c.Sequence().Peek() != 1<<40 {
		t.Errorf("got %v", err)
	}
	_, sb, err := w.members[1].UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.members[1].ProtectResponse(get("/a"), sb, Group); err == nil {
		t.Error("a request is protected as a response")
	}
	w.members[1].Sequence().Stop()
	if _, err := w.members[1].ProtectResponse(content("x"), sb, Group); err != nil {
		t.Errorf("the request's nonce: %v", err)
	}
	if _, err := w.members[1].ProtectResponse(content("x"), sb, Group); !errors.Is(err, oscore.ErrSpent) {
		t.Errorf("got %v", err)
	}
}

// An authentic member that sends nonsense inside.
func TestNonsenseInside(t *testing.T) {
	w := newWorld(t, 2)
	client, server := w.members[0], w.members[1]
	piv := []byte{77}
	o := oscore.Option{Group: true, PIV: piv, KID: client.senderID, KIDContext: client.gid}
	m := &message{
		request: request{client.senderID, piv, client.gid}, isRequest: true, nonceID: client.senderID,
		noncePIV: piv, cred: client.cred,
	}
	client.plaintext = []byte{0x45} // a response's code
	outer, err := client.seal(&coap.Message{Code: coap.POST}, nil, o, m)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(outer); !errors.Is(err, oscore.ErrDecode) {
		t.Errorf("got %v", err)
	}
	if _, _, err := server.UnprotectRequest(outer); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("got %v", err)
	}
}

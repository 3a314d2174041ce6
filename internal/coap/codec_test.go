package coap

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWSFrames(t *testing.T) {
	get := NewRequest(GET, "/hello", nil)
	get.Token = Token{0xaa}
	csm := NewCSM(1 << 20)
	ping := &Message{Code: Ping, Token: Token{0xbb}}
	content := Respond(Content, 0, []byte("hi"))
	content.Token = Token{0xaa}
	for _, tc := range []struct {
		name string
		m    *Message
		want string
	}{
		{"CSM", csm, "00e12310000020"},
		{"ping", ping, "01e2bb"},
		{"request", get, "0101aab568656c6c6f"},
		{"response", content, "0145aac0ff6869"},
		{"bad CSM option", NewAbort(5, "no"), "00e52105ff6e6f"},
	} {
		got, err := MarshalWS(tc.m)
		if err != nil || hex.EncodeToString(got) != tc.want {
			t.Errorf("%s: %x %v, want %s", tc.name, got, err, tc.want)
		}
		m, err := UnmarshalWS(unhex(t, tc.want))
		if err != nil || m.Code != tc.m.Code || string(m.Token) != string(tc.m.Token) || string(m.Payload) != string(tc.m.Payload) {
			t.Errorf("%s decodes to %+v, %v", tc.name, m, err)
		}
	}
	for _, bad := range []string{"", "01", "1001", "0901010203040506070809", "0101", "0001ff", "0001d0", "0001f1", "0001b5"} {
		if m, err := UnmarshalWS(unhex(t, bad)); !errors.Is(err, ErrDecode) {
			t.Errorf("%q decodes to %v, %v", bad, m, err)
		}
	}
	if _, err := MarshalWS(&Message{Token: make(Token, 9)}); err == nil {
		t.Error("a token of 9 bytes was encoded")
	}
}

func TestSettings(t *testing.T) {
	s := DefaultSettings
	if bad, err := s.Apply(NewCSM(4096)); err != nil || bad != 0 || s.MaxMessageSize != 4096 || !s.BlockWise {
		t.Errorf("%+v %d %v", s, bad, err)
	}
	second := &Message{Code: CSM}
	AddUint(second, 6, 1) // elective, unknown
	if _, err := s.Apply(second); err != nil || s.MaxMessageSize != 4096 {
		t.Errorf("%+v %v", s, err)
	}
	AddUint(second, 7, 1)
	if bad, err := s.Apply(second); bad != 7 || !errors.Is(err, ErrBadOption) {
		t.Errorf("critical option: %d %v", bad, err)
	}
	if s.Apply(NewCSM(1)); s.MaxMessageSize != BaseMessageSize {
		t.Errorf("smaller than the base: %+v", s)
	}
}

func TestUDPKeepsOddOptions(t *testing.T) {
	m := NewRequest(GET, "/a", []byte("p"))
	m.Type, m.MessageID, m.Token = Confirmable, 1, Token("t")
	AddOption(m, OptionETag, make([]byte, 9)) // illegal length, elective
	AddOption(m, OptionOSCORE, nil)
	AddOption(m, 65000, bytes.Repeat([]byte{1}, 300))
	for range 40 {
		AddOption(m, OptionURIQuery, []byte("q"))
	}
	b, err := MarshalUDP(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := UnmarshalUDP(b)
	if err != nil || len(got.Options) != len(m.Options) {
		t.Fatalf("%d options of %d, %v", len(got.Options), len(m.Options), err)
	}
	for range maxOptions {
		AddOption(m, OptionURIQuery, nil)
	}
	b, _ = MarshalUDP(m)
	if _, err := UnmarshalUDP(b); !errors.Is(err, ErrDecode) {
		t.Errorf("too many options: %v", err)
	}
}

func TestReplyFrom(t *testing.T) {
	for _, tc := range []struct{ addr, want string }{
		{"127.1.0.1:5683", "822081447f010001"},
		{"127.1.0.1:61616", "822082447f01000119f0b0"},
		{"[2001:db8::1]:5683", "8220815020010db8000000000000000000000001"},
	} {
		addr := netip.MustParseAddrPort(tc.addr)
		if got := ReplyFrom(addr); hex.EncodeToString(got) != tc.want {
			t.Errorf("%v: %x, want %s", addr, got, tc.want)
		}
		if got, err := ParseReplyFrom(unhex(t, tc.want)); err != nil || got != addr {
			t.Errorf("%s: %v %v", tc.want, got, err)
		}
	}
	for _, bad := range []string{"", "80", "8120", "822181447f010001", "822081437f0100", "82208041", "822082447f0100011a00010000", "8220826161187b", "f6"} {
		if got, err := ParseReplyFrom(unhex(t, bad)); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v %v", bad, got, err)
		}
	}
}

func TestLinks(t *testing.T) {
	links := []Link{
		{"/ll/id", []Attribute{{Name: "rt", Value: "ll.id core.x"}, {Name: "ep", Value: "000b57fffe401ac2"}, {Name: "et", Value: `a"b\c,;`}}},
		{"/light", []Attribute{{Name: "obs", Flag: true}}},
	}
	text := `</ll/id>;rt="ll.id core.x";ep="000b57fffe401ac2";et="a\"b\\c,;",</light>;obs`
	if got := string(FormatLinks(links)); got != text {
		t.Errorf("formatted: %s", got)
	}
	got, err := ParseLinks([]byte(text))
	if err != nil || !reflect.DeepEqual(got, links) {
		t.Errorf("parsed: %+v %v", got, err)
	}
	if got, err := ParseLinks([]byte("</a>;ct=40,</b>")); err != nil || len(got) != 2 || got[0].Attributes[0].Value != "40" {
		t.Errorf("unquoted: %+v %v", got, err)
	}
	for _, bad := range []string{"<", "/a", "</a", "</a>,", "</a>;", "</a>x", `</a>;rt="x`, "</a>;rt=", `</a>;rt="x\`, `</a>;=x`, "</a>,,</b>"} {
		if got, err := ParseLinks([]byte(bad)); !errors.Is(err, ErrDecode) {
			t.Errorf("%q: %+v %v", bad, got, err)
		}
	}
	for query, want := range map[string]int{"": 2, "?rt=ll.id": 1, "?rt=ll": 0, "?rt=ll*": 1, "?ep=000b57fffe401ac2&rt=core.x": 1, "?href=/light": 1, "?href=/l*": 2, "?ep=0": 0} {
		if got := FilterLinks(links, NewRequest(GET, "/.well-known/core"+query, nil)); len(got) != want {
			t.Errorf("%s: %d links, want %d", query, len(got), want)
		}
	}
}

func FuzzUnmarshalUDP(f *testing.F) {
	for _, s := range []string{"40010001", "4145123474c0ff6869", "440112340102030490", "40010001b5", "7000ffff", "400100010050", "40010001e1fffe00"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := UnmarshalUDP(b)
		if err != nil {
			return
		}
		again, err := MarshalUDP(m)
		if err != nil {
			t.Fatal(err)
		}
		m2, err := UnmarshalUDP(again)
		if err != nil {
			t.Fatal(err)
		}
		sameMessage(t, m, m2)
		_ = CheckOptions(m)
	})
}

func FuzzUnmarshalWS(f *testing.F) {
	for _, s := range []string{"00e12310000020", "0101aab568656c6c6f", "0145aac0ff6869", "00e52105", "0001", "0000"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := UnmarshalWS(b)
		if err != nil {
			return
		}
		again, err := MarshalWS(m)
		if err != nil {
			t.Fatal(err)
		}
		m2, err := UnmarshalWS(again)
		if err != nil {
			t.Fatal(err)
		}
		sameMessage(t, m, m2)
		s := DefaultSettings
		_, _ = s.Apply(m)
	})
}

func sameMessage(t *testing.T, a, b *Message) {
	t.Helper()
	if a.Code != b.Code || a.Type != b.Type || a.MessageID != b.MessageID || !bytes.Equal(a.Token, b.Token) ||
		!bytes.Equal(a.Payload, b.Payload) || len(a.Options) != len(b.Options) {
		t.Fatalf("%+v became %+v", a, b)
	}
	for i, o := range a.Options {
		if o.ID != b.Options[i].ID || !bytes.Equal(o.Value, b.Options[i].Value) {
			t.Fatalf("option %+v became %+v", o, b.Options[i])
		}
	}
}

func FuzzParseLinks(f *testing.F) {
	for _, s := range []string{`</a>;rt="x y";obs,</b>`, `<>;a=b`, `</a>;t="\""`, "<a"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		links, err := ParseLinks(b)
		if err != nil {
			return
		}
		again, err := ParseLinks(FormatLinks(links))
		if err != nil || !reflect.DeepEqual(again, links) {
			t.Fatalf("%+v became %+v, %v", links, again, err)
		}
	})
}

func FuzzParseReplyFrom(f *testing.F) {
	f.Add(ReplyFrom(netip.MustParseAddrPort("127.1.0.1:5683")))
	f.Add(ReplyFrom(netip.MustParseAddrPort("[::1]:1")))
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, err := ParseReplyFrom(b)
		if err != nil {
			return
		}
		if again, err := ParseReplyFrom(ReplyFrom(addr)); err != nil || again.Port() != addr.Port() || again.Addr() != addr.Addr().Unmap() {
			t.Fatalf("%v became %v, %v", addr, again, err)
		}
	})
}

func FuzzLayer(f *testing.F) {
	f.Add(unhex(f, "40010001"), false)
	f.Add(unhex(f, "6145000174"), false)
	f.Add(unhex(f, "50010001"), true)
	f.Fuzz(func(t *testing.T, b []byte, multicast bool) {
		l := newTestLayer(1, nil)
		if _, err := l.Send(start, addrA, confirmable("t")); err != nil {
			t.Fatal(err)
		}
		l.Drain(nil)
		ev := l.Receive(start, addrA, b, multicast)
		if ev.Kind == EventRequest {
			_ = l.Answer(start, ev.Inbound, Respond(Content, NoFormat, nil))
		} else if ev.Inbound != nil {
			l.Accept(ev.Inbound)
		}
		if out := l.Drain(nil); len(out) > 1 || multicast && ev.Kind == EventNone && len(out) > 0 {
			t.Fatalf("%d answers", len(out))
		}
	})
}

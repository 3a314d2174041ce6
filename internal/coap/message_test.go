package coap

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestNewRequest(t *testing.T) {
	for _, tc := range []struct {
		in, path string
		segments int
	}{
		{"/", "/", 0}, {"", "/", 0}, {"/ll/id", "/ll/id", 2}, {"ll/id", "/ll/id", 2}, {"/a/", "/a/", 2}, {"/ll/id?x=y&z", "/ll/id", 2},
	} {
		m := NewRequest(GET, tc.in, nil)
		n := 0
		for range Each(m, OptionURIPath) {
			n++
		}
		if Path(m) != tc.path || n != tc.segments {
			t.Errorf("%q: path %q of %d segments", tc.in, Path(m), n)
		}
	}
	m := NewRequest(GET, "/ll/id?x=y&z", nil)
	if v, ok := Query(m, "x"); v != "y" || !ok {
		t.Error("x is", v, ok)
	}
	if v, ok := Query(m, "z"); v != "" || !ok {
		t.Error("z is", v, ok)
	}
	if _, ok := Query(m, "q"); ok {
		t.Error("q is there")
	}
}

func TestOptions(t *testing.T) {
	m := &Message{}
	for _, id := range []OptionID{60, 11, 3, 11, 252, 1} {
		AddOption(m, id, []byte{byte(id)})
	}
	for i := 1; i < len(m.Options); i++ {
		if m.Options[i-1].ID > m.Options[i].ID {
			t.Fatal("not in order", m.Options)
		}
	}
	shared := *m
	RemoveOption(m, 11)
	SetOption(m, 3, nil)
	AddOption(m, 2, nil)
	if len(shared.Options) != 6 || shared.Options[1].ID != 3 || len(shared.Options[1].Value) != 1 {
		t.Error("a message that shares the options was changed:", shared.Options)
	}
	if HasOption(m, 11) || GetOption(m, 3) == nil || GetOption(m, 11) != nil {
		t.Error(m.Options)
	}
	for v, want := range map[uint32]int{0: 0, 1: 1, 255: 1, 256: 2, 65536: 3, 1 << 24: 4} {
		x := &Message{}
		AddUint(x, OptionMaxAge, v)
		if got, ok := OptionUint(x, OptionMaxAge); got != v || !ok || len(GetOption(x, OptionMaxAge)) != want {
			t.Errorf("%d is encoded as %x", v, GetOption(x, OptionMaxAge))
		}
	}
	AddOption(m, OptionSize2, make([]byte, 5))
	if _, ok := OptionUint(m, OptionSize2); ok {
		t.Error("a uint of five bytes")
	}
}

func TestCheckOptions(t *testing.T) {
	for _, tc := range []struct {
		id      OptionID
		length  int
		times   int
		refused bool
		left    int
	}{
		{OptionURIPath, 255, 3, false, 3},
		{OptionURIPath, 256, 1, true, 0},
		{OptionURIHost, 0, 1, true, 0},
		{OptionURIPort, 2, 2, true, 0},
		{OptionIfMatch, 1, 1, true, 0},
		{OptionBlock1, 1, 1, true, 0},
		{9999, 0, 1, true, 0},
		{9998, 1000, 2, false, 2},
		{OptionETag, 9, 1, false, 0},
		{OptionObserve, 3, 2, false, 1},
		{OptionMulticastTimeout, 5, 1, false, 0},
	} {
		m := &Message{}
		for range tc.times {
			AddOption(m, tc.id, make([]byte, tc.length))
		}
		err := CheckOptions(m)
		if errors.Is(err, ErrBadOption) != tc.refused || !tc.refused && len(m.Options) != tc.left {
			t.Errorf("%d times option %d with %d bytes: %v, %d left", tc.times, tc.id, tc.length, err, len(m.Options))
		}
	}
}

func TestMux(t *testing.T) {
	x := NewMux()
	answer := func(text string) HandlerFunc {
		return func(ctx context.Context, req *Request) *Message {
			return Respond(Content, FormatText, []byte(text+Param(ctx, "name")))
		}
	}
	x.Handle(GET, "/", answer("root"))
	x.Handle(GET, "/ll/groups", answer("list"))
	x.Handle(PUT, "/ll/groups/{name}", answer("put "))
	x.Handle(GET, "/ll/groups/all", answer("all"))
	accept := NewRequest(GET, "/ll/groups", nil)
	AddUint(accept, OptionAccept, FormatCBOR)
	for _, tc := range []struct {
		req     *Message
		code    Code
		payload string
	}{
		{NewRequest(GET, "/", nil), Content, "root"},
		{NewRequest(GET, "/ll/groups", nil), Content, "list"},
		{NewRequest(PUT, "/ll/groups/hall", nil), Content, "put hall"},
		{NewRequest(GET, "/ll/groups/all", nil), Content, "all"},
		{NewRequest(POST, "/ll/groups", nil), MethodNotAllowed, ""},
		{NewRequest(GET, "/ll", nil), NotFound, ""},
		{NewRequest(GET, "/ll/groups/", nil), MethodNotAllowed, ""},
		{accept, NotAcceptable, ""},
	} {
		got := x.Serve(context.Background(), &Request{Message: tc.req})
		if got.Code != tc.code || tc.payload != "" && string(got.Payload) != tc.payload {
			t.Errorf("%v: %v %s", tc.req, got.Code, got.Payload)
		}
	}
}

type fakeOpener struct {
	name string
	err  error
}

func (o fakeOpener) Open(_ context.Context, outer *Request) (*Opened, *Message, error) {
	if o.err != nil {
		return nil, Problem(Unauthorized, "Replay detected"), o.err
	}
	if string(GetOption(outer.Message, OptionOSCORE)) != o.name {
		return nil, nil, fmt.Errorf("looking: %w", ErrNoContext)
	}
	inner := NewRequest(GET, "/inner", outer.Payload)
	if string(outer.Payload) == "critical" {
		AddOption(inner, 9999, nil)
	}
	seal := func(m *Message) (*Message, error) {
		if m.Code == Deleted {
			return nil, errors.New("no")
		}
		return Respond(Changed, NoFormat, []byte("sealed "+CodeString(m.Code))), nil
	}
	return &Opened{Message: inner, Peer: Peer{Kind: PeerPSK, Name: o.name}, Seal: seal}, nil, nil
}

func TestSecure(t *testing.T) {
	h := HandlerFunc(func(_ context.Context, req *Request) *Message {
		switch {
		case string(req.Payload) == "silent":
			return nil
		case string(req.Payload) == "unsealable":
			return Respond(Deleted, NoFormat, nil)
		}
		return Respond(Content, NoFormat, []byte(req.Peer.Name))
	})
	s := Secure(h, fakeOpener{name: "a"}, fakeOpener{name: "b"})
	request := func(name, payload string) *Message {
		m := NewRequest(POST, "/", []byte(payload))
		if name != "" {
			AddOption(m, OptionOSCORE, []byte(name))
		}
		return m
	}
	for _, tc := range []struct {
		name      string
		m         *Message
		multicast bool
		code      Code
		payload   string
	}{
		{"plain", request("", ""), false, Content, ""},
		{"second opener", request("b", ""), false, Changed, "sealed 2.05"},
		{"nobody's", request("C", ""), false, Unauthorized, "Security context not found"},
		{"nobody's, group", request("c", ""), true, Empty, ""},
		{"silent", request("a", "silent"), false, Empty, ""},
		{"not sealable", request("a", "unsealable"), false, Empty, ""},
		{"critical option inside", request("a", "critical"), false, Changed, "sealed 4.02"},
		{"critical option inside, group", request("a", "critical"), true, Empty, ""},
	} {
		req := &Request{Message: tc.m, Multicast: tc.multicast, Peer: Peer{Kind: PeerGroup, Name: "forged"}}
		got := s.Serve(context.Background(), req)
		if got == nil && tc.code != Empty || got != nil && (got.Code != tc.code || string(got.Payload) != tc.payload) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	replay := Secure(h, fakeOpener{err: errors.New("replay")}, fakeOpener{name: "a"})
	if got := replay.Serve(context.Background(), &Request{Message: request("a", "")}); got == nil || string(got.Payload) != "Replay detected" {
		t.Errorf("replay: %+v", got)
	}
}

func TestCheckResponse(t *testing.T) {
	if err := CheckResponse(Respond(Changed, NoFormat, nil)); err != nil {
		t.Error(err)
	}
	err := CheckResponse(Problem(Forbidden, "Not yours."))
	var re *ResponseError
	if !errors.As(err, &re) || re.Code != Forbidden || err.Error() != "the peer answered 4.03 (Not yours.)" {
		t.Error(err)
	}
	for _, m := range []*Message{Respond(BadRequest, FormatCBOR, []byte("x")), Problem(BadRequest, "\x00"), Problem(BadRequest, "\xff")} {
		if err := CheckResponse(m); err.Error() != "the peer answered 4.00" {
			t.Error(err)
		}
	}
}

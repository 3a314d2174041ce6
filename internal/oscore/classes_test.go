package oscore

import (
	"bytes"
	"fmt"
	"testing"

	"lamplighter/internal/coap"
)

// Class E goes inside, Class U stays outside, and outer Class E options that
// someone adds on the way are dropped. RFC 8613, Section 4.1.
func TestClasses(t *testing.T) {
	client, server := newPair(t)
	req := coap.NewRequest(coap.POST, "/p?q=1", []byte("payload"))
	for _, o := range []coap.Option{
		{ID: coap.OptionURIHost, Value: []byte("example.com")},
		{ID: coap.OptionURIPort, Value: []byte{0x16, 0x33}},
		{ID: coap.OptionProxyScheme, Value: []byte("coap")},
		{ID: coap.OptionHopLimit, Value: []byte{9}},
		{ID: coap.OptionMulticastTimeout, Value: []byte{5}},
		{ID: coap.OptionIfMatch, Value: []byte("tag")},
		{ID: coap.OptionContentFormat, Value: []byte{60}},
		{ID: coap.OptionAccept, Value: []byte{60}},
		{ID: coap.OptionBlock1, Value: []byte{6}},
		{ID: coap.OptionSize1, Value: []byte{7}},
		{ID: coap.OptionEcho, Value: []byte("echo")},
		{ID: coap.OptionNoResponse, Value: []byte{26}},
		{ID: coap.OptionRequestTag, Value: []byte{1}},
		{ID: 65001, Value: []byte("unknown")},
	} {
		coap.AddOption(req, o.ID, o.Value)
	}
	req.Options[0], req.Options[5] = req.Options[5], req.Options[0] // callers need not sort
	outer, _, err := client.ProtectRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	got := []coap.OptionID{}
	for _, o := range outer.Options {
		got = append(got, o.ID)
	}
	want := []coap.OptionID{coap.OptionMulticastTimeout, coap.OptionURIHost, coap.OptionURIPort, coap.OptionOSCORE, coap.OptionHopLimit, coap.OptionProxyScheme}
	if fmt.Sprint(got) != fmt.Sprint(want) || outer.Code != coap.POST {
		t.Fatalf("outside: %v %v, want %v", outer.Code, got, want)
	}
	for _, secret := range []string{"payload", "tag", "echo", "unknown"} {
		if bytes.Contains(outer.Payload, []byte(secret)) {
			t.Errorf("%q is readable", secret)
		}
	}
	on := over(t, outer)
	for _, o := range []coap.OptionID{coap.OptionIfMatch, coap.OptionURIPath, coap.OptionMaxAge, coap.OptionBlock2, coap.OptionSize2, coap.OptionNoResponse, coap.OptionObserve, 65003} {
		coap.AddOption(on, o, []byte{1})
	}
	on.Code = coap.FETCH
	in, _, err := server.UnprotectRequest(on)
	if err != nil {
		t.Fatal(err)
	}
	req.Options = sorted(req.Options)
	sameMessage(t, "request", in, req)
}

func TestResponseClasses(t *testing.T) {
	client, server := newPair(t)
	resp := content("b")
	coap.AddUint(resp, coap.OptionMaxAge, 30)
	coap.AddOption(resp, coap.OptionETag, []byte("t"))
	coap.AddUint(resp, coap.OptionObserve, 5) // nobody asked: dropped
	outer, cb, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	outer, err = server.ProtectResponse(resp, sb)
	if err != nil {
		t.Fatal(err)
	}
	if len(outer.Options) != 1 || outer.Code != coap.Changed {
		t.Fatalf("outside: %v %v", outer.Code, outer.Options)
	}
	coap.AddUint(outer, coap.OptionMaxAge, 0)
	coap.AddOption(outer, coap.OptionReplyFrom, []byte("proxy's"))
	got, err := client.UnprotectResponse(over(t, outer), cb)
	if err != nil {
		t.Fatal(err)
	}
	coap.RemoveOption(resp, coap.OptionObserve)
	coap.AddOption(resp, coap.OptionReplyFrom, []byte("proxy's"))
	sameMessage(t, "response", got, resp)
}

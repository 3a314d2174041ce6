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

// optionClasses is how each option travels that has a class. In the table of RFC
// 8613 some have both; an outer instance of these is made and used by proxies
// only, so that here they are of Class E.
var optionClasses = []struct {
	id    coap.OptionID
	name  string
	outer bool
}{
	// RFC 8613, Figure 5, but for Observe and OSCORE.
	{1, "If-Match", false},
	{3, "Uri-Host", true},
	{4, "ETag", false},
	{5, "If-None-Match", false},
	{7, "Uri-Port", true},
	{8, "Location-Path", false},
	{11, "Uri-Path", false},
	{12, "Content-Format", false},
	{14, "Max-Age", false}, // and U
	{15, "Uri-Query", false},
	{17, "Accept", false},
	{20, "Location-Query", false},
	{23, "Block2", false}, // and U
	{27, "Block1", false}, // and U
	{28, "Size2", false},  // and U
	{39, "Proxy-Scheme", true},
	{60, "Size1", false},        // and U
	{258, "No-Response", false}, // and U
	// Defined later.
	{16, "Hop-Limit", true},        // RFC 8768: each proxy counts it down
	{19, "Q-Block1", false},        // RFC 9177, and U
	{21, "EDHOC", true},            // RFC 9668
	{31, "Q-Block2", false},        // RFC 9177, and U
	{252, "Echo", false},           // RFC 9175, and U
	{292, "Request-Tag", false},    // RFC 9175, and U
	{2, "Multicast-Timeout", true}, // draft-ietf-core-groupcomm-proxy
	{24, "Group-ETag", true},
	{248, "Reply-From", true},
	// Without a class.
	{13, "unknown", false},
	{65000, "unknown", false},
	{65001, "unknown and critical", false},
}

// One option at a time, in a request and in a response: where it travels, and
// that an outer instance which is not of Class U alone counts for nothing.
func TestEachClass(t *testing.T) {
	client, server := newPair(t)
	value, injected := []byte("mine"), []byte("injected")
	for _, c := range optionClasses {
		req, resp := get("/p"), content("b")
		coap.RemoveOption(req, c.id)
		coap.RemoveOption(resp, c.id)
		plainReq, plainResp := coap.Clone(req), coap.Clone(resp)
		coap.AddOption(req, c.id, value)
		coap.AddOption(resp, c.id, value)

		outerReq, cb, err := client.ProtectRequest(req)
		if err != nil {
			t.Fatal(err)
		}
		gotReq, sb, err := server.UnprotectRequest(over(t, outerReq))
		if err != nil {
			t.Fatal(err)
		}
		sameMessage(t, c.name, gotReq, req)
		outerResp, err := server.ProtectResponse(resp, sb)
		if err != nil {
			t.Fatal(err)
		}
		gotResp, err := client.UnprotectResponse(over(t, outerResp), cb)
		if err != nil {
			t.Fatal(err)
		}
		sameMessage(t, c.name, gotResp, resp)
		if coap.HasOption(outerReq, c.id) != c.outer || coap.HasOption(outerResp, c.id) != c.outer {
			t.Errorf("%s: outside %v", c.name, coap.HasOption(outerReq, c.id))
		}

		outerReq, cb, err = client.ProtectRequest(plainReq)
		if err != nil {
			t.Fatal(err)
		}
		coap.AddOption(outerReq, c.id, injected)
		gotReq, sb, err = server.UnprotectRequest(over(t, outerReq))
		if err != nil {
			t.Fatal(err)
		}
		if outerResp, err = server.ProtectResponse(plainResp, sb); err != nil {
			t.Fatal(err)
		}
		coap.AddOption(outerResp, c.id, injected)
		if gotResp, err = client.UnprotectResponse(over(t, outerResp), cb); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*coap.Message{gotReq, gotResp} {
			if got := coap.GetOption(m, c.id); (got != nil) != c.outer || c.outer && !bytes.Equal(got, injected) {
				t.Errorf("%s: an outer instance arrives as %q", c.name, got)
			}
		}
	}
}

// What is inside is authentic: an outer instance does not replace it.
func TestInnerBeatsOuter(t *testing.T) {
	client, server := newPair(t)
	plaintext := appendCoAPOption([]byte{byte(coap.GET)}, coap.OptionURIHost, []byte("inside"))
	outer := client.sealRaw(t, plaintext)
	coap.AddOption(outer, coap.OptionURIHost, []byte("outside"))
	req, _, err := server.UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	if len(req.Options) != 1 || string(req.Options[0].Value) != "inside" {
		t.Errorf("got %v", req.Options)
	}
}

// RFC 8613, Section 4.1.3.5: Observe is inside and outside, in a notification
// empty inside.
func TestObserveClass(t *testing.T) {
	client, server := newPair(t)
	_, sb := registration(t, client, server)
	notify(t, server, sb, 5)
	m, err := parse(server.plaintext)
	if err != nil {
		t.Fatal(err)
	}
	if v := coap.GetOption(m, coap.OptionObserve); v == nil || len(v) > 0 {
		t.Errorf("inside %x", v)
	}
}

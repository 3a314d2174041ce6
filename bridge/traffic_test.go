package main

import (
	"net/netip"
	"testing"

	"lamplighter/bridge/proxy"
	"lamplighter/internal/coap"
)

// TestTokensUsedAgain: an answer is named after the request that it is for, and not
// after what another client, or the same one earlier, asked under that token.
func TestTokensUsedAgain(t *testing.T) {
	tap := newTrafficTap()
	one, two := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	send := func(d proxy.Direction, client netip.AddrPort, m *coap.Message) {
		m.Token = coap.Token{1}
		b, err := coap.MarshalWS(m)
		if err != nil {
			t.Fatal(err)
		}
		tap.record(d, client, b)
	}
	protected := func() *coap.Message {
		m := coap.NewRequest(coap.POST, "/", nil)
		coap.AddOption(m, coap.OptionOSCORE, []byte{9})
		return m
	}
	send(proxy.FromClient, one, coap.NewRequest(coap.GET, "/ll/id", nil))
	send(proxy.ToClient, one, coap.Respond(coap.Content, -1, nil))
	send(proxy.FromClient, two, protected())
	send(proxy.ToClient, two, coap.Respond(coap.Content, -1, nil))
	send(proxy.FromClient, one, protected())
	send(proxy.ToClient, one, coap.Respond(coap.Content, -1, nil))
	r := tap.report()
	if r.Unprotected["2.05 to GET /ll/id"] != 1 || r.Unprotected["2.05 to a protected request"] != 2 {
		t.Errorf("counted %v", r.Unprotected)
	}
}

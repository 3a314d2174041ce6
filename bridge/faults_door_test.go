package main

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// signedIn gives the header lines of a client that is let in.
func (s *faultSite) signedIn() []string {
	s.t.Helper()
	token, err := endpoint.SignIn(s.t.Context(), s.bridge.url(), s.accessCode())
	if err != nil {
		s.t.Fatal(err)
	}
	s.secret("a session's token", []byte(token))
	return []string{"Sec-WebSocket-Protocol: coap", "Authorization: Bearer " + token}
}

// TestBridgeDoor: who is not signed in, who comes from a page of another origin
// or under another name, and who forges a session stays outside.
func TestBridgeDoor(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	in, own := s.signedIn(), s.bridge.url()
	token := strings.TrimPrefix(in[1], "Authorization: Bearer ")
	_, port, _ := net.SplitHostPort(s.bridge.listener.Addr().String())
	cookie := "Cookie: lamplighter-" + port + "="
	forged := []byte(token)
	forged[len(forged)-3] ^= 1
	for _, tt := range []struct {
		what  string
		want  int
		lines []string
	}{
		{"a client with a token", 101, in},
		{"a page with a cookie", 101, []string{in[0], cookie + token, "Origin: " + own}},
		{"nobody", 401, in[:1]},
		{"an empty cookie", 401, []string{in[0], cookie, "Origin: " + own}},
		{"a forged token", 401, []string{in[0], "Authorization: Bearer " + string(forged)}},
		{"a forged cookie", 401, []string{in[0], cookie + string(forged), "Origin: " + own}},
		{"the access code in place of a token", 401, []string{in[0], "Authorization: Bearer " + s.accessCode()}},
		{"a page of another origin", 403, []string{in[0], cookie + token, "Origin: https://evil.example"}},
		{"a page of another port of this machine", 403, []string{in[0], cookie + token, "Origin: http://127.0.0.1:1"}},
		{"a page without an origin", 403, []string{in[0], cookie + token, "Origin: null"}},
		{"another name for this address", 421, append([]string{"Host: evil.example:" + port}, in...)},
	} {
		if status, _ := s.upgrade(tt.lines...); status != tt.want {
			t.Errorf("%s: %d, want %d", tt.what, status, tt.want)
		}
	}
	if status, r := s.upgrade(in[1]); status == 101 {
		r.ended("no subprotocol")
	}
	for _, body := range []string{"", "{", `{"code":7}`, `{"code":"` + strings.Repeat("x", 9000) + `"}`, `{"code":"wrong"}`} {
		resp, err := http.Post(own+"/session", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 || len(resp.Cookies()) > 0 {
			t.Errorf("signing in with %.20q: %s", body, resp.Status)
		}
	}
}

// TestBridgeTargets: the bridge forwards to the networks, ports and groups that
// are configured, and to nothing else, however the target is written.
func TestBridgeTargets(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	_, r := s.upgrade(s.signedIn()...)
	r.send(message(t, coap.NewCSM(1<<16)))
	if m, err := r.read(); err != nil || m.Code != coap.CSM {
		t.Fatalf("%v, %v", m, err)
	}
	ask := func(options ...coap.Option) coap.Code {
		m := coap.NewRequest(coap.GET, "/ll/id", nil)
		for _, o := range options {
			coap.AddOption(m, o.ID, o.Value)
		}
		m.Token = coap.Token("t")
		r.send(message(t, m))
		resp, err := r.read()
		if err != nil {
			t.Fatal(err)
		}
		return resp.Code
	}
	to := func(host string, port int) []coap.Option {
		return []coap.Option{{ID: coap.OptionProxyScheme, Value: []byte("coap")}, {ID: coap.OptionURIHost, Value: []byte(host)},
			{ID: coap.OptionURIPort, Value: coap.EncodeUint(uint32(port))}}
	}
	uri := func(text string) []coap.Option { return []coap.Option{{ID: coap.OptionProxyURI, Value: []byte(text)}} }
	seconds := coap.Option{ID: coap.OptionMulticastTimeout, Value: []byte{1}}
	lamp := s.lamps.lamps[0].addr
	for _, tt := range []struct {
		what    string
		want    coap.Code
		options []coap.Option
	}{
		{"a lamp", coap.Content, to(lamp.Addr().String(), coapPort)},
		{"a lamp by URI", coap.Content, uri("coap://" + lamp.String() + "/ll/id")},
		{"a host outside", coap.Forbidden, to("8.8.8.8", coapPort)},
		{"a private network", coap.Forbidden, to("192.168.1.1", coapPort)},
		{"the cloud's metadata", coap.Forbidden, uri("coap://169.254.169.254/latest")},
		{"no address at all", coap.Forbidden, to("0.0.0.0", coapPort)},
		{"another family", coap.Forbidden, to("[::1]", coapPort)},
		{"a mapped address", coap.Forbidden, to("[::ffff:8.8.8.8]", coapPort)},
		{"a port below the range", coap.Forbidden, to("127.0.0.1", 53)},
		{"a group that is not served", coap.Unauthorized, append(to("224.0.0.251", 5353), seconds)},
		{"another port of the group", coap.Unauthorized, append(to(s.slot.group.Addr().String(), 9), seconds)},
		{"a group without a timeout", coap.BadRequest, to(s.slot.group.Addr().String(), int(s.slot.group.Port()))},
		{"everybody", coap.Forbidden, to("255.255.255.255", coapPort)},
		{"another scheme", coap.ProxyingNotSupported, uri("coaps://127.0.0.1/")},
		{"the web", coap.ProxyingNotSupported, uri("http://127.0.0.1:8080/")},
		{"somebody's name and password", coap.BadRequest, uri("coap://a:b@127.0.0.1/")},
		{"the bridge itself", coap.NotFound, nil},
		{"an option that nobody knows", coap.BadOption, append(to(lamp.Addr().String(), coapPort), coap.Option{ID: 65001, Value: []byte("x")})},
	} {
		if code := ask(tt.options...); code != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, coap.CodeString(code), coap.CodeString(tt.want))
		}
	}
}

package gm

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// Whatever anyone sends to any resource, the Group Manager answers, does not
// panic, does not fail itself, and its group stays one that can be read.
func FuzzResources(f *testing.F) {
	paths := []string{
		"/authz-info", "/ace-group", "/ace-group/hall", "/ace-group/hall/active", "/ace-group/hall/creds",
		"/ace-group/hall/kdc-cred", "/ace-group/hall/stale-sids", "/ace-group/hall/policies", "/ace-group/hall/num",
		"/ace-group/hall/nodes/n0", "/ace-group/hall/nodes", "/ace-group/hall/nodes/n0/cred", "/ace-group/hall/verif-data", "/ace-group//", "", "/ace-group/stairs/verif-data",
	}
	jr := ace.JoinRequest{Scope: ace.EncodeJoinScope(scope(testGroup, both)), CNonce: make([]byte, 8), ClientCred: []byte{}}
	payloads := [][]byte{
		nil, {0xa0}, {0x40}, {0xff}, {0x00}, ace.Encode(jr),
		ace.Encode(ace.GroupsRequest{GIDs: [][]byte{{1}, {}}}),
		ace.Encode(ace.CredsRequest{GetCreds: ace.GetCreds{Filter: &ace.CredsFilter{Roles: []ace.Role{6}, IDs: [][]byte{{0}, nil}}}}),
		ace.Encode(ace.AuthzInfoRequest{AccessToken: []byte{0xd8, 0x3d, 0xd0, 0x83}, Nonce1: make([]byte, 8), ID1: []byte{}}),
		ace.Encode(ace.KDCCredRequest{CNonce: make([]byte, 8)}),
		ace.Encode(ace.CredUpload{ClientCred: []byte{0xa0}, CNonce: make([]byte, 8), ClientCredVerify: make([]byte, 64)}),
		{0xa1, 0x03, 0xd9, 0x01, 0x00, 0x40}, {0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	}
	for i, path := range paths {
		for j, payload := range payloads {
			f.Add(uint8(i+j), path, uint16(ace.FormatACEGroupcomm), uint8(i), payload)
		}
		f.Add(uint8(i), path, uint16(ace.FormatACE), uint8(0), []byte{0xa1, 0x01, 0x41, 0x00})
	}
	methods := []coap.Code{coap.GET, coap.POST, coap.PUT, coap.DELETE, coap.FETCH, coap.PATCH, coap.IPATCH}
	f.Fuzz(func(t *testing.T, method uint8, path string, format uint16, peer uint8, payload []byte) {
		w := newWorld(t)
		member := w.join("dev", both)
		out, verifier := w.applicant("out", both), w.applicant("ver", ace.RoleVerifier)
		req := &coap.Request{Message: request(methods[int(method)%len(methods)], path, int(format), payload)}
		if id := []string{"", member.gm.id, out.gm.id, verifier.gm.id}[peer%4]; id != "" {
			req.Peer = coap.Peer{Kind: coap.PeerACE, Name: id}
		}
		resp := w.s.serve(context.Background(), req)
		if resp == nil {
			t.Fatal("silence")
		}
		if resp.Code == coap.InternalServerError {
			t.Errorf("%v %s failed: %q", req.Code, path, resp.Payload)
		}
		w.group()
		w.members()
	})
}

// Whatever an administrator asks for, the Group Manager answers and does not fail
// itself, and what it shows and stores afterwards is whole.
func FuzzManage(f *testing.F) {
	paths := []string{"/manage", "/manage/hall", "/manage/hall/members", "/manage/hall/evict", "/manage/hall/rekey", "/manage/attic", "/manage//", "/.well-known/core"}
	payloads := [][]byte{
		nil, {0xa0}, {0xff}, ace.Encode(recommended), ace.Encode(named("attic")), ace.Encode(ace.ConfFilter{Labels: []int{-1, 11}}),
		ace.Encode(ace.EvictRequest{Nodes: []string{"n0"}}), ace.Encode(ace.RekeyRequest{Preview: true}), ace.Encode(ace.Configuration{Active: ace.Is(false)}),
	}
	for _, wish := range wishes {
		payloads = append(payloads, ace.Encode(wish))
	}
	for i, path := range paths {
		for j, payload := range payloads {
			f.Add(uint8(i+j), path, ace.FormatACEGroupcomm+(i+j)%2*(ace.FormatCBOR-ace.FormatACEGroupcomm), []byte(nil), payload)
		}
	}
	methods := []coap.Code{coap.GET, coap.POST, coap.PUT, coap.DELETE, coap.FETCH, coap.PATCH, coap.IPATCH}
	f.Fuzz(func(t *testing.T, method uint8, path string, format int, match, payload []byte) {
		w := newWorld(t, withP256)
		w.join("dev", both)
		boss := w.chief()
		req := request(methods[int(method)%len(methods)], path, int(uint16(format)), payload)
		if match != nil {
			coap.AddOption(req, coap.OptionIfMatch, match)
		}
		resp := w.s.serve(context.Background(), &coap.Request{Message: req, Peer: coap.Peer{Kind: coap.PeerACE, Name: boss.id}})
		if resp == nil || resp.Code == coap.InternalServerError {
			t.Fatalf("%v %s failed: %v", req.Code, path, resp)
		}
		for _, name := range linkNames(t, w.call(boss, coap.GET, "/manage", -1, nil)) {
			name, err := url.PathUnescape(name)
			if err != nil {
				t.Fatal(err)
			}
			get := coap.NewRequest(coap.GET, "/manage", nil)
			coap.AddOption(get, coap.OptionURIPath, []byte(name))
			shown, _ := boss.Call(t.Context(), get)
			wantCode(t, name, shown, coap.Content)
			if c := wantConfiguration(t, shown); inconsistent(c) != "" || w.s.unsupportedWhole(c) != "" {
				t.Errorf("%q: %x", name, shown.Payload)
			}
		}
		checkStore(t, w.store)
	})
}

// Datagrams of any content reach the Group Manager through its own front.
func FuzzDatagram(f *testing.F) {
	add := func(m *coap.Message) {
		m.Token, m.MessageID, m.Type = coap.Token{1}, 7, coap.Confirmable
		if b, err := coap.MarshalUDP(m); err == nil {
			f.Add(b)
		}
	}
	add(request(coap.POST, "/authz-info", ace.FormatACE, []byte{0xa1, 0x01, 0x41, 0x00}))
	add(request(coap.POST, "/ace-group/hall", ace.FormatACEGroupcomm, []byte{0xa0}))
	protected := coap.NewRequest(coap.POST, "/", []byte("0123456789"))
	coap.AddOption(protected, coap.OptionOSCORE, []byte{0x09, 0x01, 0x02})
	add(protected)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		m, err := coap.UnmarshalUDP(datagram)
		if err != nil {
			t.Skip()
		}
		w := newWorld(t)
		w.join("dev", both)
		w.s.Handler().Serve(context.Background(), &coap.Request{Message: m})
	})
}

func BenchmarkJoin(b *testing.B) {
	w := newWorld(b)
	a := w.applicant("dev", both)
	payload := ace.Encode(a.request(ace.RoleResponder))
	for b.Loop() {
		if m := w.call(a.gm, coap.POST, "/ace-group/hall", ace.FormatACEGroupcomm, payload); coap.Class(m.Code) != 2 {
			w.restart()
			if err := w.s.Rekey(b.Context(), testGroup, ""); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// What is taken for the URI of a resource names an address and a path that a request
// can carry.
func FuzzEndpointOf(f *testing.F) {
	for _, uri := range []string{
		"coap://127.0.0.1:5683/ace-group/hall/node", "coap://[2001:db8::1]/x", "coaps://10.0.0.1/a%20b", "coap://host/x", "coap://1.2.3.4:99999/", "http://1.2.3.4/", "",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		to, path, err := endpointOf(uri)
		if err != nil {
			return
		}
		if !to.IsValid() || !strings.HasPrefix(uri, "coap") && !strings.HasPrefix(strings.ToLower(uri), "coap") {
			t.Fatalf("%q leads to %v", uri, to)
		}
		coap.NewRequest(coap.POST, path, nil)
	})
}

package gm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// cborTo posts a payload in application/cbor.
func (w *world) cborTo(gm coap.Caller, path string, v any) *coap.Message {
	w.t.Helper()
	return w.call(gm, coap.POST, path, ace.FormatCBOR, ace.Encode(v))
}

// An administrator evicts members: first it is told what that will do, then it is
// done, with one rekeying.
func TestManageEvict(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	a, b, c := w.join("a", both), w.join("b", both), w.join("c", both)
	resp := w.cborTo(boss, "/manage/hall/evict", ace.EvictRequest{Nodes: []string{"n0", "n1"}, Preview: true})
	wantCode(t, "preview", resp, coap.Changed)
	p, err := ace.Decode[ace.RekeyPreview](resp.Payload)
	if err != nil || !slices.Equal(p.Evicted, []string{"n0", "n1"}) || !slices.Equal(p.Keys, []string{"n2"}) || len(p.Stale) != 2 || !bytes.Equal(p.Stale[0], a.m.SenderID) {
		t.Errorf("%v %+v", err, p)
	}
	if len(w.members()) != 3 || w.group().Num != 0 {
		t.Error("the preview did it")
	}
	wantCode(t, "evict", w.cborTo(boss, "/manage/hall/evict", ace.EvictRequest{Nodes: []string{"n0", "n1"}}), coap.Changed)
	if m := w.members(); len(m) != 1 || m[0].Subject != "c" || w.group().Num != 1 {
		t.Errorf("%+v, num %d", m, w.group().Num)
	}
	for _, gone := range []*admitted{a, b} {
		wantProblem(t, "the evicted", w.call(gone.gm, coap.GET, "/ace-group/hall/num", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
	}
	if _, _, changed, err := c.client.Update(t.Context(), c.m); err != nil || !changed {
		t.Errorf("who stays: %v %v", changed, err)
	}
	before := w.group()
	for name, v := range map[string]any{"nobody": ace.EvictRequest{Nodes: []string{}}, "an array": []int{1}, "too many": ace.EvictRequest{Nodes: make([]string, 1000)}} {
		wantCode(t, name, w.cborTo(boss, "/manage/hall/evict", v), coap.BadRequest)
	}
	for _, preview := range []bool{true, false} {
		wantCode(t, "no such member", w.cborTo(boss, "/manage/hall/evict", ace.EvictRequest{Nodes: []string{"n2", "n9"}, Preview: preview}), coap.NotFound)
	}
	wantCode(t, "another format", w.call(boss, coap.POST, "/manage/hall/evict", cf261, ace.Encode(ace.EvictRequest{Nodes: []string{"n2"}})), coap.UnsupportedFormat)
	if after := w.group(); after.Num != before.Num || len(w.members()) != 1 {
		t.Error("a refused eviction did something")
	}
}

// An administrator asks for new keys and watches them go out.
func TestManageRekey(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	a := w.join("dev", both)
	x := w.watch(boss, coap.GET, "/manage/hall/rekey", "t", nil)
	wantCode(t, "progress", x.first, coap.Content)
	p, err := ace.Decode[ace.RekeyProgress](x.first.Payload)
	if err != nil || p.Started != 0 || p.Num != 0 || !p.Done() || p.Total != 1 {
		t.Errorf("at first: %v %+v", err, p)
	}
	resp := w.cborTo(boss, "/manage/hall/rekey", ace.RekeyRequest{Preview: true})
	if p, err := ace.Decode[ace.RekeyPreview](resp.Payload); err != nil || resp.Code != coap.Changed || !slices.Equal(p.Keys, []string{"n0"}) || len(p.Evicted) != 0 || w.group().Num != 0 {
		t.Errorf("preview: %v %+v", err, p)
	}
	wantCode(t, "rekey", w.cborTo(boss, "/manage/hall/rekey", ace.RekeyRequest{}), coap.Changed)
	m := x.next()
	if m == nil {
		t.Fatal("the observer was not told")
	}
	if p, err = ace.Decode[ace.RekeyProgress](m.Payload); err != nil || p.Num != 1 || p.Started == 0 || p.Reason != string(ReasonAsked) {
		t.Errorf("told: %v %+v", err, p)
	}
	if _, _, changed, err := a.client.Update(t.Context(), a.m); err != nil || !changed {
		t.Errorf("the member: %v %v", changed, err)
	}
	resp = w.call(boss, coap.GET, "/manage/hall/rekey", -1, nil)
	if p, err = ace.Decode[ace.RekeyProgress](resp.Payload); err != nil || p.Confirmed != 1 {
		t.Errorf("in the end: %v %+v", err, p)
	}
	resp = w.call(boss, coap.GET, "/manage/hall/members", -1, nil)
	if all, err := ace.Decode[ace.MembersResponse](resp.Payload); err != nil || (*all)[0].Num == nil || *(*all)[0].Num != 1 {
		t.Errorf("the member's version: %v %x", err, resp.Payload)
	}
	wantCode(t, "no CBOR", w.call(boss, coap.POST, "/manage/hall/rekey", ace.FormatCBOR, []byte{0xff}), coap.BadRequest)
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
	wantCode(t, "delete", w.call(boss, coap.DELETE, "/manage/hall", -1, nil), coap.Deleted)
	for m = x.next(); m != nil && m.Code == coap.Content; m = x.next() {
	}
	if m == nil || m.Code != coap.NotFound {
		t.Errorf("the end: %v", m)
	}
}

// Members come in pages.
func TestManageMembersPages(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	const many = ace.MembersPage + 5
	for i := range many {
		w.join(fmt.Sprint("dev", i), both)
	}
	page := func(after string) ace.MembersResponse {
		req := request(coap.GET, "/manage/hall/members", -1, nil)
		if after != "" {
			coap.AddOption(req, coap.OptionURIQuery, []byte("after="+after))
		}
		resp, _ := boss.Call(t.Context(), req)
		wantCode(t, "members", resp, coap.Content)
		all, err := ace.Decode[ace.MembersResponse](resp.Payload)
		if err != nil {
			t.Fatal(err)
		}
		return *all
	}
	first := page("")
	rest := page(first[len(first)-1].Node)
	if len(first) != ace.MembersPage || len(rest) != many-ace.MembersPage || len(page(rest[len(rest)-1].Node)) != 0 {
		t.Errorf("pages of %d and %d", len(first), len(rest))
	}
	seen := map[string]bool{}
	for _, m := range append(first, rest...) {
		seen[m.Node] = true
	}
	if len(seen) != many {
		t.Errorf("%d members", len(seen))
	}
	req := request(coap.GET, "/manage/hall/members", -1, nil)
	coap.AddOption(req, coap.OptionURIQuery, []byte("before=n1"))
	resp, _ := boss.Call(t.Context(), req)
	wantCode(t, "another query", resp, coap.BadRequest)
}

// This project's policies are set with the configuration, and the group goes by
// them.
func TestManagePolicies(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	mine := ace.AdminPolicies{
		RekeyOnJoin: ace.Is(true), RekeyPeriod: ace.Is[uint64](86400), RekeyingScheme: ace.Is(ace.RekeyingCompleteSubtree), Multicast: ace.Is("224.0.1.187:5683"),
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Policies: ace.Is(mine)}, coap.Changed)
	if c, _ := w.configurationOf(boss, "hall"); c.Policies.Value != defaultPolicies(mine) {
		t.Errorf("%+v", c.Policies)
	}
	if g := w.group(); g.ControlGroupURI != "coap://224.0.1.187:5683/ace-group/hall" || g.Period != 86400 {
		t.Errorf("control_group_uri %q, period %d", g.ControlGroupURI, g.Period)
	}
	w.join("a", both)
	b := w.applicant("b", both)
	r := wantAnswer(t, b.send(b.request(both)), coap.Created)
	if r.Num != 2 || r.RekeyingScheme != ace.RekeyingCompleteSubtree || r.MgtKeyMaterial == nil || r.ControlGroupURI == "" {
		t.Errorf("join: num %d, scheme %d, %q", r.Num, r.RekeyingScheme, r.ControlGroupURI)
	}
	w.edit(func(g *groupRecord) { g.ControlGroupURI = "coap://224.0.1.188/x" }) // the operator's
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{GroupDescription: ace.Is("x")}, coap.Changed)
	if g := w.group(); g.ControlGroupURI != "coap://224.0.1.188/x" {
		t.Errorf("control_group_uri %q", g.ControlGroupURI)
	}
	w.must(boss, coap.POST, "/manage/hall", ace.Configuration{Active: ace.Is(true)}, coap.Changed)
	if g := w.group(); g.RekeyOnJoin || g.Period != 0 || g.Scheme != 0 || g.Multicast != "" || g.ControlGroupURI != "" {
		t.Errorf("defaults: %+v", g)
	}
	for name, p := range map[string]ace.AdminPolicies{
		"a short period": {RekeyPeriod: ace.Is[uint64](1)}, "a short life": {KeyLifetime: ace.Is[uint64](59)}, "no port": {Multicast: ace.Is("224.0.1.187")},
		"port 0": {Multicast: ace.Is("224.0.1.187:0")}, "a zone": {Multicast: ace.Is("[ff02::1%eth0]:5683")},
	} {
		wantCode(t, name, w.ask(boss, coap.PATCH, "/manage/hall", ace.Configuration{Policies: ace.Is(p)}), coap.BadRequest)
	}
}

// What administrators do reaches the members that observe the group.
func TestObserversOfAdministratedGroup(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	a := w.join("dev", both)
	keys, active := w.watch(a.gm, coap.GET, "/ace-group/hall", "k", nil), w.watch(a.gm, coap.GET, "/ace-group/hall/active", "a", nil)
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
	if m := active.next(); m == nil || !bytes.Equal(m.Payload, []byte{0xf4}) {
		t.Errorf("active: %v", m)
	}
	if m := keys.next(); m != nil {
		t.Errorf("keys: %v", m)
	}
	w.must(boss, coap.POST, "/manage/hall", ace.Configuration{Active: ace.Is(true)}, coap.Changed)
	if m := active.next(); m == nil || !bytes.Equal(m.Payload, []byte{0xf5}) {
		t.Errorf("active again: %v", m)
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
	wantCode(t, "delete", w.call(boss, coap.DELETE, "/manage/hall", -1, nil), coap.Deleted)
	if m := keys.next(); m == nil {
		t.Error("the end was not told")
	} else {
		wantProblem(t, "the end", m, coap.NotFound, ace.ErrorDeleted)
	}
}

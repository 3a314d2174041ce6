package as_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// query asks for the list.
func (p *party) query(queries ...string) *coap.Message {
	p.t.Helper()
	req := coap.NewRequest(coap.GET, "/revoke/trl", nil)
	for _, q := range queries {
		coap.AddOption(req, coap.OptionURIQuery, []byte(q))
	}
	resp, err := p.call.Call(p.t.Context(), req)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp
}

func (p *party) list(queries ...string) ace.TRL {
	p.t.Helper()
	m := p.expect(p.query(queries...), coap.Content)
	if format, _ := coap.ContentFormat(m); format != 262 {
		p.t.Fatalf("content format %d", format)
	}
	l, err := ace.Decode[ace.TRL](m.Payload)
	if err != nil {
		p.t.Fatal(err)
	}
	return *l
}

func (p *party) full() [][]byte {
	p.t.Helper()
	return p.list().Full
}

// id returns the id of a person who enrolled.
func (s *site) id(name string) string {
	s.t.Helper()
	people, err := s.as.People(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(people, func(p as.Person) bool { return p.Name == name && !p.Pending })
	if i < 0 {
		s.t.Fatalf("there is no %s", name)
	}
	return people[i].ID
}

func sameHashes(got [][]byte, want ...[]byte) bool {
	a, b := slices.Clone(got), slices.Clone(want)
	slices.SortFunc(a, bytes.Compare)
	slices.SortFunc(b, bytes.Compare)
	return slices.EqualFunc(a, b, bytes.Equal)
}

// A full query returns the hashes of the tokens that pertain to the requester: to a
// Group Manager those of its audience, to a person those that it asked for, to an
// administrator all. RFC 9770, Section 7.
func TestStatement024_FullQuery(t *testing.T) {
	const second = "second.example"
	s := newSite(t, func(c *as.Config) {
		c.GMs[second] = ace.TokenKey{KID: []byte("2"), Key: cose.Secret("another key, 16B")}
		c.Audience = audience
	})
	anna, bert := s.enrolled("anna", as.Policy{Site: "house"}), s.enrolled("bert", as.Policy{Site: "house"})
	boss := s.enrolled("boss", as.PolicyFor(as.RoleAdmin))
	anna.expect(anna.register(hallLamp, 7, "lamp"), coap.Created)
	one, _ := anna.token(ace.TokenRequest{ClientID: hallLamp})
	two, _ := bert.token(ace.TokenRequest{ClientID: hallLamp, Audience: second, Scope: scope("hall", resp)})
	anna.token(ace.TokenRequest{}) // is not revoked
	if err := s.as.RevokeDevice(t.Context(), hallLamp); err != nil {
		t.Fatal(err)
	}
	h1, h2 := ace.TokenHash(one.AccessToken), ace.TokenHash(two.AccessToken)
	check := func() {
		t.Helper()
		for name, tt := range map[string]struct {
			who  *party
			want [][]byte
		}{
			"the first Group Manager": {s.resourceServer(), [][]byte{h1}}, "the second": {s.resourceServerOf(second), [][]byte{h2}},
			"anna": {anna, [][]byte{h1}}, "bert": {bert, [][]byte{h2}}, "an administrator": {boss, [][]byte{h1, h2}},
		} {
			if got := tt.who.full(); !sameHashes(got, tt.want...) {
				t.Errorf("%s sees %x", name, got)
			}
		}
	}
	check()
	s.start() // durable
	check()
	guest := s.invited("guest", as.Policy{})
	guest.expect(guest.do(guest.guest, coap.GET, "/revoke/trl", -1, nil), coap.Unauthorized)
	anna.expect(anna.do(coap.To(anna.wire, asAddr), coap.GET, "/revoke/trl", -1, nil), coap.Unauthorized)
	for _, method := range []coap.Code{coap.POST, coap.PUT, coap.DELETE, coap.FETCH} {
		boss.expect(boss.do(boss.call, method, "/revoke/trl", -1, nil), coap.MethodNotAllowed)
	}
}

// The list without any token is {0: []}; with the cursor extension its cursor says
// that nothing ever was on it: null. Expired tokens leave it. RFC 9770, Sections 5.1,
// 7 and 9.1.
func TestStatement025_EmptyList(t *testing.T) {
	s := newSite(t)
	rs := s.resourceServer()
	if m := rs.expect(rs.query(), coap.Content); !bytes.Equal(m.Payload, []byte{0xa2, 0x00, 0x80, 0x02, 0xf6}) {
		t.Errorf("got %x", m.Payload)
	}
	p := s.enrolled("anna", as.Policy{})
	tok, _ := p.token(ace.TokenRequest{})
	if err := s.as.Revoke(t.Context(), s.id("anna")); err != nil {
		t.Fatal(err)
	}
	if got := rs.full(); !sameHashes(got, ace.TokenHash(tok.AccessToken)) {
		t.Errorf("got %x", got)
	}
	s.clock.advance(24 * time.Hour)
	l := rs.list()
	if l.Full == nil || len(l.Full) != 0 || l.Cursor.Index == nil || *l.Cursor.Index != 1 {
		t.Errorf("after the token has expired: %+v", l)
	}
	d := rs.list("diff=0")
	if len(d.Diff) != 2 || !sameHashes(d.Diff[0].Removed, ace.TokenHash(tok.AccessToken)) || len(d.Diff[0].Added) != 0 ||
		!sameHashes(d.Diff[1].Added, ace.TokenHash(tok.AccessToken)) || len(d.Diff[1].Removed) != 0 {
		t.Errorf("the updates, newest first: %+v", d)
	}
	if s.records("trl/") != 0 || s.records("owner/") != 1 {
		t.Errorf("%d revoked and %d owned tokens on record", s.records("trl/"), s.records("owner/"))
	}
}

// Queries that make no sense: a diff that is no number is an invalid value; a cursor
// without diff is an invalid set; a cursor that is no index is an invalid value, with
// the cursor; one beyond the last update is out of bounds. Unknown parameters are
// ignored. RFC 9770, Section 6.3.
func TestStatement026_QueryErrors(t *testing.T) {
	s := newSite(t)
	p, rs := s.enrolled("anna", as.Policy{}), s.resourceServer()
	refused := func(id ace.TRLErrorID, cursor ace.TRLCursor, queries ...string) {
		t.Helper()
		m := rs.expect(rs.query(queries...), coap.BadRequest)
		got, at, ok := ace.ParseTRLProblem(m)
		if !ok || got != id || fmt.Sprint(at.IsZero(), at.Null, at.Index != nil) != fmt.Sprint(cursor.IsZero(), cursor.Null, cursor.Index != nil) {
			t.Errorf("%q: %d %+v %v (%q)", queries, got, at, ok, m.Payload)
		}
		if at.Index != nil && *at.Index != *cursor.Index {
			t.Errorf("%q: cursor %d", queries, *at.Index)
		}
	}
	for _, bad := range []string{"diff=-1", "diff=", "diff", "diff=a", "diff=01", "diff=1.5", "diff=99999999999999999999"} {
		refused(ace.TRLErrorValue, ace.TRLCursor{}, bad)
		refused(ace.TRLErrorValue, ace.TRLCursor{}, bad, "cursor=1")
	}
	refused(ace.TRLErrorSet, ace.TRLCursor{}, "cursor=1")
	refused(ace.TRLErrorSet, ace.TRLCursor{}, "cursor=-1")
	refused(ace.TRLErrorValue, ace.TRLCursor{Null: true}, "diff=0", "cursor=-1")
	refused(ace.TRLErrorValue, ace.TRLCursor{Null: true}, "diff=0", "cursor=4294967296")
	if l := rs.list("diff=0", "cursor=7"); l.Diff == nil || len(l.Diff) != 0 || !l.Cursor.Null || *l.More {
		t.Errorf("an empty collection: %+v", l)
	}
	p.token(ace.TokenRequest{})
	if err := s.as.Revoke(t.Context(), s.id("anna")); err != nil {
		t.Fatal(err)
	}
	refused(ace.TRLErrorValue, ace.CursorAt(0), "diff=0", "cursor=x")
	refused(ace.TRLErrorCursor, ace.TRLCursor{}, "diff=0", "cursor=1")
	if l := rs.list("diff=0", "cursor=0", "c.pmax=5"); len(l.Diff) != 0 || *l.Cursor.Index != 0 || *l.More {
		t.Errorf("nothing new: %+v", l)
	}
	if l := rs.list("x=1"); len(l.Full) != 1 {
		t.Errorf("with an unknown parameter: %+v", l)
	}
}

// revocations makes n updates of the list, each of one token, and returns their
// hashes.
func (s *site) revocations(p *party, n int) (hashes [][]byte) {
	s.t.Helper()
	for range n {
		tok, _ := p.token(ace.TokenRequest{ClientID: hallLamp})
		hashes = append(hashes, ace.TokenHash(tok.AccessToken))
		if err := s.as.RevokeDevice(s.t.Context(), hallLamp); err != nil {
			s.t.Fatal(err)
		}
	}
	return hashes
}

// Diff queries with and without cursor, over a collection that is longer than an
// answer and then longer than what is kept. RFC 9770, Sections 6.2, 8 and 9.2.
func TestDiffQueries(t *testing.T) {
	s := newSite(t)
	p, rs := s.enrolled("anna", as.AllGroups("hall")), s.resourceServer()
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	hashes := s.revocations(p, 20)
	shows := func(l ace.TRL, newest, n int, more bool) {
		t.Helper()
		if len(l.Diff) != n || *l.More != more || l.Cursor.Index == nil || n > 0 && *l.Cursor.Index != uint64(newest) {
			t.Fatalf("%d updates, cursor %+v, more %v", len(l.Diff), l.Cursor, *l.More)
		}
		for i, d := range l.Diff {
			if !sameHashes(d.Added, hashes[newest-i]) || len(d.Removed) != 0 {
				t.Errorf("update %d is %x", newest-i, d.Added)
			}
		}
	}
	shows(rs.list("diff=3"), 19, 3, false)
	shows(rs.list("diff=0"), 7, as.MaxDiffBatch, true) // the eldest of all 20
	shows(rs.list("diff=10"), 17, as.MaxDiffBatch, true)
	shows(rs.list("diff=0", "cursor=7"), 15, as.MaxDiffBatch, true)
	shows(rs.list("diff=0", "cursor=15"), 19, 4, false)
	shows(rs.list("diff=2", "cursor=7"), 19, 2, false)
	if l := rs.list("diff=0", "cursor=19"); len(l.Diff) != 0 || *l.Cursor.Index != 19 || *l.More {
		t.Errorf("nothing new: %+v", l)
	}
	if l := rs.list(); *l.Cursor.Index != 19 {
		t.Errorf("a full query's cursor is %d", *l.Cursor.Index)
	}

	hashes = append(hashes, s.revocations(p, as.MaxN)...)
	s.start()
	last := len(hashes) - 1
	oldest := len(hashes) - as.MaxN
	shows(rs.list("diff=0"), oldest+as.MaxDiffBatch-1, as.MaxDiffBatch, true)
	shows(rs.list("diff=1000", fmt.Sprintf("cursor=%d", last-1)), last, 1, false)
	shows(rs.list("diff=0", fmt.Sprintf("cursor=%d", oldest-1)), oldest+as.MaxDiffBatch-1, as.MaxDiffBatch, true)
	if l := rs.list("diff=0", fmt.Sprintf("cursor=%d", oldest-2)); len(l.Diff) != 0 || !l.Cursor.Null || !*l.More {
		t.Errorf("updates are lost: %+v", l)
	}
}

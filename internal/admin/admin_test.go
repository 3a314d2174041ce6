package admin

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
)

// An administrator's day, over the network and its protection.
func TestAdministration(t *testing.T) {
	w := newWorld(t)
	c := w.admin(ace.PermAll)
	ctx := t.Context()
	out, err := c.Create(ctx, name("a hall").With(ace.Configuration{
		GpEncAlg: ace.Alg(cose.A128CTR), Active: ace.Is(true), GroupDescription: ace.Is("rooms 1 and 2"), AppGroups: ace.Is([]string{"room1", "room2"}),
		ASURI: ace.Is("coap://elsewhere/token"), GIDReuse: ace.Is(true),
	}))
	if err != nil || out.Name != "a hall" || out.JoiningURI != "coap://127.0.0.1:5691/ace-group/a%20hall" || out.ASURI != "coap://as.example.com/token" || out.Told.GIDReuse != ace.Is(false) {
		t.Fatalf("%v %+v", err, out)
	}
	if list, err := c.List(ctx); err != nil || !slices.Equal(list.Names, []string{"a hall"}) || list.Foreign != nil {
		t.Errorf("%v %+v", err, list)
	}
	g, err := c.Read(ctx, "a hall")
	if err != nil || g.Configuration.GpEncAlg != ace.Alg(cose.A128CTR) || len(g.ETag) == 0 || g.Configuration.JoiningURI != ace.Is(out.JoiningURI) {
		t.Fatalf("%v %+v", err, g)
	}
	some, err := c.ReadSome(ctx, "a hall", ace.AdminActive, ace.AdminDetHashAlg)
	if err != nil || !slices.Equal(some.Labels(), []int{ace.AdminActive}) {
		t.Errorf("%v %+v", err, some)
	}
	if _, err := c.Patch(ctx, "a hall", ace.Configuration{AppGroupsDiff: ace.Is(ace.AppGroupsDiff{Delete: []string{"room1", "x"}, Add: []string{"x"}})}, g.ETag); err != nil {
		t.Error(err) // a PATCH, as iPATCH would be refused
	}
	if _, err := c.Overwrite(ctx, "a hall", ace.Configuration{}, g.ETag); !errors.Is(err, ErrChanged) || !errors.Is(err, ErrRefused) {
		t.Errorf("with an old ETag: %v", err)
	}
	if err := c.Delete(ctx, "a hall", nil); !errors.Is(err, ErrActive) {
		t.Errorf("deleting an active group: %v", err)
	}
	if _, err := c.Overwrite(ctx, "a hall", ace.Configuration{Active: ace.Is(false)}, nil); err != nil {
		t.Error(err)
	}
	if list, err := c.Filter(ctx, ace.Configuration{Active: ace.Is(false), GroupName: ace.Is(ace.RegexpGroups("a.*"))}); err != nil || len(list.Names) != 1 {
		t.Errorf("%v %+v", err, list)
	}
	g, _ = c.Read(ctx, "a hall")
	if err := c.Delete(ctx, "a hall", g.ETag); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(ctx, "a hall"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after the deletion: %v", err)
	}
}

func TestMembers(t *testing.T) {
	w := newWorld(t)
	c := w.admin(ace.PermAll)
	if _, err := c.Create(t.Context(), name("hall").With(ace.Configuration{Active: ace.Is(true)})); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	dev := w.join("dev", "hall")
	w.join("other", "hall")
	all, err := c.Members(ctx, "hall")
	if err != nil || len(all) != 2 || all[0].Subject != "dev" || len(all[0].Thumbprint) != 32 {
		t.Fatalf("%v %+v", err, all)
	}
	news := make(chan *ace.RekeyProgress, 10)
	watch, err := c.WatchProgress(ctx, "hall", func(p *ace.RekeyProgress, _ bool, err error) {
		if err != nil {
			t.Error(err)
			return
		}
		news <- p
	})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if p := <-news; p.Num != 0 || !p.Done() {
		t.Errorf("at first: %+v", p)
	}
	if p, err := c.PreviewEvict(ctx, "hall", all[0].Node); err != nil || !slices.Equal(p.Evicted, []string{all[0].Node}) || !slices.Equal(p.Keys, []string{all[1].Node}) {
		t.Errorf("%v %+v", err, p)
	}
	if err := c.Evict(ctx, "hall", all[0].Node); err != nil {
		t.Fatal(err)
	}
	if p := <-news; p.Num != 1 || p.Total != 1 {
		t.Errorf("after the eviction: %+v", p)
	}
	if _, err := dev.Num(ctx); !errors.Is(err, join.ErrNotMember) {
		t.Errorf("the evicted: %v", err)
	}
	if err := c.Evict(ctx, "hall", all[0].Node); !errors.Is(err, ErrNotFound) {
		t.Errorf("evicting it again: %v", err)
	}
	if p, err := c.PreviewRekey(ctx, "hall"); err != nil || !slices.Equal(p.Keys, []string{all[1].Node}) {
		t.Errorf("%v %+v", err, p)
	}
	if err := c.Rekey(ctx, "hall"); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Progress(ctx, "hall"); err != nil || p.Num != 2 || p.Reason == "" {
		t.Errorf("%v %+v", err, p)
	}
}

// A Group Manager that lists the same members for ever is stopped.
func TestEndlessMembers(t *testing.T) {
	page := ace.MembersResponse{}
	for i := range ace.MembersPage {
		page = append(page, ace.MemberInfo{Node: fmt.Sprintf("n%03d", i)})
	}
	if _, err := New(fake{coap.Respond(coap.Content, ace.FormatCBOR, ace.Encode(page))}, "").Members(t.Context(), "hall"); !errors.Is(err, ErrDecode) {
		t.Error(err)
	}
}

// Each refusal is what is to be done about it, with its error identifier.
func TestErrors(t *testing.T) {
	w := newWorld(t)
	c, reader, nobody := w.admin(ace.PermAll), w.admin(ace.PermList|ace.PermRead), New(w.connect("dev", ace.Scope{Users: []ace.ScopeEntry{{Group: "hall", Roles: 2}}}), gmHost)
	ctx := t.Context()
	if _, err := c.Create(ctx, name("hall")); err != nil {
		t.Fatal(err)
	}
	only := New(w.connect("only", ace.Scope{Admins: []ace.AdminEntry{{Groups: ace.NamedGroup("hall"), Perm: ace.PermAll}}}), gmHost)
	for _, tt := range []struct {
		what string
		call func() error
		want error
		id   ace.ErrorID // 0: none
	}{
		{"no admin entry", func() error { _, err := nobody.List(ctx); return err }, ErrNoToken, 0},
		{"not permitted", func() error { _, err := reader.Create(ctx, name("x")); return err }, ErrDenied, 0},
		{"no name", func() error { _, err := c.Create(ctx, ace.Configuration{}); return err }, ErrInvalid, 0},
		{"unsupported", func() error {
			_, err := c.Create(ctx, name("x").With(ace.Configuration{CredFmt: ace.Is(33)}))
			return err
		}, ErrUnsupported, ace.ErrorUnsupportedConfig},
		{"name taken", func() error { _, err := only.Create(ctx, name("hall")); return err }, ErrNameTaken, ace.ErrorNoName},
		{"no group", func() error { _, err := c.Patch(ctx, "x", ace.Configuration{Active: ace.Is(true)}, nil); return err }, ErrNotFound, 0},
		{"conflict", func() error { _, err := c.Patch(ctx, "hall", ace.Configuration{HKDF: ace.Alg(7)}, nil); return err }, ErrConflict, 0},
		{"changed", func() error { return c.Delete(ctx, "hall", []byte{1}) }, ErrChanged, 0},
	} {
		err := tt.call()
		var refusal *Error
		if !errors.As(err, &refusal) || !errors.Is(err, tt.want) || !errors.Is(err, ErrRefused) || refusal.HasID != (tt.id != 0) || refusal.ID != tt.id {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		for _, other := range []error{ErrNoToken, ErrDenied, ErrInvalid, ErrUnsupported, ErrNameTaken, ErrNotFound, ErrConflict, ErrChanged, ErrActive} {
			if other != tt.want && errors.Is(err, other) {
				t.Errorf("%s is %v too", tt.what, other)
			}
		}
	}
}

// Two administrators change the same configuration at once: neither loses what the
// other did.
func TestUpdate(t *testing.T) {
	w := newWorld(t)
	first, second := w.admin(ace.PermAll), w.admin(ace.PermAll)
	ctx := t.Context()
	if _, err := first.Create(ctx, name("hall")); err != nil {
		t.Fatal(err)
	}
	tries := 0
	out, err := first.Update(ctx, "hall", func(c ace.Configuration) ace.Configuration {
		if tries++; tries == 1 {
			if _, err := second.Patch(ctx, "hall", ace.Configuration{AppGroups: ace.Is([]string{"theirs"})}, nil); err != nil {
				t.Error(err)
			}
		}
		return ace.Configuration{AppGroups: ace.Is(append(c.AppGroups.Value, "ours"))}
	})
	if err != nil || out.Name != "hall" || tries != 2 {
		t.Fatalf("%v %+v after %d tries", err, out, tries)
	}
	if g, _ := first.Read(ctx, "hall"); !slices.Equal(g.Configuration.AppGroups.Value, []string{"theirs", "ours"}) {
		t.Errorf("%q", g.Configuration.AppGroups.Value)
	}
	if out, err := first.Update(ctx, "hall", func(ace.Configuration) ace.Configuration { return ace.Configuration{} }); err != nil || out.JoiningURI == "" {
		t.Errorf("nothing to do: %v %+v", err, out)
	}
	_, err = first.Update(ctx, "hall", func(ace.Configuration) ace.Configuration {
		tries++
		_, _ = second.Patch(ctx, "hall", ace.Configuration{MaxStaleSets: ace.Is(uint64(tries + 10))}, nil)
		return ace.Configuration{Active: ace.Is(true)}
	})
	if !errors.Is(err, ErrChanged) {
		t.Errorf("somebody is always faster: %v", err)
	}
}

// Many administrators at once, each adding its own: all is there in the end.
func TestConcurrentUpdates(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if _, err := w.admin(ace.PermAll).Create(ctx, name("hall")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		c := w.admin(ace.PermAll)
		mine := string(rune('a' + i))
		wg.Go(func() {
			for {
				_, err := c.Update(ctx, "hall", func(conf ace.Configuration) ace.Configuration {
					return ace.Configuration{AppGroups: ace.Is(append(conf.AppGroups.Value, mine))}
				})
				if !errors.Is(err, ErrChanged) {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	wg.Wait()
	g, err := w.admin(ace.PermAll).Read(ctx, "hall")
	if err != nil || len(g.Configuration.AppGroups.Value) != 8 {
		t.Errorf("%v %q", err, g.Configuration.AppGroups.Value)
	}
}

// A watched configuration comes at once, after every change, and ends with the
// group.
func TestWatchGroup(t *testing.T) {
	w := newWorld(t)
	c := w.admin(ace.PermAll)
	ctx := t.Context()
	if _, err := c.Create(ctx, name("hall")); err != nil {
		t.Fatal(err)
	}
	type told struct {
		g    *Group
		last bool
		err  error
	}
	news := make(chan told, 10)
	watch, err := c.WatchGroup(ctx, "hall", func(g *Group, last bool, err error) { news <- told{g, last, err} })
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	lists := make(chan *Listing, 10)
	list, err := c.WatchList(ctx, func(l *Listing, _ bool, err error) {
		if err == nil {
			lists <- l
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	if n := <-news; n.err != nil || n.last || n.g.Configuration.Active != ace.Is(false) {
		t.Errorf("at first: %+v", n)
	}
	if l := <-lists; len(l.Names) != 1 {
		t.Errorf("at first: %+v", l)
	}
	if _, err := c.Patch(ctx, "hall", ace.Configuration{Active: ace.Is(true)}, nil); err != nil {
		t.Fatal(err)
	}
	if n := <-news; n.err != nil || n.g.Configuration.Active != ace.Is(true) {
		t.Errorf("after a change: %+v", n)
	} else if g, _ := c.Read(ctx, "hall"); !bytes.Equal(g.ETag, n.g.ETag) {
		t.Error("another ETag")
	}
	if err := watch.Renew(); err != nil {
		t.Fatal(err)
	}
	if n := <-news; n.err != nil || n.last {
		t.Errorf("renewed: %+v", n)
	}
	if _, err := c.Patch(ctx, "hall", ace.Configuration{Active: ace.Is(false)}, nil); err != nil {
		t.Fatal(err)
	}
	<-news
	if err := c.Delete(ctx, "hall", nil); err != nil {
		t.Fatal(err)
	}
	if n := <-news; !errors.Is(n.err, ErrNotFound) || !n.last {
		t.Errorf("after the deletion: %+v", n)
	}
	if l := <-lists; len(l.Names) != 0 {
		t.Errorf("after the deletion: %+v", l)
	}
	if _, err := New(fake{}, "").WatchGroup(ctx, "hall", nil); !errors.Is(err, ErrCannotWatch) {
		t.Errorf("over what cannot observe: %v", err)
	}
}

// Links, and joining_uri, that do not point to the Group Manager that was asked are
// not taken. GMA, Section 10.3.
func TestStatement115_ForeignLinks(t *testing.T) {
	listing := func(host, payload string) *Listing {
		t.Helper()
		l, err := New(fake{coap.Respond(coap.Content, coap.FormatLink, []byte(payload))}, host).List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for _, tt := range []struct {
		host, target string
		want         string // "": not taken
	}{
		{gmHost, "/manage/gp1", "gp1"},
		{gmHost, "coap://127.0.0.1:5691/manage/gp1", "gp1"},
		{gmHost, "coap://127.0.0.1/manage/gp1", "gp1"},
		{"[2001:db8::ab]", "coap://[2001:DB8:0::ab]/manage/gp1", "gp1"},
		{"gm.example.com", "coaps://GM.example.com/manage/a%20b", "a b"},
		{gmHost, "coap://127.0.0.2:5691/manage/gp1", ""},
		{gmHost, "coap://127.0.0.1:5692/manage/gp1", ""},
		{gmHost, "coap://gm.example.com/manage/gp1", ""},
		{gmHost, "http://127.0.0.1:5691/manage/gp1", ""},
		{gmHost, "//127.0.0.2/manage/gp1", ""},
		{gmHost, "coap://127.0.0.1:5691@evil/manage/gp1", ""},
		{gmHost, "coap://evil/manage/gp1?127.0.0.1", ""},
		{gmHost, "/manage/gp1?x", ""}, {gmHost, "/manage/gp1#x", ""}, {gmHost, "/manage/a/b", ""}, {gmHost, "/manage/a%2fb", ""},
		{gmHost, "/manage/..", ""}, {gmHost, "/manage/", ""}, {gmHost, "/ace-group/gp1", ""}, {gmHost, "manage/gp1", ""}, {gmHost, "%zz", ""},
		{"", "coap://127.0.0.1/manage/gp1", ""}, {"", "/manage/gp1", "gp1"},
		{"gm.example.com", "coap://127.0.0.1/manage/gp1", ""},
	} {
		l := listing(tt.host, "<"+tt.target+`>;rt="core.osc.gconf"`)
		if tt.want != "" && (!slices.Equal(l.Names, []string{tt.want}) || l.Foreign != nil) || tt.want == "" && (len(l.Names) != 0 || !slices.Equal(l.Foreign, []string{tt.target})) {
			t.Errorf("%s at %q: %+v", tt.target, tt.host, l)
		}
	}
	if l := listing(gmHost, `</manage/gp1>;rt="core.osc.gm",</manage/gp2>`); len(l.Names) != 0 || len(l.Foreign) != 2 {
		t.Errorf("links to something else: %+v", l)
	}
	for uri, taken := range map[string]bool{"coap://127.0.0.1:5691/ace-group/gp1": true, "/ace-group/gp1": true, "coap://evil/ace-group/gp1": false} {
		conf := name("gp1").With(ace.Configuration{JoiningURI: ace.Is(uri), ASURI: ace.Is("coap://as")})
		answer := coap.Respond(coap.Created, ace.FormatACEGroupcomm, ace.Encode(conf))
		for _, segment := range []string{"manage", "gp1"} {
			coap.AddOption(answer, coap.OptionLocationPath, []byte(segment))
		}
		out, err := New(fake{answer}, gmHost).Create(t.Context(), name("gp1"))
		if err != nil || (out.JoiningURI == uri) != taken || (out.ForeignURI == uri) == taken {
			t.Errorf("joining_uri %s: %v %+v", uri, err, out)
		}
		g, err := New(fake{answer}, gmHost).Read(t.Context(), "gp1")
		if err != nil || (g.Configuration.JoiningURI == ace.Is(uri)) != taken {
			t.Errorf("joining_uri %s: %v %+v", uri, err, g)
		}
	}
}

// Answers that make no sense are refused.
func TestMalformedAnswers(t *testing.T) {
	conf := ace.Encode(name("gp1").With(ace.Configuration{JoiningURI: ace.Is("/x"), ASURI: ace.Is("")}))
	for what, m := range map[string]*coap.Message{
		"no format":   coap.Respond(coap.Content, coap.NoFormat, conf),
		"no map":      coap.Respond(coap.Content, ace.FormatACEGroupcomm, []byte{1}),
		"no name":     coap.Respond(coap.Created, ace.FormatACEGroupcomm, []byte{0xa0}),
		"no location": coap.Respond(coap.Created, ace.FormatACEGroupcomm, conf),
		"no links":    coap.Respond(coap.Content, coap.FormatLink, []byte("<")),
	} {
		c := New(fake{m}, gmHost)
		if _, err := c.Create(t.Context(), name("gp1")); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: created: %v", what, err)
		}
		if _, err := c.List(t.Context()); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: listed: %v", what, err)
		}
		if _, err := c.Members(t.Context(), "gp1"); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: members: %v", what, err)
		}
		if _, err := c.Patch(t.Context(), "gp2", ace.Configuration{Active: ace.Is(true)}, nil); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: patched: %v", what, err)
		}
	}
}

func FuzzListing(f *testing.F) {
	f.Add(`<coap://127.0.0.1/manage/gp1>;rt="core.osc.gconf"`)
	f.Fuzz(func(t *testing.T, payload string) {
		l, err := New(fake{coap.Respond(coap.Content, coap.FormatLink, []byte(payload))}, gmHost).List(t.Context())
		if err != nil {
			return
		}
		for _, n := range l.Names {
			if !ace.ValidGroupName(n) {
				t.Errorf("%q is no name", n)
			}
		}
	})
}

package gm

import (
	"bytes"
	"slices"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// A token without an admin entry, and a client without a token, get 4.01 from every
// admin resource, whatever user entries there are. GMA, Section 4.
func TestStatement097_AdminEntryNeeded(t *testing.T) {
	w := newWorld(t)
	user := w.join("dev", both)
	gone := w.chief()
	w.pass(2 * 3600e9)
	nobody := &direct{w, "ffffff"}
	user2 := w.joinAs(user.node, both)
	for _, c := range []struct {
		method coap.Code
		path   string
	}{
		{coap.GET, "/manage"}, {coap.FETCH, "/manage"}, {coap.POST, "/manage"}, {coap.GET, "/manage/hall"}, {coap.FETCH, "/manage/hall"},
		{coap.POST, "/manage/hall"}, {coap.PATCH, "/manage/hall"}, {coap.IPATCH, "/manage/hall"}, {coap.DELETE, "/manage/hall"},
		{coap.GET, "/manage/nowhere"}, {coap.PUT, "/manage/hall"}, {coap.GET, "/manage/hall/members"},
		{coap.POST, "/manage/hall/evict"}, {coap.GET, "/manage/hall/rekey"}, {coap.POST, "/manage/hall/rekey"},
	} {
		body := ace.Encode(named("x"))
		for name, gm := range map[string]coap.Caller{"user entries": user2.gm, "an expired token": gone, "no token": nobody, "nobody": coap.To(plain{w}, gmAddr)} {
			wantCode(t, name+" "+c.path, w.call(gm, c.method, c.path, cf261, body), coap.Unauthorized)
		}
	}
	both := w.claims("both")
	both.Scope.Scope = ace.Scope{Users: []ace.ScopeEntry{scope("other", ace.RoleRequester)}, Admins: []ace.AdminEntry{may(ace.NamedGroup("hall"), ace.PermList)}}.Encode()
	_, gm := w.transfer(w.seal(both))
	if got := linkNames(t, w.call(gm, coap.GET, "/manage", -1, nil)); !slices.Equal(got, []string{"hall"}) {
		t.Errorf("with an admin entry: %q", got)
	}
}

// GET /manage answers in the link format with the groups that an admin entry
// matches: by name, by wildcard, by pattern. GMA, Section 6.1.
func TestStatement098_ListsMatchingGroups(t *testing.T) {
	w := newEmptyWorld(t)
	for _, name := range []string{"gp1", "gp2", "foo", "a b"} {
		w.must(w.chief(), coap.POST, "/manage", named(name), coap.Created)
	}
	for _, c := range []struct {
		groups ace.Pattern
		want   []string
	}{
		{ace.AnyGroup, []string{"a%20b", "foo", "gp1", "gp2"}}, {ace.NamedGroup("gp1"), []string{"gp1"}},
		{ace.RegexpGroups("gp[0-9]"), []string{"gp1", "gp2"}}, {ace.RegexpGroups("p1"), []string{}}, {ace.NamedGroup("none"), []string{}},
	} {
		if got := linkNames(t, w.call(w.admin(may(c.groups, ace.PermList)), coap.GET, "/manage", -1, nil)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.groups, got, c.want)
		}
	}
}

// FETCH /manage gives the groups that have all the values of the filter: the two
// examples of the document, null values, names, lists, and no more than the token
// speaks of. GMA, Section 6.2.
func TestStatement099_Filters(t *testing.T) {
	w := newEmptyWorld(t, withP256)
	boss := w.chief()
	es256 := ace.Configuration{SignAlg: ace.Alg(cose.ES256)}
	for name, c := range map[string]ace.Configuration{
		"gp1": {}, "gp2": es256, "gp3": {}, "gp4": {Active: ace.Is(true)}, "gp5": {Active: ace.Is(true), AppGroups: ace.Is([]string{"r1", "r2"})},
		"foo": {Active: ace.Is(true), GroupDescription: ace.Is("what")}, "pw": {GroupMode: ace.Is(false)},
	} {
		w.must(boss, coap.POST, "/manage", c.With(named(name)), coap.Created)
	}
	w.wantNames(boss, ace.Configuration{GroupMode: ace.Is(true), GpEncAlg: ace.Alg(10), SignAlg: ace.Alg(cose.EdDSA), HKDF: ace.Alg(5)}, "foo", "gp1", "gp3", "gp4", "gp5")
	w.wantNames(boss, ace.Configuration{GpEncAlg: ace.Alg(10), GroupName: ace.Is(ace.RegexpGroups("gp[0-9]*")), Active: ace.Is(true)}, "gp4", "gp5")
	w.wantNames(boss, ace.Configuration{}, "foo", "gp1", "gp2", "gp3", "gp4", "gp5", "pw")
	w.wantNames(boss, named("gp2"), "gp2")
	w.wantNames(boss, named("gp"))
	w.wantNames(boss, ace.Configuration{SignAlg: ace.Alg(cose.Null)}, "pw")
	w.wantNames(boss, ace.Configuration{SignAlg: ace.Alg(cose.ES256)}, "gp2")
	w.wantNames(boss, ace.Configuration{GroupDescription: ace.Is("what")}, "foo")
	w.wantNames(boss, ace.Configuration{AppGroups: ace.Is([]string{"r2", "r1"})}, "gp5")
	w.wantNames(boss, ace.Configuration{Policies: ace.Is(ace.AdminPolicies{CheckInterval: ace.Is[uint64](3600)}), Active: ace.Is(true)}, "foo", "gp4", "gp5")
	w.wantNames(boss, ace.Configuration{Policies: ace.Is(ace.AdminPolicies{CheckInterval: ace.Is[uint64](7)})})
	w.wantNames(w.admin(may(ace.NamedGroup("gp4"), ace.PermList)), ace.Configuration{Active: ace.Is(true)}, "gp4")
	for name, body := range map[string][]byte{
		"unknown": {0xa1, 0x38, 0x63, 0xf5}, "another tag": ace.Encode(map[int]any{-13: map[int]any{}}), "a bad pattern": ace.Encode(ace.Configuration{GroupName: ace.Is(ace.RegexpGroups("gp["))}),
		"true for a name": {0xa1, 0x2c, 0xf5}, "a diff": ace.Encode(ace.Configuration{AppGroupsDiff: ace.Is(ace.AppGroupsDiff{Add: []string{"x"}})}),
		"conf_filter": ace.Encode(ace.ConfFilter{Labels: []int{-1}}),
	} {
		wantCode(t, name, w.call(boss, coap.FETCH, "/manage", cf261, body), coap.BadRequest)
	}
}

// Creating a group takes a name, and none of what the Group Manager sets itself.
// GMA, Section 6.3.
func TestStatement100_CreateNeedsAName(t *testing.T) {
	w := newEmptyWorld(t)
	boss := w.chief()
	for name, c := range map[string]ace.Configuration{
		"no name":     {Active: ace.Is(true)},
		"a pattern":   {GroupName: ace.Is(ace.RegexpGroups("gp1"))},
		"rt":          named("gp1").With(ace.Configuration{RT: ace.Is(ace.ResourceTypeGroupConf)}),
		"joining_uri": named("gp1").With(ace.Configuration{JoiningURI: ace.Is("coap://x/ace-group/gp1")}),
		"profile":     named("gp1").With(ace.Configuration{Profile: ace.Is(1)}),
		"a diff":      named("gp1").With(ace.Configuration{AppGroupsDiff: ace.Is(ace.AppGroupsDiff{Add: []string{"x"}})}),
	} {
		wantCode(t, name, w.ask(boss, coap.POST, "/manage", c), coap.BadRequest)
	}
	for name, body := range map[string][]byte{
		"a name that is none": ace.Encode(map[int]any{-13: "a/b"}), "an empty name": ace.Encode(map[int]any{-13: ""}), "unknown": ace.Encode(map[int]any{-13: "gp1", -99: 1}),
	} {
		wantCode(t, name, w.call(boss, coap.POST, "/manage", cf261, body), coap.BadRequest)
	}
	w.wantNames(boss, ace.Configuration{})
	told := w.must(boss, coap.POST, "/manage", named("gp1"), coap.Created)
	if !slices.Equal(told.Labels(), []int{ace.AdminGroupName, ace.AdminJoiningURI, ace.AdminASURI}) {
		t.Errorf("answer with %v", told.Labels())
	}
}

// Without the permission Create for the name the answer is 4.03, and nothing is
// made. GMA, Section 6.
func TestStatement101_CreateNeedsPermission(t *testing.T) {
	w := newEmptyWorld(t)
	gm := w.admin(may(ace.NamedGroup("gp1"), ace.PermAll), may(ace.AnyGroup, ace.PermAll&^ace.PermCreate))
	wantCode(t, "another name", w.ask(gm, coap.POST, "/manage", named("gp2")), coap.Forbidden)
	wantCode(t, "another name, bad otherwise", w.ask(gm, coap.POST, "/manage", named("gp2").With(ace.Configuration{CredFmt: ace.Is(33)})), coap.Forbidden)
	w.must(gm, coap.POST, "/manage", named("gp1"), coap.Created)
	w.wantNames(gm, ace.Configuration{}, "gp1")
}

// A name that is taken becomes another for which the administrator has the same
// permissions; where there is none, 5.03 with error 11. GMA, Section 6.3.
func TestStatement102_TakenName(t *testing.T) {
	w := newEmptyWorld(t)
	create := func(gm coap.Caller) (string, *coap.Message) {
		resp := w.ask(gm, coap.POST, "/manage", named("gp1"))
		if resp.Code != coap.Created {
			return "", resp
		}
		c := wantConfiguration(t, resp)
		var path []string
		for v := range coap.Each(resp, coap.OptionLocationPath) {
			path = append(path, string(v))
		}
		if !slices.Equal(path, []string{"manage", c.GroupName.Value.Text}) || coap.HasOption(resp, coap.OptionLocationQuery) {
			t.Errorf("location %q of %q", path, c.GroupName.Value.Text)
		}
		return c.GroupName.Value.Text, resp
	}
	for _, want := range []string{"gp1", "gp1-2", "gp12"} {
		if got, resp := create(w.chief()); got != want {
			t.Errorf("%q (%s), want %q", got, coap.CodeString(resp.Code), want)
		}
	}
	if got, _ := create(w.admin(may(ace.RegexpGroups("gp[0-9]*"), ace.PermAll))); got != "gp13" {
		t.Errorf("within a pattern: %q", got)
	}
	for _, gm := range []*direct{
		w.admin(may(ace.NamedGroup("gp1"), ace.PermAll)),
		w.admin(may(ace.NamedGroup("gp1"), ace.PermAll), may(ace.AnyGroup, ace.PermCreate|ace.PermList)),              // less on every other
		w.admin(may(ace.NamedGroup("gp1"), ace.PermCreate|ace.PermList), may(ace.RegexpGroups("gp1.+"), ace.PermAll)), // more
	} {
		_, resp := create(gm)
		wantProblem(t, "no other name", resp, coap.ServiceUnavailable, ace.ErrorNoName)
	}
}

// What the Group Manager cannot do is 5.03 with error 12 and a reason, before
// anything else that is wrong. GMA, Section 6.3.
func TestStatement103_UnsupportedConfiguration(t *testing.T) {
	w := newEmptyWorld(t)
	boss := w.chief()
	unsupported := map[string]ace.Configuration{
		"cred_fmt":       {CredFmt: ace.Is(33)},
		"hkdf":           {HKDF: ace.Alg(6)},
		"hkdf text":      {HKDF: ace.Is(ace.AlgorithmID{Text: "HS"})},
		"gp_enc_alg":     {GpEncAlg: ace.Alg(4)},
		"sign_alg":       {SignAlg: ace.Alg(-35), SignParams: ace.Is(ace.Capabilities{{2}, {2, 2}})},
		"no P-256 key":   {SignAlg: ace.Alg(cose.ES256)},
		"no P-256 alone": {GroupMode: ace.Is(false), ECDHParams: ace.Is(ace.Capabilities{{2}, {2, 1}})},
		"sign_params":    {SignParams: ace.Is(ace.Capabilities{{1}, {1, 7}})},
		"alg":            {Alg: ace.Alg(cose.A128CTR)},
		"ecdh_alg":       {ECDHAlg: ace.Alg(-25)},
		"ecdh_params":    {ECDHParams: ace.Is(ace.Capabilities{{1}, {1, 5}})},
		"det_req":        {DetReq: ace.Is(true)},
		"max_stale_sets": {MaxStaleSets: ace.Is[uint64](1 << 40)},
		"sync method":    {Policies: ace.Is(ace.AdminPolicies{SNSync: ace.Alg(1)})},
		"scheme":         {Policies: ace.Is(ace.AdminPolicies{RekeyingScheme: ace.Is(77)})},
	}
	for name, c := range unsupported {
		for _, more := range []ace.Configuration{{}, {EXP: ace.Is[uint64](1), RT: ace.Is("x")}} {
			resp := w.ask(boss, coap.POST, "/manage", named("gp1").With(c).With(more))
			wantProblem(t, name, resp, coap.ServiceUnavailable, ace.ErrorUnsupportedConfig)
			if _, detail, _ := ace.ParseProblem(resp); detail == "" {
				t.Errorf("%s: no detail", name)
			}
		}
	}
	body := append([]byte{0xa3, 0x2c, 0x61, 'x', 0x21, 0x18, 33, 0x38, 98}, 0xf5) // cred_fmt 33 and parameter -99
	wantProblem(t, "beside an unknown parameter", w.call(boss, coap.POST, "/manage", cf261, body), coap.ServiceUnavailable, ace.ErrorUnsupportedConfig)
	w.wantNames(boss, ace.Configuration{})
	w.must(boss, coap.POST, "/manage", named("gp1"), coap.Created)
	for name, c := range unsupported {
		for _, m := range []coap.Code{coap.POST, coap.PATCH, coap.IPATCH} {
			if name == "no P-256 alone" {
				continue // group_mode is not to be given
			}
			wantProblem(t, name, w.ask(boss, m, "/manage/gp1", c), coap.ServiceUnavailable, ace.ErrorUnsupportedConfig)
		}
	}
}

// The values of the 4.00 list. GMA, Section 6.3.
func TestStatement104_InvalidValues(t *testing.T) {
	w := newEmptyWorld(t)
	boss := w.chief()
	now := uint64(w.clock().Unix())
	long := string(bytes.Repeat([]byte("x"), 2000))
	values := map[string]ace.Configuration{
		"exp now":          {EXP: ace.Is(now)},
		"exp in the past":  {EXP: ace.Is(now - 1)},
		"exp beyond sense": {EXP: ace.Is[uint64](1 << 60)},
		"max_stale_sets":   {MaxStaleSets: ace.Is[uint64](1)},
		"description":      {GroupDescription: ace.Is(long)},
		"app group":        {AppGroups: ace.Is([]string{""})},
		"as_uri":           {ASURI: ace.Is("coap://elsewhere/token")},
		"lifetime":         {Policies: ace.Is(ace.AdminPolicies{KeyLifetime: ace.Is[uint64](0)})},
		"interval":         {Policies: ace.Is(ace.AdminPolicies{CheckInterval: ace.Is[uint64](1 << 40)})},
		"multicast":        {Policies: ace.Is(ace.AdminPolicies{Multicast: ace.Is("127.0.0.1:5683")})},
	}
	for name, c := range values {
		wantCode(t, name, w.ask(boss, coap.POST, "/manage", named("gp1").With(c)), coap.BadRequest)
	}
	for name, c := range map[string]ace.Configuration{
		"neither mode":            {GroupMode: ace.Is(false), PairwiseMode: ace.Is(false)},
		"sign_alg without mode":   {GroupMode: ace.Is(false), SignAlg: ace.Alg(cose.EdDSA)},
		"null with mode":          {SignAlg: ace.Alg(cose.Null)},
		"alg null with mode":      {Alg: ace.Alg(cose.Null)},
		"alg without mode":        {PairwiseMode: ace.Is(false), Alg: ace.Alg(10)},
		"parameters of another":   {SignParams: ace.Is(ace.Capabilities{{2}, {2, 1}})},
		"ecdh of another HKDF":    {HKDF: ace.Alg(7), ECDHAlg: ace.Alg(-27)},
		"ecdh on another curve":   {ECDHParams: ace.Is(ace.Capabilities{{2}, {2, 1}})},
		"det_req with one mode":   {PairwiseMode: ace.Is(false), DetReq: ace.Is(false)},
		"det_hash_alg without it": {DetHashAlg: ace.Alg(-16)},
	} {
		wantCode(t, name, w.ask(boss, coap.POST, "/manage", named("gp1").With(c)), coap.BadRequest)
	}
	w.wantNames(boss, ace.Configuration{})
	w.must(boss, coap.POST, "/manage", named("gp1").With(ace.Configuration{EXP: ace.Is(now + 1)}), coap.Created)
	if c, _ := w.configurationOf(boss, "gp1"); c.EXP != ace.Is(now+1) {
		t.Errorf("exp %v", c.EXP)
	}
	for name, c := range values {
		wantCode(t, name, w.ask(boss, coap.POST, "/manage/gp1", c), coap.BadRequest)
		wantCode(t, name, w.ask(boss, coap.PATCH, "/manage/gp1", c), coap.BadRequest)
	}
}

// A new group is inactive unless it is asked for: joins are 5.03 with error 9. GMA,
// Section 5.2.2; KGO, Section 6.2.
func TestStatement105_InactiveByDefault(t *testing.T) {
	w := newEmptyWorld(t)
	boss := w.chief()
	w.must(boss, coap.POST, "/manage", named(testGroup), coap.Created)
	a := w.applicant("dev", both)
	wantProblem(t, "join", a.send(a.request(both)), coap.ServiceUnavailable, ace.ErrorNotActive)
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(true)}, coap.Changed)
	wantAnswer(t, a.send(a.request(both)), coap.Created)
	w.must(boss, coap.POST, "/manage", named("open").With(ace.Configuration{Active: ace.Is(true)}), coap.Created)
	if c, _ := w.configurationOf(boss, "open"); c.Active != ace.Is(true) {
		t.Error("active was asked for")
	}
}

// gid_reuse true is not done here: the group is made with false, and the answer
// says so. GMA, Section 6.3.
func TestStatement106_GIDReuseRefused(t *testing.T) {
	w := newEmptyWorld(t)
	boss := w.chief()
	told := w.must(boss, coap.POST, "/manage", named("gp1").With(ace.Configuration{GIDReuse: ace.Is(true)}), coap.Created)
	if told.GIDReuse != ace.Is(false) {
		t.Errorf("told %v", told.GIDReuse)
	}
	if c, _ := w.configurationOf(boss, "gp1"); c.GIDReuse != ace.Is(false) {
		t.Errorf("gid_reuse %v", c.GIDReuse)
	}
	if told := w.must(boss, coap.POST, "/manage", named("gp2").With(ace.Configuration{GIDReuse: ace.Is(false)}), coap.Created); told.GIDReuse.Present {
		t.Error("told without need")
	}
}

// Parameters of a mode that is not used are null. GMA, Section 5.1.1.
func TestStatement107_NullWithoutMode(t *testing.T) {
	w := newEmptyWorld(t)
	boss := w.chief()
	for name, c := range map[string]ace.Configuration{
		"pw": {GroupMode: ace.Is(false)},
		"pn": {GroupMode: ace.Is(false), GpEncAlg: ace.Alg(cose.Null), SignAlg: ace.Alg(cose.Null), SignParams: ace.IsNull[ace.Capabilities]()},
	} {
		w.must(boss, coap.POST, "/manage", named(name).With(c), coap.Created)
		got, _ := w.configurationOf(boss, name)
		if !got.GpEncAlg.Null || !got.SignAlg.Null || !got.SignParams.Null || got.Alg.Null || got.ECDHAlg.Null || got.ECDHParams.Null || got.DetReq.Present {
			t.Errorf("%s: %x", name, ace.Encode(got))
		}
	}
	w.must(boss, coap.POST, "/manage", named("sig").With(ace.Configuration{PairwiseMode: ace.Is(false)}), coap.Created)
	got, _ := w.configurationOf(boss, "sig")
	if got.GpEncAlg.Null || got.SignAlg.Null || got.SignParams.Null || !got.Alg.Null || !got.ECDHAlg.Null || !got.ECDHParams.Null || got.DetReq.Present {
		t.Errorf("signature-only: %x", ace.Encode(got))
	}
}

// Overwriting gives what is left out its default, active among it. GMA, Section 6.6.
func TestStatement108_OverwriteResets(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{
		GpEncAlg: ace.Alg(cose.A128GCM), MaxStaleSets: ace.Is[uint64](9), GroupDescription: ace.Is("what"), AppGroups: ace.Is([]string{"a"}),
		Policies: ace.Is(ace.AdminPolicies{CheckInterval: ace.Is[uint64](60), Multicast: ace.Is("224.0.1.187:5683")}),
	}, coap.Changed)
	told := w.must(boss, coap.POST, "/manage/hall", ace.Configuration{AppGroups: ace.Is([]string{"b"})}, coap.Changed)
	if !slices.Equal(told.Labels(), []int{ace.AdminGroupName, ace.AdminJoiningURI, ace.AdminASURI}) {
		t.Errorf("answer with %v", told.Labels())
	}
	got, _ := w.configurationOf(boss, "hall")
	want := defaults(ace.Configuration{}).With(ace.Configuration{AppGroups: ace.Is([]string{"b"})})
	if !got.Only(want.Labels()).Equal(want) || got.Active != ace.Is(false) {
		t.Errorf("%x, want %x", ace.Encode(got), ace.Encode(want))
	}
	a := w.applicant("dev", both)
	wantProblem(t, "join", a.send(a.request(both)), coap.ServiceUnavailable, ace.ErrorNotActive)
}

// What never changes is not to be given in an overwrite or an update, and neither
// makes a group. GMA, Sections 6.6 and 6.7.
func TestStatement109_OverwriteForbidden(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	before, _ := w.configurationOf(boss, "hall")
	for name, c := range map[string]ace.Configuration{
		"group_mode": {GroupMode: ace.Is(true)}, "pairwise_mode": {PairwiseMode: ace.Is(true)}, "group_name": named("hall"),
		"gid_reuse": {GIDReuse: ace.Is(false)}, "rt": {RT: ace.Is("x")}, "profile": {Profile: ace.Is(1)}, "joining_uri": {JoiningURI: ace.Is("x")},
	} {
		for _, m := range []coap.Code{coap.POST, coap.PATCH, coap.IPATCH} {
			wantCode(t, name, w.ask(boss, m, "/manage/hall", c), coap.BadRequest)
		}
	}
	wantCode(t, "a diff in an overwrite", w.ask(boss, coap.POST, "/manage/hall", ace.Configuration{AppGroupsDiff: ace.Is(ace.AppGroupsDiff{Add: []string{"x"}})}), coap.BadRequest)
	for _, m := range []coap.Code{coap.POST, coap.PATCH, coap.IPATCH} {
		wantCode(t, "no group", w.ask(boss, m, "/manage/nowhere", ace.Configuration{Active: ace.Is(true)}), coap.NotFound)
	}
	if after, _ := w.configurationOf(boss, "hall"); !after.Equal(before) {
		t.Error("something was changed")
	}
	w.wantNames(boss, ace.Configuration{}, "hall")
}

// The 4.00 list of updates. GMA, Section 6.7.
func TestStatement110_EmptyUpdates(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	diff := func(del, add []string) ace.Configuration {
		return ace.Configuration{AppGroupsDiff: ace.Is(ace.AppGroupsDiff{Delete: del, Add: add})}
	}
	for _, m := range []coap.Code{coap.PATCH, coap.IPATCH} {
		wantCode(t, "nothing", w.ask(boss, m, "/manage/hall", ace.Configuration{}), coap.BadRequest)
		wantCode(t, "an empty diff", w.ask(boss, m, "/manage/hall", diff(nil, nil)), coap.BadRequest)
		wantCode(t, "both", w.ask(boss, m, "/manage/hall", diff(nil, []string{"x"}).With(ace.Configuration{AppGroups: ace.Is([]string{})})), coap.BadRequest)
		wantCode(t, "unknown", w.call(boss, m, "/manage/hall", cf261, []byte{0xa1, 0x38, 99, 1}), coap.BadRequest)
	}
	w.must(boss, coap.PATCH, "/manage/hall", diff(nil, []string{"room1", "room2", "room1"}), coap.Changed)
	w.must(boss, coap.IPATCH, "/manage/hall", diff([]string{"room1", "none"}, []string{"room3", "room2"}), coap.Changed)
	if c, _ := w.configurationOf(boss, "hall"); !slices.Equal(c.AppGroups.Value, []string{"room2", "room3"}) {
		t.Errorf("app_groups %q", c.AppGroups.Value)
	}
}

// An update whose result would contradict itself is 4.09 and changes nothing. GMA,
// Section 6.7.
func TestStatement111_ConflictingUpdate(t *testing.T) {
	w := newWorld(t, withP256)
	boss := w.chief()
	before, etag := w.configurationOf(boss, "hall")
	for name, c := range map[string]ace.Configuration{
		"EdDSA with P-256": {SignParams: ace.Is(ace.Capabilities{{2}, {2, 1}})},
		"both given":       {SignAlg: ace.Alg(cose.EdDSA), SignParams: ace.Is(ace.Capabilities{{2}, {2, 1}})},
		"ES256 alone":      {SignAlg: ace.Alg(cose.ES256)},
		"another HKDF":     {HKDF: ace.Alg(cose.HMAC512)},
		"null with a mode": {GpEncAlg: ace.Alg(cose.Null)},
		"det_hash_alg":     {DetHashAlg: ace.Alg(-16)},
	} {
		for _, m := range []coap.Code{coap.PATCH, coap.IPATCH} {
			resp := w.ask(boss, m, "/manage/hall", c)
			wantCode(t, name, resp, coap.Conflict)
			if len(resp.Payload) == 0 {
				t.Errorf("%s: no diagnostic", name)
			}
		}
		if name != "ES256 alone" && name != "another HKDF" { // then defaults go with them
			wantCode(t, name, w.ask(boss, coap.POST, "/manage/hall", c), coap.BadRequest)
		}
	}
	if after, now := w.configurationOf(boss, "hall"); !after.Equal(before) || !bytes.Equal(etag, now) {
		t.Error("something was changed")
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{HKDF: ace.Alg(cose.HMAC512), ECDHAlg: ace.Alg(cose.ECDHSSHKDF512)}, coap.Changed)
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{
		SignAlg: ace.Alg(cose.ES256), SignParams: ace.Is(ace.Capabilities{{2}, {2, 1}}), ECDHParams: ace.Is(ace.Capabilities{{2}, {2, 1}}),
	}, coap.Changed)
}

// A name to delete and to add: not idempotent, so iPATCH refuses it. GMA, Section
// 6.7.
func TestStatement112_NameInBothLists(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	c := ace.Configuration{AppGroupsDiff: ace.Is(ace.AppGroupsDiff{Delete: []string{"x", "y"}, Add: []string{"y"}})}
	wantCode(t, "iPATCH", w.ask(boss, coap.IPATCH, "/manage/hall", c), coap.BadRequest)
	if got, _ := w.configurationOf(boss, "hall"); len(got.AppGroups.Value) != 0 {
		t.Errorf("iPATCH left %q", got.AppGroups.Value)
	}
	w.must(boss, coap.PATCH, "/manage/hall", c, coap.Changed)
	if got, _ := w.configurationOf(boss, "hall"); !slices.Equal(got.AppGroups.Value, []string{"y"}) {
		t.Errorf("PATCH left %q", got.AppGroups.Value)
	}
}

// An active group is not deleted: 4.00 with error 10. An inactive one is, with its
// members, whose observations end with error 6; its Gids are never given out again.
// GMA, Sections 6.8 and 6.8.1.
func TestStatement113_Delete(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	a := w.join("dev", both)
	old := w.group()
	wantProblem(t, "active", w.call(boss, coap.DELETE, "/manage/hall", -1, nil), coap.BadRequest, ace.ErrorActive)
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
	observer := w.watch(a.gm, coap.GET, "/ace-group/hall", "t", nil)
	wantCode(t, "inactive", w.call(boss, coap.DELETE, "/manage/hall", -1, nil), coap.Deleted)
	if m := observer.next(); m == nil || coap.HasOption(m, coap.OptionObserve) {
		t.Errorf("an observer was told %v", m)
	} else {
		wantProblem(t, "observer", m, coap.NotFound, ace.ErrorDeleted)
	}
	wantCode(t, "again", w.call(boss, coap.DELETE, "/manage/hall", -1, nil), coap.NotFound)
	w.wantNames(boss, ace.Configuration{})
	for path, method := range map[string]coap.Code{"/ace-group/hall": coap.GET, "/ace-group/hall/num": coap.GET, a.m.NodePath: coap.DELETE} {
		wantCode(t, path, w.call(a.gm, method, path, -1, nil), coap.NotFound)
	}
	wantCode(t, "join", w.call(a.gm, coap.POST, "/ace-group/hall", -1, nil), coap.NotFound)
	names := w.call(a.gm, coap.FETCH, "/ace-group", cf261, ace.Encode(ace.GroupsRequest{GIDs: [][]byte{old.GID}}))
	if !bytes.Equal(names.Payload, []byte{0x40}) {
		t.Errorf("its Gid is still known: %x", names.Payload)
	}
	w.must(boss, coap.POST, "/manage", named("hall").With(ace.Configuration{Active: ace.Is(true)}), coap.Created)
	if g := w.group(); bytes.HasPrefix(g.GID, old.Prefix) || bytes.Equal(g.MasterSecret, old.MasterSecret) || g.Num != 0 {
		t.Error("the new group has something of the old one")
	}
	wantProblem(t, "a member of old", w.call(a.gm, coap.GET, "/ace-group/hall/num", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
}

// conf_filter: what the configuration has not is not in the answer, and no error.
// GMA, Section 6.5.
func TestStatement114_ConfFilter(t *testing.T) {
	w := newEmptyWorld(t)
	boss := w.chief()
	w.must(boss, coap.POST, "/manage", named("pw").With(ace.Configuration{GroupMode: ace.Is(false)}), coap.Created)
	whole, _ := w.configurationOf(boss, "pw")
	for _, c := range []struct{ ask, want []int }{
		{[]int{-4, -1, -12, -25, -26, -99, 7}, []int{-1, -4, -12}},
		{[]int{}, nil}, {[]int{-26}, nil}, {[]int{11, 16, 10}, []int{10, 11, 16}},
	} {
		resp := w.call(boss, coap.FETCH, "/manage/pw", cf261, ace.Encode(ace.ConfFilter{Labels: c.ask}))
		wantCode(t, "filter", resp, coap.Content)
		if got := wantConfiguration(t, resp); !got.Equal(whole.Only(c.want)) || len(got.Labels()) != len(c.want) {
			t.Errorf("%v: %x", c.ask, ace.Encode(got))
		}
	}
	for name, body := range map[string][]byte{"nothing": nil, "empty": {0xa0}, "null": {0xa1, 0x38, 26, 0xf6}, "no labels": {0xa1, 0x38, 26, 0x81, 0x61, 'x'}} {
		wantCode(t, name, w.call(boss, coap.FETCH, "/manage/pw", cf261, body), coap.BadRequest)
	}
}

package commission

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/label"
)

func id(err error) string {
	if err == nil {
		return ""
	}
	return asProblem(err).ID
}

// An administrator makes a group, joins lamps to it, changes, rekeys and evicts, and
// deletes it.
func TestAdminister(t *testing.T) {
	w := newWorld(t, 3)
	b := w.engine(nil)
	b.must(b.AcceptInvitation(t.Context(), w.invite("Ann", as.PolicyFor(as.RoleInstaller).Rules...)))
	b.must(b.ImportLabels(t.Context(), w.table()))
	eventually(t, "the rights", func() bool { return b.Snapshot().Site.Rights.Create })

	on, description, period := true, "Benches", 3600
	conf, err := b.CreateGroup(t.Context(), "workshop", GroupChange{Active: &on, Description: &description})
	if err != nil || !conf.Active || conf.Description != description || conf.Mode != modeBoth || conf.Signature != "EdDSA" {
		t.Fatalf("%+v %v", conf, err)
	}
	if g := b.group("workshop"); !slices.Equal(g.Manage, []string{"read", "write", "delete"}) {
		t.Errorf("%+v", g)
	}
	j, err := b.Join(t.Context(), "workshop", w.ids())
	b.must(j, err)
	b.job(j, nil)
	if call, err := b.RollCall(t.Context(), "workshop"); err != nil || call.Verified != 3 {
		t.Fatalf("%+v %v", call, err)
	}

	if conf, err = b.ChangeGroup(t.Context(), "workshop", GroupChange{RekeyPeriod: &period, ETag: conf.ETag}); err != nil || conf.RekeyPeriod != period || conf.Description != description {
		t.Errorf("%+v %v", conf, err)
	}
	members, err := b.GroupMembers(t.Context(), "workshop")
	if err != nil || len(members) != 4 {
		t.Fatalf("%+v %v", members, err)
	}
	lamp := members[slices.IndexFunc(members, func(m GroupMember) bool { return m.Device == w.ids()[0] })]
	preview, err := b.PreviewEvict(t.Context(), "workshop", []string{lamp.Node})
	if err != nil || !slices.Equal(preview.Stale, []string{lamp.SenderID}) || preview.Receive != 3 {
		t.Errorf("%+v %v", preview, err)
	}
	if len(w.members("workshop")) != 4 {
		t.Error("the preview did something")
	}
	b.must(nil, b.Evict(t.Context(), "workshop", []string{lamp.Node}))
	b.must(nil, b.NewKeys(t.Context(), "workshop"))
	if _, still := w.members("workshop")[w.ids()[0]]; still || slices.Contains(b.group("workshop").Members, w.ids()[0]) {
		t.Error("the evicted lamp is a member still")
	}
	pairwise, p256 := modePairwise, "ES256"
	b.must(b.CreateGroup(t.Context(), "p256", GroupChange{Mode: &pairwise, Signature: &p256}))
	client, err := b.current().administrator()
	if err != nil {
		t.Fatal(err)
	}
	if g, err := client.Read(t.Context(), "p256"); err != nil || !g.Configuration.ECDHParams.Value.Equal(ace.Capabilities{{2}, {2, 1}}) {
		t.Errorf("a pairwise-only group for keys on P-256: %+v %v", g, err)
	}
	b.must(nil, b.DeleteGroup(t.Context(), "workshop"))
	if g := b.group("workshop"); g.Ended != EndDeleted || len(g.Members) != 0 {
		t.Errorf("%+v", g)
	}
	if conf, err := b.CreateGroup(t.Context(), "workshop", GroupChange{Active: &on}); err != nil || conf.Description != "" || b.group("workshop").Ended != "" {
		t.Errorf("the same name again: %+v %v", conf, err)
	}
}

// What cannot be is refused with a sentence.
func TestAdministerRefuses(t *testing.T) {
	w := newWorld(t, 0)
	b := w.engine(nil)
	b.must(b.AcceptInvitation(t.Context(), w.invite("Ann", as.PolicyFor(as.RoleInstaller).Rules...)))
	on, bad, past := true, "triple", -1
	create := func(name string, change GroupChange) error {
		_, err := b.CreateGroup(t.Context(), name, change)
		return err
	}
	change := func(name string, change GroupChange) error {
		_, err := b.ChangeGroup(t.Context(), name, change)
		return err
	}
	mode := modePairwise
	for what, got := range map[string]struct {
		err  error
		want string
	}{
		"a name with a slash": {create("a/b", GroupChange{}), "bad-group-name"},
		"a taken name":        {create(hall, GroupChange{Active: &on}), "group-taken"},
		"no such mode":        {create("x", GroupChange{Mode: &bad}), "bad-config"},
		"no such signature":   {create("x", GroupChange{Signature: &bad}), "bad-config"},
		"a negative time":     {change(hall, GroupChange{RekeyPeriod: &past}), "bad-config"},
		"another mode later":  {change(hall, GroupChange{Mode: &mode}), "bad-config"},
		"an older ETag":       {change(hall, GroupChange{Active: &on, ETag: "00"}), "group-changed"},
		"no such group":       {change("nowhere", GroupChange{Active: &on}), "group-gone"},
		"no such member":      {b.Evict(t.Context(), hall, []string{"n99"}), "group-gone"},
		"nobody":              {b.Evict(t.Context(), hall, nil), "nothing-chosen"},
		"people":              {errOf(b.People(t.Context())), "not-admin"},
		"an invitation":       {errOf(b.Invite(t.Context(), "Eva", RoleViewer, 7)), "not-admin"},
		"no role":             {errOf(b.Invite(t.Context(), "Eva", "king", 7)), "bad-role"},
		"no name":             {errOf(b.Invite(t.Context(), " ", RoleViewer, 7)), "bad-name"},
	} {
		if id(got.err) != got.want {
			t.Errorf("%s: %v, want %s", what, got.err, got.want)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

// Somebody with another browser, who may command and read, finds the lamps that
// others joined, by their labels, and commands them. A lamp whose label is of another
// key is not among them.
func TestMaintainer(t *testing.T) {
	w := newWorld(t, 3)
	ann := w.enrolled()
	ann.joined()
	ben := w.engine(nil, func(c *Config) { c.Exchange = w.net.From(netip.MustParseAddrPort("127.0.0.1:40009")) })
	ben.must(ben.AcceptInvitation(t.Context(), w.invite("Ben", as.PolicyFor(as.RoleMaintainer, hall).Rules...)))
	ben.must(ben.ImportLabels(t.Context(), w.table(func(l *label.Label) {
		if l.Name == "Lamp 3" {
			l.Thumbprint = make([]byte, 32)
		}
	})))
	if _, err := ben.RollCall(t.Context(), hall); id(err) != "no-members" {
		t.Errorf("%v", err)
	}
	if members, err := ben.GroupMembers(t.Context(), hall); err != nil || len(members) < 4 {
		t.Fatalf("%+v %v", members, err)
	}
	if got := ben.group(hall).Members; !slices.Equal(got, w.ids()[:2]) {
		t.Errorf("members %v", got)
	}
	on := true
	call, err := ben.SetLight(t.Context(), hall, Light{On: &on})
	if err != nil || call.Verified != 2 || len(call.Answers) != 2 {
		t.Errorf("%+v %v", call, err)
	}
	for _, l := range w.lamps[:2] { // nobody asks after the third
		eventually(t, l.id()+" on", func() bool { return l.State().Light.On })
	}
	if err := ben.NewKeys(t.Context(), hall); id(err) != "gm-denied" {
		t.Errorf("%v", err)
	}
	if !errors.Is(errOf(ben.CreateGroup(t.Context(), "x", GroupChange{})), errGMDenied) {
		t.Error("a maintainer made a group")
	}
	if r := ben.Snapshot().Site.Rights; r.Create || r.People {
		t.Errorf("%+v", r)
	}
}

// Whoever manages people is told so after the first invitation, also when the
// engine's own start found the way to the servers closed.
func TestRightsAfterTheFirstInvitation(t *testing.T) {
	for range 5 {
		w := newWorld(t, 0)
		b := w.engine(nil)
		policy, err := as.RoleAdmin.Policy(hall)
		if err != nil {
			t.Fatal(err)
		}
		inv, err := w.as.Invite(t.Context(), "Ann", policy)
		if err != nil {
			t.Fatal(err)
		}
		w.net.Down(asAddr, true)
		if _, err := b.AcceptInvitation(t.Context(), w.link("Ann", inv)); err == nil {
			t.Fatal("accepted by a server that is down")
		}
		w.net.Down(asAddr, false)
		eventually(t, "the enrolment", func() bool {
			_, err := b.AcceptInvitation(t.Context(), w.link("Ann", inv))
			return err == nil
		})
		eventually(t, "the right to manage people", func() bool { return b.Snapshot().Site.Rights.People })
		b.Close()
	}
}

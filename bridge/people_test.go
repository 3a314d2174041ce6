package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lamplighter/bridge/control"
	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/join"
	"lamplighter/internal/store"

	"rsc.io/qr"
)

// TestLifetime reads times as operators write them.
func TestLifetime(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 7 * day, "2w": 14 * day, "36h": 36 * time.Hour, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "365d": maxLifetime,
		"": 0, "d": 0, "7": 0, "-7d": 0, "0d": 0, "7 d": 0, "1.5d": 0, "7D": 0, "59s": 0, "366d": 0, "99999999999999999999w": 0, "7d7d": 0, "soon": 0,
	} {
		var l lifetime
		err := l.UnmarshalText([]byte(text))
		if (err == nil) != (want != 0) || time.Duration(l) != want {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
	if got := lifetime(7*day).String() + " " + lifetime(90*time.Minute).String(); got != "7d 1h30m0s" {
		t.Error(got)
	}
}

// TestPrintQR reads the printed code back, module by module.
func TestPrintQR(t *testing.T) {
	text := "http://127.0.0.1:8080/#i=" + strings.Repeat("qgF2", 105)
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printQR(&out, text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for n, line := range lines {
		line = strings.TrimSuffix(strings.TrimPrefix(line, blackOnWhite), plainColours)
		row := []rune(line)
		if len(row) != code.Size+2*quiet || len(row) > 80 {
			t.Fatalf("line %d has %d columns", n, len(row))
		}
		for x, r := range row {
			upper, lower := strings.ContainsRune("▀█", r), strings.ContainsRune("▄█", r)
			y := 2*n - quiet
			if upper != code.Black(x-quiet, y) || lower != code.Black(x-quiet, y+1) {
				t.Fatalf("module %d, %d", x-quiet, y)
			}
		}
	}
	if 2*len(lines) < code.Size+2*quiet {
		t.Error("rows are missing")
	}
	if err := printQR(&out, strings.Repeat("x", 3000)); err == nil {
		t.Error("a text that fits no code is drawn")
	}
}

// TestFind picks who is meant, and nobody when that is not clear.
func TestFind(t *testing.T) {
	list := []person{
		{ID: "1", Name: "Ann"}, {ID: "2", Name: "Bob"}, {ID: "3", Name: "Bob"}, {ID: "4", Name: "Cid", Revoked: true},
		{ID: "5", Name: "Dan", Revoked: true}, {ID: "6", Name: "Dan", Pending: true}, {ID: "7", Name: "Dan"}, {ID: "8", Name: "1"},
		{ID: "9", Name: "Eve", Pending: true}, {ID: "10", Name: "Eve", Pending: true},
	}
	for who, want := range map[string]string{"Ann": "1", "2": "2", "3": "3", "Dan": "7 6", "6": "6", "1": "1", "Eve": "9 10", "10": "10"} {
		found, err := find(list, who)
		ids := []string{}
		for _, p := range found {
			ids = append(ids, p.ID)
		}
		if got := strings.Join(ids, " "); err != nil || got != want {
			t.Errorf("%s: %s, %v", who, got, err)
		}
	}
	for who, want := range map[string]string{
		"Bob": "2 people are called", "Cid": "revoked already", "5": "revoked already", "Fay": "nobody is called", "": "nobody is called", "ann": "nobody is called",
	} {
		if p, err := find(list, who); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v", who, p, err)
		}
	}
	if _, err := find(list, "Bob"); !strings.Contains(err.Error(), "2 (since") || !strings.Contains(err.Error(), "3 (since") {
		t.Error("the two are not told apart:", err)
	}
}

// at is the site's running Authorization Server, as a command finds it.
func (s *faultSite) at() atAS { return atAS{Data: s.cmd.Data} }

// invites somebody as the command does, and returns what the link says.
func (s *faultSite) invites(name, role string, life time.Duration) commission.Invitation {
	s.t.Helper()
	made, err := callAS[invited](s.t.Context(), s.at(), "POST", "/invite", inviteRequest{
		Name: name, Role: role, Groups: s.cmd.Groups, Seconds: int64(life.Seconds()),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	i, err := commission.ParseInvitation(made.Link)
	if err != nil || !strings.HasPrefix(made.Link, s.bridge.url()+"/#i=") || string(i.ID) != made.ID || i.Installer != name {
		s.t.Fatalf("the link of %s: %v, %v", name, i, err)
	}
	s.secret("an invitation's secret", i.Secret)
	s.secret("an access code", []byte(i.AccessCode))
	return i
}

func (s *faultSite) accepts(i commission.Invitation) *installer {
	s.t.Helper()
	in := s.install(store.NewMemory())
	if _, err := in.AcceptInvitation(s.t.Context(), i.Encode()); err != nil {
		s.t.Fatal(err)
	}
	return in
}

// people is who there is, as "name role state".
func (s *faultSite) people() string {
	s.t.Helper()
	list, err := callAS[[]person](s.t.Context(), s.at(), "GET", "/people", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, p := range list {
		state := "enrolled"
		switch {
		case p.Revoked:
			state = "revoked"
		case p.Pending:
			state = "pending"
		}
		all = append(all, p.Name+" "+p.Role+" "+state)
	}
	return strings.Join(all, ", ")
}

func (s *faultSite) revokes(who string) error {
	_, err := callAS[[]person](s.t.Context(), s.at(), "POST", "/revoke", revokeRequest{who})
	return err
}

// TestInviteAndRevoke: a person who was invited by command works with the site
// until revoked; then the open page is told and stops, every door is shut, and
// the others go on.
func TestInviteAndRevoke(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 2)
	link := s.invites("Ann", "installer", time.Hour)
	ann, bob := s.accepts(link), s.accepts(s.invites("Bob", "installer", time.Hour))
	ann.importAll()
	if _, err := ann.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	ann.join(s.ids()...)
	for _, want := range []string{"Ann installer enrolled", "Bob installer enrolled", "Ann admin pending"} { // the last by the demo's own link
		if got := s.people(); !strings.Contains(got, want) || strings.Count(got, ",") != 2 {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	s.told(func() error {
		_, err := s.install(store.NewMemory()).AcceptInvitation(t.Context(), link.Encode())
		return err
	}(), "invitation-used")
	if err := s.revokes("nobody"); err == nil || !strings.Contains(err.Error(), "nobody is called") {
		t.Error("an unknown person:", err)
	}
	begun := time.Now()
	if err := s.revokes("Ann"); err != nil {
		t.Fatal(err)
	}
	for ann.Snapshot().Link.Up || !strings.Contains(ann.Snapshot().Link.Reason, "revoked") {
		if time.Since(begun) > 4*time.Second {
			t.Fatalf("Ann's link: %+v", ann.Snapshot().Link)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("Ann's page was told after %s", time.Since(begun).Round(time.Millisecond))
	s.told(ann.SignInAgain(t.Context()), "access-revoked")
	if _, err := ann.RollCall(t.Context(), faultGroup); err == nil {
		t.Error("Ann still calls the roll")
	}
	s.told(func() error {
		_, err := s.install(store.NewMemory()).AcceptInvitation(t.Context(), link.Encode())
		return err
	}(), "access-revoked")
	if _, err := endpoint.SignIn(t.Context(), s.bridge.url(), link.AccessCode); !errors.Is(err, coap.ErrRevoked) {
		t.Error("signing in:", err)
	}
	if got := s.people(); strings.Contains(got, "Ann admin") || !strings.Contains(got, "Ann installer revoked") {
		t.Error("her other invitation is still open:", got)
	}
	if err := s.revokes("Ann"); err == nil || !strings.Contains(err.Error(), "revoked already") {
		t.Error("revoked twice:", err)
	}
	if !bob.Snapshot().Link.Up {
		t.Error("Bob's link is down")
	}
	if _, err := bob.Discover(t.Context()); err != nil {
		t.Error("Bob:", err)
	}
	s.lit(false, 0, 1)
}

// personOf is the id of an installer at the Authorization Server.
func (s *faultSite) personOf(i *installer) string {
	s.t.Helper()
	all, err := s.as.server.People(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range all {
		if p.Name == i.Snapshot().Site.Installer && !p.Pending {
			return p.ID
		}
	}
	s.t.Fatal("there is no such person")
	return ""
}

// TestPendingInvitations: one that is revoked, and one that expired, opens
// neither the bridge nor the Authorization Server.
func TestPendingInvitations(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	gone, late := s.invites("Gil", "viewer", time.Hour), s.invites("Lea", "maintainer", 3*time.Second)
	if got := s.people(); !strings.Contains(got, "Gil viewer pending, Lea maintainer pending") {
		t.Error(got)
	}
	if err := s.revokes("Gil"); err != nil {
		t.Fatal(err)
	}
	soon(t, "Lea's invitation expires", 5*time.Second, func() bool { return !strings.Contains(s.people(), "Lea") })
	if got := s.people(); strings.Contains(got, "Gil viewer pending") || strings.Contains(got, "Lea") {
		t.Error(got)
	}
	for id, i := range map[string]commission.Invitation{"access-revoked": gone, "sign-in-refused": late} {
		_, err := s.install(store.NewMemory()).AcceptInvitation(t.Context(), i.Encode())
		s.told(err, id)
		code := s.accessCode()
		i.AccessCode = code // even when the bridge lets somebody in by another's
		_, err = s.install(store.NewMemory()).AcceptInvitation(t.Context(), i.Encode())
		s.told(err, "invitation-used")
	}
	for _, bad := range []inviteRequest{
		{Name: "", Role: "viewer", Seconds: 60}, {Name: "Eve", Role: "boss", Seconds: 60}, {Name: "Eve", Role: "viewer"},
		{Name: "Eve", Role: "viewer", Seconds: 1 << 40}, {Name: "Eve", Role: "viewer", Groups: []string{"a*b"}, Seconds: 60},
	} {
		_, err := callAS[invited](t.Context(), s.at(), "POST", "/invite", bad)
		var refused *control.Error
		if !errors.As(err, &refused) || refused.Status != 422 {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestInviteShares: who is invited by command acts for the devices of the others,
// also where these had enrolled without a site.
func TestInviteShares(t *testing.T) {
	t.Parallel()
	for what, first := range map[string]func(*faultSite) *installer{
		"by command":     func(s *faultSite) *installer { return s.accepts(s.invites("Ann Lee", "installer", time.Hour)) },
		"without a site": func(s *faultSite) *installer { return s.enrolled("Ann Lee") },
	} {
		s := startFaultSite(t, 1)
		ann := first(s)
		ann.importAll()
		if _, err := ann.Discover(t.Context()); err != nil {
			t.Fatal(err)
		}
		ann.join(s.ids()...)
		scope := ace.EncodeScope([]ace.ScopeEntry{{Group: faultGroup, Roles: ace.RoleResponder}})
		ask := ace.TokenRequest{ClientID: s.id(0), Scope: scope}
		if _, err := join.Token(t.Context(), s.holder(s.invites("Bob", "installer", time.Hour)).session, ask); err != nil {
			t.Errorf("Bob, after Ann %s: %v", what, err)
		}
		if _, err := join.Token(t.Context(), s.holder(s.invites("Mia", "maintainer", time.Hour)).session, ask); err == nil {
			t.Errorf("a maintainer gets a device's token, after Ann %s", what)
		}
		if _, err := join.Token(t.Context(), s.holder(s.invitation("Eve")).session, ask); err == nil {
			t.Errorf("somebody of another site gets a device's token, after Ann %s", what)
		}
	}
}

// TestAdminPage: the person whom the demo invites is an admin, whose page invites
// and revokes as the commands do. Nobody else's can.
func TestAdminPage(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	admin := s.install(store.NewMemory())
	if _, err := admin.AcceptInvitation(t.Context(), s.link); err != nil {
		t.Fatal(err)
	}
	made, err := admin.Invite(t.Context(), "Bob", commission.RoleInstaller, 1)
	if err != nil {
		t.Fatal(err)
	}
	link, err := commission.ParseInvitation(made.Fragment)
	if err != nil {
		t.Fatal(err)
	}
	s.secret("an invitation's secret", link.Secret)
	s.secret("an access code", []byte(link.AccessCode))
	bob := s.accepts(link)
	bob.importAll()
	if _, err := bob.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g := bob.Snapshot().Groups; len(g) != 1 || g[0].Name != faultGroup {
		t.Errorf("Bob's groups: %+v", g)
	}
	bob.join(s.ids()...)
	if got := s.people(); got != "Ann admin enrolled, Bob installer enrolled" {
		t.Error(got)
	}
	if _, err := bob.Invite(t.Context(), "Eve", commission.RoleAdmin, 1); err == nil {
		t.Error("an installer invites")
	}
	if err := bob.Revoke(t.Context(), s.personOf(admin)); err == nil {
		t.Error("an installer revokes the admin")
	}
	if err := admin.Revoke(t.Context(), s.personOf(bob)); err != nil {
		t.Fatal(err)
	}
	soon(t, "Bob's page is told", 3*time.Second, func() bool {
		l := bob.Snapshot().Link
		return !l.Up && strings.Contains(l.Reason, "revoked")
	})
	if got := s.people(); got != "Ann admin enrolled, Bob installer revoked" {
		t.Error(got)
	}
	if !admin.Snapshot().Link.Up {
		t.Error("the admin's link is down")
	}
	if _, err := admin.Discover(t.Context()); err != nil {
		t.Error("the admin:", err)
	}
}

// TestInviteToAllGroups: a person whose groups are all there are learns of them.
func TestInviteToAllGroups(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	for _, role := range as.Roles {
		made, err := callAS[invited](t.Context(), s.at(), "POST", "/invite", inviteRequest{Name: "Al " + string(role), Role: string(role), Seconds: 60})
		if err != nil {
			t.Fatal(err)
		}
		link, err := commission.ParseInvitation(made.Link)
		if err != nil {
			t.Fatal(err)
		}
		i := s.accepts(link)
		soon(t, "groups of the "+string(role), 3*time.Second, func() bool {
			g := i.Snapshot().Groups
			return len(g) == 1 && g[0].Name == faultGroup
		})
	}
}

// TestNoServer: a command says what to start.
func TestNoServer(t *testing.T) {
	_, err := callAS[[]person](context.Background(), atAS{Data: filepath.Join(t.TempDir(), "nowhere")}, "GET", "/people", nil)
	if err == nil || !strings.Contains(err.Error(), "start it with: lamplighter as --data") {
		t.Error(err)
	}
}

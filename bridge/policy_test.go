package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/join"
)

const lampsForAMonth = `{
  "rules": [
    {"group": "hall-*", "self": ["requester", "monitor"], "admin": ["list", "read"]},
    {"group": "/floor-[0-9]+/", "devices": ["responder"], "model": "lamp-*", "until": "2027-01-31T00:00:00Z"},
    {"group": "safe", "devices": ["requester", "responder"], "device": "000B57FFFE000001", "gm": "gm"}
  ],
  "until": "2027-02-01T00:00:00Z"
}`

// TestPolicyText: what operators write is what the Authorization Server keeps, and
// back. The rest of a policy stays.
func TestPolicyText(t *testing.T) {
	text, err := parsePolicy([]byte(lampsForAMonth))
	if err != nil {
		t.Fatal(err)
	}
	p, err := text.policy(as.Policy{Site: "one", Role: as.RoleInstaller, With: "x", Rules: []as.Rule{{Group: "old"}}, Until: 7})
	if err != nil {
		t.Fatal(err)
	}
	january := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	want := as.Policy{Site: "one", Role: as.RoleInstaller, With: "x", Until: uint64(january.Unix()) + 86400, Rules: []as.Rule{
		{Group: "hall-*", Self: 2 | 8, Admin: 1 | 4},
		{Group: "/floor-[0-9]+/", Devices: 4, Model: "lamp-*", Until: uint64(january.Unix())},
		{Group: "safe", Devices: 2 | 4, Device: "000b57fffe000001", Audience: "gm"},
	}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("%+v", p)
	}
	if again, err := textOf(p).policy(want); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("written and read again: %+v, %v", again, err)
	}
	for what, raw := range map[string]string{
		"nothing": "", "null": "null", "a list": "[]", "two": "{}{}", "an unknown key": `{"rules": [{"group": "a", "roles": ["requester"]}]}`,
		"an unknown role": `{"rules": [{"group": "a", "self": ["boss"]}]}`, "a role as a permission": `{"rules": [{"group": "a", "admin": ["list", "requester"]}]}`,
		"no list": `{"rules": [{"group": "a", "admin": ["read"]}]}`, "no pattern": `{"rules": [{"group": "/a(/", "self": ["requester"]}]}`,
		"no time": `{"rules": [], "until": "tomorrow"}`, "no roles": `{"rules": [{"group": "a"}]}`,
	} {
		if _, err := parsePolicy([]byte(raw)); err == nil {
			t.Errorf("%s is a policy", what)
		}
	}
}

// policyOf asks for a person's policy, or replaces it by the file's.
func (s *faultSite) policyOf(who, raw string) (policyText, error) {
	ask := policyRequest{Who: who}
	if raw != "" {
		file := filepath.Join(s.t.TempDir(), "policy.json")
		if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
			s.t.Fatal(err)
		}
		var err error
		if ask.Policy, err = readPolicy(file); err != nil {
			s.t.Fatal(err)
		}
	}
	return callAS[policyText](s.t.Context(), s.at(), "POST", "/policy", ask)
}

// TestPolicyCommand: a policy that is replaced decides about the next token, and its
// end about the bridge too.
func TestPolicyCommand(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	link := s.invites("Ann Lee", "installer", time.Hour)
	for _, rules := range []string{`[{"group": "elsewhere", "self": ["requester"]}]`, `[{"group": "` + faultGroup + `", "self": ["requester"], "admin": ["list"]}]`} {
		if _, err := s.policyOf("Ann Lee", `{"rules": `+rules+`}`); err != nil {
			t.Error("before the invitation was used:", err)
		}
	}
	ann := s.holder(link)
	ask := ace.TokenRequest{Scope: ace.EncodeScope([]ace.ScopeEntry{{Group: faultGroup, Roles: ace.RoleRequester}})}
	if _, err := join.Token(t.Context(), ann.session, ask); err != nil {
		t.Fatal(err)
	}
	got, err := s.policyOf("Ann Lee", "")
	if err != nil || len(got.Rules) != 1 || got.Rules[0].Group != faultGroup || strings.Join(got.Rules[0].Admin, " ") != "list" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = s.policyOf("Ann Lee", `{"rules": [{"group": "`+faultGroup+`", "self": ["monitor"]}]}`); err != nil || strings.Join(got.Rules[0].Self, " ") != "monitor" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := join.Token(t.Context(), ann.session, ask); err == nil {
		t.Error("a requester's token by a monitor's policy")
	}
	if _, err := endpoint.SignIn(t.Context(), s.bridge.url(), link.AccessCode); err != nil {
		t.Error("signing in:", err)
	}
	end := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	if _, err := s.policyOf("Ann Lee", `{"rules": [], "until": "`+end+`"}`); err != nil {
		t.Error(err)
	}
	list, err := callAS[[]person](t.Context(), s.at(), "GET", "/people", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Name == "Ann Lee" && !strings.Contains(p.state(), ", ended ") {
			t.Errorf("the list says %q", p.state())
		}
	}
	soon(t, "the bridge is shut", 3*time.Second, func() bool {
		_, err := endpoint.SignIn(t.Context(), s.bridge.url(), link.AccessCode)
		return err != nil
	})
	if _, err := s.policyOf("nobody", ""); err == nil || !strings.Contains(err.Error(), "nobody is called") {
		t.Errorf("of nobody: %v", err)
	}
}

package iregexp

import (
	"errors"
	"strings"
	"testing"

	"lamplighter/internal/ace"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern ace.Pattern
		yes, no string // names, with spaces between
	}{
		{ace.AnyGroup, "hall stage", ""},
		{ace.NamedGroup("hall"), "hall", "hal halls Hall"},
		{ace.RegexpGroups("gp[0-9]*"), "gp gp1 gp123", "gp1a xgp1 gpx"},
		{ace.RegexpGroups("hall|stage"), "hall stage", "hallstage hal xstage"},
		{ace.RegexpGroups("(floor-[1-3]|roof).*"), "floor-1 floor-3-lamps roof roofs", "floor-4 the-roof"},
		{ace.RegexpGroups("a{2,3}"), "aa aaa", "a aaaa"},
		{ace.RegexpGroups("a{2}b?"), "aa aab", "a aaa"},
		{ace.RegexpGroups("a{2,}"), "aa aaaaa", "a"},
		{ace.RegexpGroups("^x$"), "^x$", "x"},
		{ace.RegexpGroups(`a\.b`), "a.b", "axb"},
		{ace.RegexpGroups("a.b"), "axb a.b", "ab"},
		{ace.RegexpGroups(`[^a-c]`), "d -", "a b c"},
		{ace.RegexpGroups(`[a\-c-]`), "a - c", "b"},
		{ace.RegexpGroups(`[-^]`), "- ^", "x"},
		{ace.RegexpGroups(`\p{Lu}\P{Lu}+`), "Hall Äpfel", "hall HALL"},
		{ace.RegexpGroups(`[\p{Nd}x]`), "7 x", "y"},
		{ace.RegexpGroups(`a&&b`), "a&&b", "a"},
	} {
		m, err := Compile(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for _, name := range strings.Fields(tt.yes) {
			if !m.Match(name) {
				t.Errorf("%s does not match %q", tt.pattern, name)
			}
		}
		for _, name := range strings.Fields(tt.no) {
			if m.Match(name) {
				t.Errorf("%s matches %q", tt.pattern, name)
			}
		}
	}
	if (Matcher{}).Match("") {
		t.Error("the zero Matcher matches")
	}
}

func TestRefused(t *testing.T) {
	for _, expr := range []string{
		"*", "a**", "(", ")", "a)", "(a", "[", "[]", "[^]", "a]", "]", "{", "a{", "a{,2}", "a{2", "a{3,2}", "a{1001}", "}", `\`, `\d`, `\w`, `\b`,
		`\p`, `\p{`, `\p{Xx}`, `\p{Cn}`, `\p{L Ll}`, `\p{}`, "[a-", "[a-b-c]", "[b-a]", "[[:alpha:]]", "(?i)a", "(?:a)", "a*?", `[\p{L}-z]`, `[a-\p{L}]`,
		strings.Repeat("(", 40) + strings.Repeat(")", 40),
	} {
		if m, err := Compile(ace.RegexpGroups(expr)); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v", expr, err)
		} else if m.Match("a") {
			t.Errorf("%q matches", expr)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"gp[0-9]*", "(a|b)+", `\p{Lu}[^a-c]{2,3}`, "[-a-]", "^$", "a{1,1000}"} {
		f.Add(s, "gp1")
	}
	f.Fuzz(func(t *testing.T, expr, name string) {
		m, err := Compile(ace.RegexpGroups(expr))
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Fatal(err)
		}
		if err != nil && m.Match(name) {
			t.Fatal("what does not compile matches")
		}
		m.Match(name)
	})
}

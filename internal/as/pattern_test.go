package as

import (
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/ace/iregexp"
)

func name(s string) ace.Pattern   { return ace.NamedGroup(s) }
func regexp(s string) ace.Pattern { return ace.RegexpGroups(s) }

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		outer, inner ace.Pattern
		want         bool
	}{
		{ace.AnyGroup, ace.AnyGroup, true},
		{ace.AnyGroup, name("hall"), true},
		{ace.AnyGroup, regexp("x|y"), true},
		{name("hall"), name("hall"), true},
		{name("hall"), name("halls"), false},
		{name("hall"), ace.AnyGroup, false},
		{name("hall"), regexp("hall"), true}, // it matches this name alone
		{name("hall"), regexp("hal."), false},
		{name("a.b"), regexp(`a\.b`), true},
		{regexp("floor-[0-9]"), name("floor-1"), true},
		{regexp("floor-[0-9]"), name("floor-10"), false}, // whole names
		{regexp("floor-[0-9]"), regexp("floor-[0-9]"), true},
		{regexp("floor-[0-9]"), regexp("floor-[0-8]"), false}, // not seen, so not granted
		{regexp("floor-.*"), regexp("floor-1-.*"), true},
		{regexp("floor-1-.*"), regexp("floor-.*"), false},
		{regexp("floor-.*"), regexp("floor-[0-9]+"), true},
		{regexp("floor-.*"), regexp("floor-[0-9]+|attic"), false},
		{regexp("floor-.*"), regexp("floor-?[0-9]"), false},
		{regexp("floor.*"), regexp("floor-?[0-9]"), true},
		{regexp("floor-.*"), ace.AnyGroup, false},
		{regexp(".*"), regexp("x|y"), true},
		{regexp(".*-lamps"), regexp("hall.*-lamps"), true},
		{regexp(".*-lamps"), regexp("hall.*"), false},
		{regexp("hall.*-lamps"), regexp("hall-1.*-1-lamps"), true},
		{regexp("hall.*-lamps"), regexp("hall-[0-9]-lamps"), false},
		{regexp("hall.*-lamps"), name("hall-lamps"), true},
		{regexp("hall-.*-lamps"), name("hall-lamps"), false}, // begin and end do not overlap
		{regexp(`a\.*`), name("a"), true},                    // dots, not anything
		{regexp(`a\.*`), name("ab"), false},
		{regexp(`a\.*`), regexp("ab.*"), false},
		{regexp("ä.*"), regexp("äö.*"), true},
		{regexp("(a.*"), name("a"), false}, // no expression
	} {
		if got := covers(tt.outer, tt.inner); got != tt.want {
			t.Errorf("%s covers %s: %v", tt.outer, tt.inner, got)
		}
	}
}

func TestIntersect(t *testing.T) {
	for _, tt := range []struct {
		a, b ace.Pattern
		want string // empty: none
	}{
		{regexp("hall-.*"), regexp(".*-lamps"), `hall-.*-lamps`},
		{regexp(".*-lamps"), regexp("hall-.*"), `hall-.*-lamps`},
		{regexp("ha.*s"), regexp("hall.*-lamps"), `hall.*-lamps`},
		{regexp("hall-.*"), regexp("attic-.*"), ""},
		{regexp(".*-lamps"), regexp(".*-fans"), ""},
		{regexp("[a-k].*"), regexp("[h-z].*"), ""}, // they meet, and nothing here says where
		{name("hall"), regexp("h.*"), ""},
	} {
		got, ok := intersect(tt.a, tt.b)
		if ok != (tt.want != "") || ok && got != regexp(tt.want) {
			t.Errorf("%s and %s: %s, %v", tt.a, tt.b, got, ok)
		}
		if _, err := iregexp.Compile(got); ok && err != nil {
			t.Error(err)
		}
	}
}

// FuzzPatterns: what is said about patterns is true of names.
func FuzzPatterns(f *testing.F) {
	f.Add("floor-.*", "floor-[0-9]", "floor-1")
	f.Add(`a\.*`, "a.*b|c", "ab")
	f.Add(".*-lamps", "hall.*", "hall-lamps")
	f.Add("äb+", "ä.*", "äbb")
	f.Fuzz(func(t *testing.T, a, b, group string) {
		if !ace.ValidGroupName(group) {
			return
		}
		p, q := regexp(a), regexp(b)
		if _, err := iregexp.Compile(p); err != nil {
			return
		}
		if _, err := iregexp.Compile(q); err != nil {
			return
		}
		inP, inQ := iregexp.Match(p, group), iregexp.Match(q, group)
		if stands(p, group) != inP {
			t.Errorf("%s stands for %q: %v", p, group, !inP)
		}
		if covers(p, q) && inQ && !inP {
			t.Errorf("%s does not cover %s: %q", p, q, group)
		}
		if both, ok := intersect(p, q); ok && iregexp.Match(both, group) && !(inP && inQ) {
			t.Errorf("%s is beyond %s or %s: %q", both, p, q, group)
		}
		if own := regexp(quote(group)); !iregexp.Match(own, group) {
			t.Errorf("%s does not stand for %q", own, group)
		}
	})
}

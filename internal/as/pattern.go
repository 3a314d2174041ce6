package as

import (
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/ace/iregexp"
)

// Names are compared with patterns, and patterns with each other, as far as that
// can be decided quickly: where two expressions could be related in a way that is
// not seen here, less is granted, never more.

// beginsAndEnds is the pattern of the names that begin and end so.
func beginsAndEnds(begin, end string) ace.Pattern {
	return ace.RegexpGroups(quote(begin) + ".*" + quote(end))
}

// What an I-Regexp means by more than itself, and what it may escape besides. RFC
// 9485, Section 3.
const (
	meta    = `.[]{}()\*+?|`
	escaped = meta + `^-`
)

// quote makes an I-Regexp of a name.
func quote(name string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(meta, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// unquote reads what quote makes; ok is false for any other expression.
func unquote(expr string) (name string, ok bool) {
	var b strings.Builder
	inEscape := false
	for _, r := range expr {
		switch {
		case inEscape:
			if !strings.ContainsRune(escaped, r) {
				return "", false // a class, or a line break
			}
			b.WriteRune(r)
			inEscape = false
		case r == '\\':
			inEscape = true
		case strings.ContainsRune(meta, r):
			return "", false
		default:
			b.WriteRune(r)
		}
	}
	return b.String(), !inEscape
}

// shape is what a pattern is known to be: one name, or the names that begin and
// end so. exact is false when it only is part of those.
type shape struct {
	name       string
	isName     bool
	begin, end string
	exact      bool
}

func shapeOf(p ace.Pattern) shape {
	switch p.Kind {
	case ace.PatternName:
		return shape{name: p.Text, isName: true, exact: true}
	case ace.PatternAny:
		return shape{exact: true}
	}
	if name, ok := unquote(p.Text); ok {
		return shape{name: name, isName: true, exact: true}
	}
	if begin, end, found := cutAtMany(p.Text); found {
		b, ok1 := unquote(begin)
		e, ok2 := unquote(end)
		if ok1 && ok2 {
			return shape{begin: b, end: e, exact: true}
		}
	}
	return shape{begin: literalBegin(p.Text)}
}

// cutAtMany cuts an expression round the first ".*" that is not escaped.
func cutAtMany(expr string) (begin, end string, found bool) {
	for i := 0; i+1 < len(expr); i++ {
		switch {
		case expr[i] == '\\':
			i++
		case expr[i] == '.' && expr[i+1] == '*':
			return expr[:i], expr[i+2:], true
		}
	}
	return "", "", false
}

// literalBegin is how every name begins that an expression matches, as far as
// that is plain to see.
func literalBegin(expr string) string {
	if strings.Contains(expr, "|") { // the begin of one branch is not that of others
		return ""
	}
	end := strings.IndexAny(expr, meta)
	if end < 0 {
		return expr
	}
	if end > 0 && strings.ContainsRune("*+?{", rune(expr[end])) { // it counts the character before
		_, size := lastRune(expr[:end])
		end -= size
	}
	return expr[:end]
}

func lastRune(s string) (r rune, size int) {
	for i, c := range s {
		r, size = c, len(s)-i
	}
	return r, size
}

// stands reports whether a pattern stands for a name.
func stands(p ace.Pattern, name string) bool {
	s := shapeOf(p)
	switch {
	case s.isName:
		return s.name == name
	case s.exact:
		return len(name) >= len(s.begin)+len(s.end) && strings.HasPrefix(name, s.begin) && strings.HasSuffix(name, s.end)
	}
	return iregexp.Match(p, name)
}

// covers reports whether every name that inner matches is one that outer matches.
func covers(outer, inner ace.Pattern) bool {
	if outer == inner || outer.Kind == ace.PatternAny {
		return true
	}
	o, i := shapeOf(outer), shapeOf(inner)
	switch {
	case i.isName:
		return stands(outer, i.name)
	case o.isName || !o.exact:
		return false
	case o.begin == "" && o.end == "": // ".*"
		return true
	case i.exact:
		return strings.HasPrefix(i.begin, o.begin) && strings.HasSuffix(i.end, o.end)
	}
	return o.end == "" && strings.HasPrefix(i.begin, o.begin)
}

// intersect returns a pattern whose names both patterns match. ok is false when
// none is found. GMA, Appendix A, step 4.
func intersect(a, b ace.Pattern) (p ace.Pattern, ok bool) {
	x, y := shapeOf(a), shapeOf(b)
	if x.isName || y.isName || !x.exact || !y.exact {
		return p, false
	}
	begin, end := x.begin, x.end
	if strings.HasPrefix(y.begin, begin) {
		begin = y.begin
	} else if !strings.HasPrefix(begin, y.begin) {
		return p, false
	}
	if strings.HasSuffix(y.end, end) {
		end = y.end
	} else if !strings.HasSuffix(end, y.end) {
		return p, false
	}
	return beginsAndEnds(begin, end), true
}

// adminRules are the rules in force that let the installer administrate, with
// their patterns.
func (p Policy) adminRules(a asking) (rules []Rule, patterns []ace.Pattern) {
	for _, r := range p.Rules {
		pattern, err := r.groups()
		if r.Admin != 0 && r.applies(a) && err == nil {
			rules, patterns = append(rules, r), append(patterns, pattern)
		}
	}
	return rules, patterns
}

// everyAdmin returns all that the policy lets an installer administrate.
func (p Policy) everyAdmin(g *granted, a asking) []ace.AdminEntry {
	var out entries
	rules, patterns := p.adminRules(a)
	for i, r := range rules {
		out.add(patterns[i], r.Admin)
		g.use(r)
	}
	return out
}

// admins evaluates admin entries that are asked for. The steps are those of GMA,
// Appendix A.
func (p Policy) admins(g *granted, a asking, asked []ace.AdminEntry) []ace.AdminEntry {
	var out entries
	rules, patterns := p.adminRules(a)
	used := make([]bool, len(rules))
	for _, e := range asked { // step 2: policies that cover what is asked for
		var perm ace.Perm
		for i, r := range rules {
			if covers(patterns[i], e.Groups) {
				perm |= r.Admin
				used[i] = true
				g.use(r)
			}
		}
		out.add(e.Groups, perm&e.Perm)
	}
	for _, e := range asked { // step 3: policies inside it
		for i, r := range rules {
			if patterns[i] != e.Groups && covers(e.Groups, patterns[i]) {
				out.add(patterns[i], r.Admin&e.Perm)
				used[i] = true
				g.use(r)
			}
		}
	}
	for _, e := range asked { // step 4: policies that meet it
		for i, r := range rules {
			if used[i] {
				continue
			}
			if both, ok := intersect(patterns[i], e.Groups); ok {
				out.add(both, r.Admin&e.Perm)
				g.use(r)
			}
		}
	}
	return out
}

// entries are admin entries, one a pattern.
type entries []ace.AdminEntry

// add adds permissions; without List it is no admin entry. GMA, Section 3.
func (out *entries) add(groups ace.Pattern, perm ace.Perm) {
	if !perm.Has(ace.PermList) {
		return
	}
	for i := range *out {
		if (*out)[i].Groups == groups {
			(*out)[i].Perm |= perm
			return
		}
	}
	*out = append(*out, ace.AdminEntry{Groups: groups, Perm: perm})
}

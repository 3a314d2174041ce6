// Package iregexp matches group names against the patterns of admin entries:
// literal names, the wildcard and I-Regexps (RFC 9485), which are translated into
// Go's regular expressions. It is apart from package ace so that a browser, which
// only writes patterns, does not carry a regular expression engine.
//
// Not supported are repetitions above 1000 and the category Cn, which Go's engine
// does not have; such an expression is refused.
package iregexp

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"lamplighter/internal/ace"
)

// ErrSyntax is returned for what is no I-Regexp.
var ErrSyntax = errors.New("not an I-Regexp")

// Matcher says which group names a pattern stands for. Its zero value matches
// none.
type Matcher struct {
	pattern ace.Pattern
	expr    *regexp.Regexp // of a PatternRegexp
	valid   bool
}

// Compile makes a matcher. It fails with [ErrSyntax].
func Compile(p ace.Pattern) (Matcher, error) {
	m := Matcher{pattern: p, valid: true}
	if p.Kind != ace.PatternRegexp {
		return m, nil
	}
	t := translator{in: []rune(p.Text)}
	body, err := t.alternatives()
	if err == nil && t.pos < len(t.in) {
		err = t.fail()
	}
	if err != nil {
		return Matcher{}, err
	}
	if m.expr, err = regexp.Compile(`^(?:` + body + `)$`); err != nil {
		return Matcher{}, fmt.Errorf("%w: %q: not supported here", ErrSyntax, p.Text)
	}
	return m, nil
}

// Match reports whether the pattern stands for the name; an I-Regexp has to match
// the whole of it. RFC 9485, Section 3.
func (m Matcher) Match(name string) bool {
	switch {
	case !m.valid:
		return false
	case m.pattern.Kind == ace.PatternAny:
		return true
	case m.pattern.Kind == ace.PatternName:
		return m.pattern.Text == name
	}
	return m.expr.MatchString(name)
}

// Match is Compile and Match at once; what does not compile matches nothing.
func Match(p ace.Pattern, name string) bool {
	m, err := Compile(p)
	return err == nil && m.Match(name)
}

// translator walks over an I-Regexp by the productions of RFC 9485, Section 3.
type translator struct {
	in    []rune
	pos   int
	depth int
}

const maxDepth = 32

func (t *translator) fail() error {
	return fmt.Errorf("%w: %q, at character %d", ErrSyntax, string(t.in), t.pos+1)
}

// peek is the next character, -1 at the end.
func (t *translator) peek() rune {
	if t.pos == len(t.in) {
		return -1
	}
	return t.in[t.pos]
}

func (t *translator) take() rune {
	c := t.peek()
	t.pos++
	return c
}

// alternatives reads i-regexp = branch *( "|" branch ).
func (t *translator) alternatives() (string, error) {
	if t.depth++; t.depth > maxDepth {
		return "", t.fail()
	}
	defer func() { t.depth-- }()
	var out strings.Builder
	for {
		for c := t.peek(); c != -1 && c != '|' && c != ')'; c = t.peek() {
			piece, err := t.piece()
			if err != nil {
				return "", err
			}
			out.WriteString(piece)
		}
		if t.peek() != '|' {
			return out.String(), nil
		}
		t.pos++
		out.WriteByte('|')
	}
}

// piece reads piece = atom [ quantifier ].
func (t *translator) piece() (string, error) {
	atom, err := t.atom()
	if err != nil {
		return "", err
	}
	quantifier, err := t.quantifier()
	return atom + quantifier, err
}

func (t *translator) atom() (string, error) {
	switch c := t.peek(); {
	case c == '(':
		t.pos++
		inner, err := t.alternatives()
		if err != nil {
			return "", err
		}
		if t.take() != ')' {
			return "", t.fail()
		}
		return "(?:" + inner + ")", nil
	case c == '[':
		t.pos++
		return t.class()
	case c == '.':
		t.pos++
		return `[^\n\r]`, nil
	case c == '\\':
		t.pos++
		return t.escape()
	case c == -1 || strings.ContainsRune(`*+?{})]`, c):
		return "", t.fail()
	default: // also ^ and $, which are nothing special
		t.pos++
		return regexp.QuoteMeta(string(c)), nil
	}
}

// quantifier reads ( "*" / "+" / "?" ) / "{" n [ "," [ m ] ] "}".
func (t *translator) quantifier() (string, error) {
	switch c := t.peek(); c {
	case '*', '+', '?':
		t.pos++
		return string(c), nil
	case '{':
	default:
		return "", nil
	}
	start := t.pos
	t.pos++
	if !t.digits() {
		return "", t.fail()
	}
	if t.peek() == ',' {
		t.pos++
		t.digits()
	}
	if t.take() != '}' {
		return "", t.fail()
	}
	return string(t.in[start:t.pos]), nil
}

func (t *translator) digits() bool {
	start := t.pos
	for c := t.peek(); c >= '0' && c <= '9'; c = t.peek() {
		t.pos++
	}
	return t.pos > start
}

// escape reads what stands behind a backslash, in a class or not.
func (t *translator) escape() (string, error) {
	switch c := t.take(); {
	case c == 'n' || c == 'r' || c == 't':
		return `\` + string(c), nil
	case c == 'p' || c == 'P':
		return t.category(c)
	case c != -1 && strings.ContainsRune(`()*+-.?[\]^{|}`, c):
		return `\` + string(c), nil
	}
	t.pos--
	return "", t.fail()
}

// categories are the values of charProp.
const categories = " L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps Z Zl Zp Zs S Sc Sk Sm So C Cc Cf Co "

func (t *translator) category(kind rune) (string, error) {
	start := t.pos + 1
	if t.take() != '{' {
		return "", t.fail()
	}
	for c := t.peek(); c != '}'; c = t.peek() {
		if c == -1 {
			return "", t.fail()
		}
		t.pos++
	}
	name := string(t.in[start:t.pos])
	t.pos++
	if name == "" || strings.Contains(name, " ") || !strings.Contains(categories, " "+name+" ") {
		return "", t.fail()
	}
	return `\` + string(kind) + "{" + name + "}", nil
}

// class reads charClassExpr behind its opening bracket: single characters, ranges
// and categories; a hyphen for itself stands first or last.
func (t *translator) class() (string, error) {
	out := "["
	if t.peek() == '^' {
		t.pos++
		out += "^"
	}
	for first := true; ; first = false {
		c := t.peek()
		switch {
		case c == ']' && !first:
			t.pos++
			return out + "]", nil
		case c == -1 || c == '[' || c == ']':
			return "", t.fail()
		case c == '-':
			t.pos++
			if !first && t.peek() != ']' {
				return "", t.fail()
			}
			out += `\-`
			continue
		}
		item, err := t.classItem()
		if err != nil {
			return "", err
		}
		out += item
	}
}

// classItem reads CCE1 = ( CCchar [ "-" CCchar ] ) / charClassEsc.
func (t *translator) classItem() (string, error) {
	from, single, err := t.classChar()
	if err != nil || !single || t.peek() != '-' || t.pos+1 < len(t.in) && t.in[t.pos+1] == ']' {
		return from, err
	}
	t.pos++
	to, single, err := t.classChar()
	if err != nil || !single {
		return "", t.fail()
	}
	return from + "-" + to, nil
}

// classChar reads a character of a class; single is false for a category.
func (t *translator) classChar() (out string, single bool, err error) {
	switch c := t.take(); {
	case c == '\\':
		category := t.peek() == 'p' || t.peek() == 'P'
		out, err = t.escape()
		return out, !category, err
	case c == -1 || c == '[' || c == ']' || c == '-':
		t.pos--
		return "", false, t.fail()
	default:
		return `\x{` + fmt.Sprintf("%x", c) + `}`, true, nil
	}
}

package coap

import (
	"fmt"
	"strings"
)

// Link is one link of the CoRE Link Format (RFC 6690): a target and its
// attributes in order.
type Link struct {
	Target     string
	Attributes []Attribute
}

// Attribute is one attribute of a [Link]; a flag such as obs has no value.
type Attribute struct {
	Name  string
	Value string
	Flag  bool // it stands without "="
}

// Get returns the value of the first attribute of that name and whether it is
// there.
func (l Link) Get(name string) (string, bool) {
	for _, a := range l.Attributes {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// Matches reports whether the link passes a filter such as rt=ll.id: one of the
// space-separated words of the attribute equals value, or begins with it when
// value ends in "*"; the name href stands for the target. RFC 6690, Section 4.1.
func (l Link) Matches(name, value string) bool {
	have, ok := l.Target, true
	if name != "href" {
		have, ok = l.Get(name)
	}
	if !ok {
		return false
	}
	prefix, wild := strings.CutSuffix(value, "*")
	if have == value || wild && strings.HasPrefix(have, prefix) {
		return true
	}
	for word := range strings.SplitSeq(have, " ") {
		if word == value || wild && strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return false
}

// FilterLinks keeps the links that pass all query parameters of req.
func FilterLinks(links []Link, req *Message) []Link {
	kept := make([]Link, 0, len(links))
next:
	for _, l := range links {
		for q := range Each(req, OptionURIQuery) {
			name, value, _ := strings.Cut(string(q), "=")
			if !l.Matches(name, value) {
				continue next
			}
		}
		kept = append(kept, l)
	}
	return kept
}

// FormatLinks writes links in the CoRE Link Format. RFC 6690, Section 2.
func FormatLinks(links []Link) []byte {
	var b strings.Builder
	for i, l := range links {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('<')
		b.WriteString(l.Target)
		b.WriteByte('>')
		for _, a := range l.Attributes {
			b.WriteByte(';')
			b.WriteString(a.Name)
			if !a.Flag {
				b.WriteString(`="`)
				b.WriteString(quoter.Replace(a.Value))
				b.WriteByte('"')
			}
		}
	}
	return []byte(b.String())
}

var quoter = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// ParseLinks reads the CoRE Link Format. Errors wrap [ErrDecode]. RFC 6690,
// Section 2.
func ParseLinks(b []byte) ([]Link, error) {
	p := linkParser{rest: string(b)}
	var links []Link
	for p.rest != "" {
		l, ok := p.link()
		if !ok {
			return nil, fmt.Errorf("%w: link format at byte %d", ErrDecode, len(b)-len(p.rest))
		}
		links = append(links, l)
		if p.rest != "" && (!p.take(',') || p.rest == "") {
			return nil, fmt.Errorf("%w: link format at byte %d", ErrDecode, len(b)-len(p.rest))
		}
	}
	return links, nil
}

type linkParser struct{ rest string }

func (p *linkParser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *linkParser) link() (l Link, ok bool) {
	if !p.take('<') {
		return l, false
	}
	end := strings.IndexByte(p.rest, '>')
	if end < 0 || strings.ContainsAny(p.rest[:end], "<\"") {
		return l, false
	}
	l.Target, p.rest = p.rest[:end], p.rest[end+1:]
	for p.take(';') {
		a, ok := p.attribute()
		if !ok {
			return l, false
		}
		l.Attributes = append(l.Attributes, a)
	}
	return l, true
}

func (p *linkParser) attribute() (a Attribute, ok bool) {
	end := strings.IndexAny(p.rest, `=;,<>"`)
	if end < 0 {
		end = len(p.rest)
	}
	a.Name, p.rest = p.rest[:end], p.rest[end:]
	if a.Name == "" {
		return a, false
	}
	if !p.take('=') {
		a.Flag = true
		return a, true
	}
	if p.take('"') {
		a.Value, ok = p.quoted()
		return a, ok
	}
	end = strings.IndexAny(p.rest, `;,"<>`)
	if end < 0 {
		end = len(p.rest)
	}
	a.Value, p.rest = p.rest[:end], p.rest[end:]
	return a, a.Value != ""
}

func (p *linkParser) quoted() (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case '\\':
			i++
			if i == len(p.rest) {
				return "", false
			}
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

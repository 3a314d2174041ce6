package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Mistake is what is wrong with a schema.
type Mistake struct {
	Setting int // which of Defs, -1: none of them alone
	Text    string
}

func (m *Mistake) Error() string { return m.Text }

// Validate says what is wrong with the schema itself, in a sentence; nil if nothing
// is. What it says wraps a [Mistake].
func (s *Schema) Validate() error {
	if n := len(s.Defs); n > 0 && n <= MaxDefs {
		if at, err := validDefs(s.Defs, true); err != nil {
			return &Mistake{at, err.Error()}
		}
	}
	if err := s.validate(); err != nil {
		return &Mistake{-1, err.Error()}
	}
	return nil
}

func (s *Schema) validate() error {
	switch {
	case !validName(s.Model):
		return fmt.Errorf("the model %q must be a name: 1 to %d of a to z, 0 to 9 and hyphens, beginning with a letter", s.Model, maxName)
	case s.Version == 0:
		return fmt.Errorf("the version must be at least 1")
	case len(s.Defs) == 0 || len(s.Defs) > MaxDefs:
		return fmt.Errorf("a schema has 1 to %d settings, and this one %d", MaxDefs, len(s.Defs))
	}
	if r := s.Refuse(s.Defaults(), false); r != nil {
		return fmt.Errorf("the defaults cannot be: %s", r.Text)
	}
	if err := s.validTexts(); err != nil {
		return err
	}
	if n := len(s.Encode()); n > MaxSchema {
		return fmt.Errorf("the schema has %d bytes, and %d is the most: shorten the texts", n, MaxSchema)
	}
	return nil
}

// validDefs wants ascending keys, names that occur once, and valid definitions, and
// says which one is not.
func validDefs(defs []Def, top bool) (int, error) {
	names := map[string]bool{}
	for i := range defs {
		d := &defs[i]
		switch {
		case !validName(d.Name):
			return i, fmt.Errorf("the setting with key %d: the name %q must be 1 to %d of a to z, 0 to 9 and hyphens, beginning with a letter", d.Key, d.Name, maxName)
		case d.Key == 0 || d.Key > MaxKey:
			return i, fmt.Errorf("%s: the key %d must be from 1 to %d", d.Name, d.Key, MaxKey)
		case i > 0 && d.Key == defs[i-1].Key:
			return i, fmt.Errorf("%s: the key %d is that of %s, too", d.Name, d.Key, defs[i-1].Name)
		case i > 0 && d.Key < defs[i-1].Key:
			return i, fmt.Errorf("%s: settings must be in the order of their keys", d.Name)
		case names[d.Name]:
			return i, fmt.Errorf("%s: two settings have this name", d.Name)
		case !top && (d.Flags != 0 || d.Type == Table):
			return i, fmt.Errorf("%s: a member of a map has no flags and is no map", d.Name)
		}
		names[d.Name] = true
		if err := d.validate(); err != nil {
			return i, fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return 0, nil
}

func (d *Def) validate() error {
	switch {
	case d.Type < Bool || d.Type > Table:
		return fmt.Errorf("%v is none of bool, int, text, bytes and map", d.Type)
	case d.Flags&^allFlags != 0:
		return fmt.Errorf("there are flags that this program does not know")
	case !validLine(d.Unit, maxUnit) || !validLine(d.Title, maxTitle):
		return fmt.Errorf("the unit must be a line of at most %d bytes, the title of at most %d", maxUnit, maxTitle)
	case !validText(d.Help, maxHelp):
		return fmt.Errorf("the help must have at most %d bytes", maxHelp)
	}
	if err := d.validRange(); err != nil {
		return err
	}
	if err := d.validTable(); err != nil {
		return err
	}
	if d.Default == nil {
		return nil
	}
	if r := d.refuse(d.Default, false); r != nil {
		return fmt.Errorf("the default cannot be: %s%s", d.Name, r.Text)
	}
	return nil
}

// validRange looks at range, step and choices.
func (d *Def) validRange() error {
	switch {
	case d.Type != Int && (d.Step != 0 || d.Choices != nil):
		return fmt.Errorf("only an int has a step or choices")
	case d.Step < 0:
		return fmt.Errorf("the step must not be negative")
	case d.Choices != nil && (d.Min != nil || d.Max != nil || d.Step != 0):
		return fmt.Errorf("choices take the place of a range and a step")
	case len(d.Choices) > maxChoices || d.Choices != nil && len(d.Choices) == 0:
		return fmt.Errorf("there must be 1 to %d choices", maxChoices)
	case (d.Type == Bool || d.Type == Table) && (d.Min != nil || d.Max != nil):
		return fmt.Errorf("a %v has no range", d.Type)
	case d.Min != nil && d.Max != nil && *d.Min > *d.Max:
		return fmt.Errorf("the least, %d, is above the most, %d", *d.Min, *d.Max)
	case d.Type != Int && (d.Min != nil && *d.Min < 0 || d.Max != nil && *d.Max < 0):
		return fmt.Errorf("a length must not be negative")
	}
	for v, title := range d.Choices {
		if title == "" || !validLine(title, maxTitle) {
			return fmt.Errorf("the choice %d needs a title, of at most %d bytes", v, maxTitle)
		}
	}
	return nil
}

// validTable looks at what only maps have.
func (d *Def) validTable() error {
	if d.Type != Table {
		if d.IDs != nil || d.Members != nil {
			return fmt.Errorf("only a map has ids or members")
		}
		return nil
	}
	switch {
	case len(d.Members) == 0 || len(d.Members) > maxMembers:
		return fmt.Errorf("a map has 1 to %d members, and this one %d", maxMembers, len(d.Members))
	case d.IDs != nil && (d.IDs.Min > d.IDs.Max || d.IDs.Max > MaxID || d.IDs.Max-d.IDs.Min >= maxIDs):
		return fmt.Errorf("the ids %d to %d must ascend, be at most %d, and not more than %d", d.IDs.Min, d.IDs.Max, MaxID, maxIDs)
	}
	_, err := validDefs(d.Members, false)
	return err
}

// validTexts wants translations only of what there is.
func (s *Schema) validTexts() error {
	known := s.paths()
	for _, language := range slices.Sorted(maps.Keys(s.Texts)) {
		if !validLanguage(language) {
			return fmt.Errorf("%q is no language such as de or pt-BR", language)
		}
		texts := s.Texts[language]
		if len(texts) == 0 || len(texts) > maxTexts {
			return fmt.Errorf("the language %s has %d texts; 1 to %d can be", language, len(texts), maxTexts)
		}
		for _, path := range slices.Sorted(maps.Keys(texts)) {
			most, ok := known[path]
			switch {
			case !ok:
				return fmt.Errorf("the language %s translates %q, which the schema does not have", language, path)
			case texts[path] == "" || !validText(texts[path], most) || most == maxTitle && !validLine(texts[path], most):
				return fmt.Errorf("the language %s: the text of %q must have 1 to %d bytes", language, path, most)
			}
		}
	}
	return nil
}

// validLanguage wants a tag as RFC 5646, Section 2.1 has them, roughly: subtags of 1
// to 8 letters and digits, the first of 2 or more letters.
func validLanguage(s string) bool {
	if len(s) > maxLanguage {
		return false
	}
	for i, part := range strings.Split(s, "-") {
		if part == "" || len(part) > 8 || i == 0 && len(part) < 2 {
			return false
		}
		for _, c := range []byte(part) {
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			if !letter && (i == 0 || c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}

// validLine is a text without control characters.
func validLine(s string, most int) bool {
	return validText(s, most) && !strings.ContainsFunc(s, unicode.IsControl)
}

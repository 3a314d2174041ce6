package settings

import (
	"maps"
	"strconv"
	"strings"
)

// paths returns what can be translated, with the most bytes of each text.
func (s *Schema) paths() map[string]int {
	known := map[string]int{"": maxTitle}
	for i := range s.Defs {
		s.Defs[i].paths("", known)
	}
	return known
}

func (d *Def) paths(prefix string, known map[string]int) {
	path := prefix + d.Name
	known[path], known[path+"/help"] = maxTitle, maxHelp
	for v := range d.Choices {
		known[choicePath(path, v)] = maxTitle
	}
	for i := range d.Members {
		d.Members[i].paths(path+".", known)
	}
}

func choicePath(path string, v int64) string { return path + "/" + strconv.FormatInt(v, 10) }

// Title is what people call the model, in a language; the model's name if the schema
// has no title.
func (s *Schema) Title(language string) string {
	for _, tag := range append(fallback(language), "en") {
		if title := s.Texts[tag][""]; title != "" {
			return title
		}
	}
	return s.Model
}

// In returns the schema with titles, help and choices in a language, as far as it
// has them: else in the language without its region ("de" for "de-AT"), else in
// English. A setting without a title gets its name as one. The texts have paths:
//
//	""                   title of the model
//	"min-level"          title of a setting
//	"min-level/help"     its help
//	"power-on/2"         title of the choice 2
//	"scenes.level"       title of a member of a map; its help and choices likewise
//
// The copy is for showing, not for signing.
func (s *Schema) In(language string) *Schema {
	texts := func(path, otherwise string) string {
		for _, tag := range fallback(language) {
			if text := s.Texts[tag][path]; text != "" {
				return text
			}
		}
		return otherwise
	}
	out := *s
	out.Defs = translate(s.Defs, "", texts)
	return &out
}

func translate(defs []Def, prefix string, texts func(path, otherwise string) string) []Def {
	if defs == nil {
		return nil
	}
	out := make([]Def, len(defs))
	for i, d := range defs {
		path := prefix + d.Name
		if d.Title == "" {
			d.Title = d.Name
		}
		d.Title, d.Help = texts(path, d.Title), texts(path+"/help", d.Help)
		d.Choices = maps.Clone(d.Choices)
		for v, title := range d.Choices {
			d.Choices[v] = texts(choicePath(path, v), title)
		}
		d.Members = translate(d.Members, path+".", texts)
		out[i] = d
	}
	return out
}

// fallback returns a language and those to look at when it has no text: RFC 4647,
// Section 3.4.
func fallback(language string) []string {
	list := []string{language}
	for {
		at := strings.LastIndexByte(language, '-')
		if at < 0 {
			return list
		}
		language = language[:at]
		list = append(list, language)
	}
}

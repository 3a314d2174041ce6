package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"lamplighter/internal/ace"
)

// siteFile is what a site shall be like, to be kept with its other documents. To
// apply it again changes nothing.
//
//	settings:
//	  - group: hall-ceiling
//	    model: lamp-dim-1
//	    template: Classroom
//	    variables: { level: 40 }
//	    values: { min-level: 5, scenes: { 3: { level: 40, fade: 500 } } }
//	    devices:
//	      000b57fffe000001: { label: Door }
type siteFile struct {
	Settings []wish `yaml:"settings"`
}

// readSite reads a site file, and says what in it cannot be.
func readSite(text []byte) ([]wish, error) {
	var file siteFile
	if err := readYAML(text, &file); err != nil {
		return nil, err
	}
	if len(file.Settings) == 0 {
		return nil, errors.New("it has no section \"settings\" with groups in it")
	}
	seen := map[string]bool{}
	for i, w := range file.Settings {
		what := fmt.Sprintf("settings, entry %d", i+1)
		switch {
		case !ace.ValidGroupName(w.Group):
			return nil, fmt.Errorf("%s: %q cannot be a group's name", what, w.Group)
		case w.Model == "":
			return nil, fmt.Errorf("%s: say the model, such as lamp-dim-1", what)
		case seen[w.Group+" "+w.Model]:
			return nil, fmt.Errorf("%s: %s of %s are there twice", what, w.Model, w.Group)
		}
		seen[w.Group+" "+w.Model] = true
		for id := range w.Devices {
			if _, err := deviceID(id); err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
		}
		file.Settings[i].Group = strings.TrimSpace(w.Group)
	}
	return file.Settings, nil
}

// readYAML reads what people write about settings. Numbers are as they look: 010 is not
// 8.
func readYAML(text []byte, v any) error {
	if len(text) > maxConfig {
		return fmt.Errorf("the file is larger than %d KiB", maxConfig>>10)
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return errors.New(syntaxProblem(err).String())
	}
	odd := oddNumbers{}
	for _, doc := range file.Docs {
		ast.Walk(&odd, doc)
	}
	if odd.first != nil {
		return errors.New(odd.first.String())
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return errors.New(syntaxProblem(err).String())
	}
	return nil
}

// oddNumbers finds the first number that programs read differently.
type oddNumbers struct{ first *problem }

// Visit implements [ast.Visitor].
func (o *oddNumbers) Visit(n ast.Node) ast.Visitor {
	if number, ok := n.(*ast.IntegerNode); ok && o.first == nil {
		text := number.Token.Value
		if v, err := strconv.ParseInt(text, 10, 64); err != nil || strconv.FormatInt(v, 10) != text {
			o.first = &problem{number.Token.Position.Line, text + ": write numbers with decimal digits alone, without zeros in front, and texts in quotation marks."}
		}
	}
	return o
}

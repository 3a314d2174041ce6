package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"

	"lamplighter/internal/ace"
	"lamplighter/internal/label"
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
	if len(text) > maxConfig {
		return nil, errors.New("the file is larger than any site file")
	}
	var file siteFile
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(syntaxProblem(err).String())
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
			if _, err := label.ParseID(id); err != nil {
				return nil, fmt.Errorf("%s: %q is no id of a device: 16 hexadecimal digits, in quotes where they are all decimal", what, id)
			}
		}
		file.Settings[i].Group = strings.TrimSpace(w.Group)
	}
	return file.Settings, nil
}

// Package models has the schemas of the settings of the simulator's devices, as
// their vendor writes them: internal/settings/source reads them.
//
// What all models have, has the same key in all: 20 label, 21 leisure.
package models

import (
	"embed"
	"io/fs"
	"strings"
)

// Models of the simulator.
const (
	Lamp      = "lamp-dim-1"
	Switch    = "switch-2"
	Sensor    = "sensor-pir-1"
	Emergency = "lamp-emergency-1"
)

//go:embed *.yaml
var files embed.FS

// Names are the models that there are, in order.
func Names() (names []string) {
	list, err := fs.Glob(files, "*.yaml")
	if err != nil {
		panic(err)
	}
	for _, name := range list {
		names = append(names, strings.TrimSuffix(name, ".yaml"))
	}
	return names
}

// Source is the YAML of a model's schema, nil if there is no such model.
func Source(model string) []byte {
	text, err := files.ReadFile(model + ".yaml")
	if err != nil {
		return nil
	}
	return text
}

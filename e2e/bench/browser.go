package main

import (
	"encoding/json"
	"os"
	"os/exec"
)

// browser drives Chromium against a demo with 100 lamps. References are the aims.
func browser() ([]result, error) {
	cmd := exec.Command("node", "e2e/bench/browser.mjs")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var figures []struct {
		Name  string
		Value float64
		Unit  string
		Aim   float64
	}
	if err := json.Unmarshal(text, &figures); err != nil {
		return nil, err
	}
	var out []result
	for _, f := range figures {
		out = append(out, measured(f.Name, f.Value, f.Unit, f.Aim))
	}
	return out, nil
}

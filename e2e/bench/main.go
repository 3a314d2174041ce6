// Bench measures what the project claims, in one run, and writes
// build/bench.json: an array of {name, value, unit, reference, ratio} and, where
// they were counted, {allocs, bytes} of one operation. A ratio is value divided
// by reference; the reference is what the same run measured of the bare
// operations, or else the aim. Run it from the project's root, after `make
// build`.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one measured figure.
type result struct {
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Reference float64 `json:"reference"` // in the same unit: measured beside it, or the aim
	Ratio     float64 `json:"ratio"`     // value / reference
	Allocs    float64 `json:"allocs,omitempty"`
	Bytes     float64 `json:"bytes,omitempty"` // allocated
}

func measured(name string, value float64, unit string, reference float64) result {
	r := result{Name: name, Value: value, Unit: unit, Reference: reference}
	if reference != 0 {
		r.Ratio = value / reference
	}
	return r
}

var sections = []struct {
	name string
	run  func() ([]result, error)
}{
	{"crypto", cryptoNative},
	{"wasm", cryptoChromium},
	{"answers", answersChromium},
	{"aiocoap", againstAiocoap},
	{"bridge", bridgeRTT},
	{"browser", browser},
	{"servers", servers},
	{"firmware", inBubbles("firmware")},
	{"settings", inBubbles("settings")},
}

// simulated are the sections in simulated time.
var simulated = map[string]func(bubble func(func() error) error) ([]result, error){
	"firmware": firmwareRollout,
	"settings": settingsChange,
}

func main() {
	only := flag.String("only", "", "comma-separated sections: crypto, wasm, answers, aiocoap, bridge, browser, servers, firmware, settings; default: all")
	out := flag.String("o", filepath.Join("build", "bench.json"), "where to write the figures")
	inBubble := flag.String("bubbles", "", "for the program itself: measure the section in simulated time, and write the figures to this file")
	flag.Parse()
	if *inBubble != "" {
		bubbles(*inBubble, simulated[*only])
	}
	if err := run(*only, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the sections. One that fails does not hide the figures of the
// others.
func run(only, out string) error {
	var all []result
	var failed error
	for _, s := range sections {
		if only != "" && !strings.Contains(","+only+",", ","+s.name+",") {
			continue
		}
		start := time.Now()
		results, err := s.run()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("measuring %s: %w", s.name, err))
		}
		all = append(all, results...)
		fmt.Fprintf(os.Stderr, "%s: %d figures in %.0f s\n", s.name, len(results), time.Since(start).Seconds())
	}
	if len(all) == 0 && failed == nil {
		failed = fmt.Errorf("nothing measured of %q", only)
	}
	return errors.Join(write(out, all), print(all), failed)
}

func write(out string, all []result) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

func print(all []result) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "name\tvalue\tunit\treference\tratio\tallocs\tbytes\t")
	for _, r := range all {
		fmt.Fprintf(table, "%s\t%.4g\t%s\t%.4g\t%.3f\t%s\t%s\t\n", r.Name, r.Value, r.Unit, r.Reference, r.Ratio, counted(r.Allocs), counted(r.Bytes))
	}
	return table.Flush()
}

func counted(n float64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", n)
}

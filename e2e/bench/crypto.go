package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
)

// benchPackage holds the benchmarks of Group OSCORE. Each interleaves its
// operation with the bare primitives on the same bytes, so that a busy moment of
// the machine meets both, and reports medians.
const (
	benchPackage = "./internal/oscore/group"
	benchPattern = "^BenchmarkGroup(Protect|Unprotect)Ratio$"
)

var benchLine = regexp.MustCompile(`Benchmark(\w+?)Ratio(?:-\d+)?\s+\d+\s+([\d.]+) ns/op.*?([\d.]+) ratio\s+([\d.]+) reference-ns/op`)

// cryptoNative runs them as a native program.
func cryptoNative() ([]result, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", benchPattern, "-benchtime", "1s", benchPackage)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return pairs(text, "native")
}

// cryptoChromium runs the same benchmarks, compiled to WASM, in Chromium.
func cryptoChromium() ([]result, error) {
	dir, err := os.MkdirTemp("", "lamplighter-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, "bench.wasm"), benchPackage)
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	var text bytes.Buffer
	page := exec.Command("node", "e2e/bench/wasm.mjs", dir, benchPattern)
	page.Stdout, page.Stderr = &text, os.Stderr
	if err := page.Run(); err != nil {
		return nil, err
	}
	return pairs(text.Bytes(), "wasm")
}

// pairs reads what the benchmarks print.
func pairs(text []byte, where string) ([]result, error) {
	names := map[string]string{"GroupProtect": "group_protect_" + where, "GroupUnprotect": "group_unprotect_" + where}
	var out []result
	for _, m := range benchLine.FindAllSubmatch(text, -1) {
		ratio, err := strconv.ParseFloat(string(m[3]), 64)
		if err != nil {
			return nil, err
		}
		reference, err := strconv.ParseFloat(string(m[4]), 64)
		if err != nil {
			return nil, err
		}
		// The ratio is the median of ratios taken side by side, so it leads.
		out = append(out, result{Name: names[string(m[1])], Value: ratio * reference / 1000, Unit: "µs", Reference: reference / 1000, Ratio: ratio})
	}
	if len(out) != len(names) {
		return nil, errors.New("the benchmarks printed " + strconv.Itoa(len(out)) + " figures: " + string(text))
	}
	return out, nil
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sort.Float64s(list)
	return list[len(list)/2]
}

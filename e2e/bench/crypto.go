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

// benchPackage holds the benchmarks of Group OSCORE and, beside each, the bare
// primitives on the same bytes.
const benchPackage = "./internal/oscore/group"

// benchRounds are run one after the other, so that a busy moment of the machine
// meets both sides; the median counts.
const benchRounds = 7

var benchLine = regexp.MustCompile(`Benchmark(\w+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op`)

// cryptoNative runs them as a native program.
func cryptoNative() ([]result, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkGroup", "-benchtime", "200ms", "-count", strconv.Itoa(benchRounds), benchPackage)
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
	page := exec.Command("node", "e2e/bench/wasm.mjs", dir, strconv.Itoa(benchRounds))
	page.Stdout, page.Stderr = &text, os.Stderr
	if err := page.Run(); err != nil {
		return nil, err
	}
	return pairs(text.Bytes(), "wasm")
}

// pairs puts each benchmark beside its reference.
func pairs(text []byte, where string) ([]result, error) {
	times := map[string][]float64{}
	for _, m := range benchLine.FindAllSubmatch(text, -1) {
		ns, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return nil, err
		}
		times[string(m[1])] = append(times[string(m[1])], ns/1000)
	}
	var out []result
	for _, p := range []struct{ name, value, reference string }{
		{"group_protect_" + where, "GroupProtect", "GroupProtectReference"},
		{"group_unprotect_" + where, "GroupUnprotect", "GroupUnprotectReference"},
	} {
		value, reference := median(times[p.value]), median(times[p.reference])
		if value == 0 || reference == 0 {
			return nil, errors.New("the benchmarks " + p.value + " and " + p.reference + " printed nothing")
		}
		out = append(out, measured(p.name, value, "µs", reference))
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

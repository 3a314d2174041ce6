package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// suite is a package with benchmarks that report what package rounds does.
type suite struct {
	dir, pattern string
	time         string // for each benchmark
	unit         string
}

// messages protect and unprotect, beside the bare primitives on the same bytes.
var messages = []suite{
	{"./internal/oscore", "^BenchmarkMessage$", "1s", "µs"},
	{"./internal/oscore/group", "^BenchmarkMessage$", "1s", "µs"},
}

// answers opens those of 1,000 members, beside one Go worker.
var answers = []suite{{"./internal/commission", "^BenchmarkAnswers$", "8s", "ms"}}

// cryptoNative runs them as native programs.
func cryptoNative() ([]result, error) { return figures(messages, suite.native, "native") }

// cryptoChromium runs them, compiled to WASM, in a worker in Chromium.
func cryptoChromium() ([]result, error) { return figures(messages, suite.chromium, "wasm") }

// answersChromium verifies in a worker in Chromium.
func answersChromium() ([]result, error) { return figures(answers, suite.chromium, "chromium") }

func figures(suites []suite, run func(suite) ([]byte, error), where string) ([]result, error) {
	var all []result
	for _, s := range suites {
		text, err := run(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.dir, err)
		}
		list, err := s.parse(text, where)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.dir, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

func (s suite) native() ([]byte, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", s.pattern, "-benchtime", s.time, s.dir)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return text, nil
}

func (s suite) chromium() ([]byte, error) {
	dir, err := os.MkdirTemp("", "lamplighter-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, "bench.wasm"), s.dir)
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	var text bytes.Buffer
	page := exec.Command("node", "e2e/bench/wasm.mjs", dir, s.pattern, s.time)
	page.Stdout, page.Stderr = &text, os.Stderr
	if err := page.Run(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text.Bytes())
	}
	return text.Bytes(), nil
}

// parse makes a figure of each benchmark.
func (s suite) parse(text []byte, where string) ([]result, error) {
	list, err := reported(text)
	if err != nil {
		return nil, err
	}
	var out []result
	for _, b := range list {
		out = append(out, s.figure(b.name, where, b.metrics))
	}
	return out, nil
}

// benchmark is what one benchmark reported, by unit.
type benchmark struct {
	name    string
	metrics map[string]float64
}

// reported reads what benchmarks print: a name, how many rounds there were, then
// values with their units.
func reported(text []byte) (list []benchmark, err error) {
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		metrics := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			if metrics[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, err
			}
		}
		list = append(list, benchmark{fields[0], metrics})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no figures in: %s", text)
	}
	return list, nil
}

var nanoseconds = map[string]float64{"µs": 1e3, "ms": 1e6}

// figure makes BenchmarkMessage/pairwise/protect/ed25519/64-2 into
// pairwise_protect_64_native.
func (s suite) figure(benchmark, where string, metrics map[string]float64) result {
	_, name, _ := strings.Cut(benchmark, "/")
	if at := strings.LastIndexByte(name, '-'); at >= 0 {
		name = name[:at] // GOMAXPROCS
	}
	parts := strings.Split(strings.Replace(name, "/ed25519", "", 1), "/")
	name = strings.Join(append(parts, where), "_")
	name = strings.Replace(name, "group_protect_64_", "group_protect_", 1) // the first that were measured
	name = strings.Replace(name, "group_unprotect_64_", "group_unprotect_", 1)
	// The ratio is the median of ratios taken side by side, so it leads.
	reference, ratio := metrics["reference-ns/op"]/nanoseconds[s.unit], metrics["ratio"]
	return result{
		Name: name, Value: ratio * reference, Unit: s.unit, Reference: reference, Ratio: ratio,
		Allocs: metrics["allocs/op"], Bytes: metrics["B/op"],
	}
}

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// result is one test of a statement and how it ended: pass, fail or skip.
type result struct{ test, action string }

var testName = regexp.MustCompile(`^TestStatement(\d{3})(_\w+)?$`)

// testResults reads what the tests of statements did from file, or runs them.
func testResults(file string) (map[int][]result, error) {
	if file == "" {
		return runTests()
	}
	events, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("what the tests did: %w; make go-test writes it", err)
	}
	defer events.Close()
	return readEvents(events)
}

func runTests() (map[int][]result, error) {
	cmd := exec.Command("go", "test", "-json", "-run", "^TestStatement", "./internal/...", "./bridge/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	results, err := readEvents(out)
	_ = cmd.Wait() // which tests failed is in the results; one that did not run is missing there
	return results, err
}

// readEvents sorts what the tests of statements did by number.
func readEvents(events io.Reader) (map[int][]result, error) {
	results := make(map[int][]result)
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct{ Action, Package, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("reading go test -json: %w", err)
		}
		m := testName.FindStringSubmatch(event.Test)
		switch {
		case event.Action == "build-output" || m != nil && event.Action == "output" && strings.Contains(event.Output, "panic:"):
			fmt.Fprint(os.Stderr, event.Output)
		case m != nil && (event.Action == "pass" || event.Action == "fail" || event.Action == "skip"):
			n, _ := strconv.Atoi(m[1])
			folder := strings.TrimPrefix(event.Package, "lamplighter/")
			results[n] = append(results[n], result{folder + "." + event.Test, event.Action})
		}
	}
	for _, list := range results {
		slices.SortFunc(list, func(a, b result) int { return strings.Compare(a.test, b.test) })
	}
	return results, lines.Err()
}

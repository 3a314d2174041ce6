package main

import (
	"bufio"
	"encoding/json"
	"fmt"
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

// runTests runs all tests of statements and sorts what they did by number.
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
	results := make(map[int][]result)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct{ Action, Package, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("reading go test -json: %w", err)
		}
		switch {
		case event.Action == "build-output" || event.Action == "output" && strings.Contains(event.Output, "panic:"):
			fmt.Fprint(os.Stderr, event.Output)
		case event.Action == "pass" || event.Action == "fail" || event.Action == "skip":
			if m := testName.FindStringSubmatch(event.Test); m != nil {
				n, _ := strconv.Atoi(m[1])
				folder := strings.TrimPrefix(event.Package, "lamplighter/")
				results[n] = append(results[n], result{folder + "." + event.Test, event.Action})
			}
		}
	}
	_ = cmd.Wait() // which tests failed is in the results; one that did not run is missing there
	for _, list := range results {
		slices.SortFunc(list, func(a, b result) int { return strings.Compare(a.test, b.test) })
	}
	return results, lines.Err()
}

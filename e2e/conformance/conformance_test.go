package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	all, err := parseTable(table)
	if err != nil || len(all) != 115 {
		t.Fatalf("%d statements, %v", len(all), err)
	}
	for _, s := range all {
		if s.later != (s.number == 67) {
			t.Errorf("statement %d: later is %v", s.number, s.later)
		}
	}
	for _, bad := range []string{"2\ta\tb\tc\n", "1\ta\tb\n", "x\ta\tb\tc\n"} {
		if _, err := parseTable(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestJudge(t *testing.T) {
	statements := []statement{{number: 1, area: "A", text: "a | b"}, {number: 2, area: "A"}, {number: 3, area: "B", later: true}, {number: 4, area: "B"}}
	text, problems := render(statements, map[int][]result{
		1: {{"x.TestStatement001", "pass"}},
		4: {{"x.TestStatement004", "pass"}, {"y.TestStatement004", "skip"}},
		5: {{"x.TestStatement005", "pass"}},
	})
	for _, line := range []string{
		"| 1 | a \\| b |  | pass | `x.TestStatement001` |", "| 2 |  |  | **no test** |", "| 3 |  |  | later |", "| 4 |  |  | **skip** |",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
	if len(problems) != 3 {
		t.Errorf("%q", problems)
	}
}

package main

import (
	"fmt"
	"strings"
)

const intro = `# Conformance

What an Authorization Server, a Group Manager and their clients have to do, number by number, with the tests that hold
it. This page is written by ` + "`make conformance CHECK=`" + ` from a run of these tests; ` + "`make test`" + ` fails when it differs.

Documents: RFC 9200, 9201, 9202, 9203, 9594, 9770, 10021; KGO is draft-ietf-ace-key-groupcomm-oscore-21, GMA is
draft-ietf-ace-oscore-gm-admin-17. "later" stands for what is about EDHOC, which is not built yet.
`

// render makes the page and lists what is wrong: a statement without a test, or
// one whose test did not pass.
func render(statements []statement, results map[int][]result) (text []byte, problems []string) {
	var b strings.Builder
	b.WriteString(intro)
	area := ""
	for _, s := range statements {
		if s.area != area {
			area = s.area
			fmt.Fprintf(&b, "\n## %s\n\n| No. | Statement | Source | Result | Tests |\n|---|---|---|---|---|\n", area)
		}
		word, problem := judge(s, results[s.number])
		if problem != "" {
			problems = append(problems, fmt.Sprintf("statement %d: %s", s.number, problem))
		}
		var tests []string
		for _, r := range results[s.number] {
			tests = append(tests, "`"+r.test+"`")
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", s.number, cell(s.text), s.source, word, strings.Join(tests, " "))
	}
	for n := range results {
		if n < 1 || n > len(statements) {
			problems = append(problems, fmt.Sprintf("there is a test of statement %d, which does not exist", n))
		}
	}
	return []byte(b.String()), problems
}

func judge(s statement, tests []result) (word, problem string) {
	switch {
	case s.later && len(tests) == 0:
		return "later", ""
	case len(tests) == 0:
		return "**no test**", "has no test"
	}
	for _, t := range tests {
		if t.action != "pass" {
			return "**" + t.action + "**", t.test + ": " + t.action
		}
	}
	return "pass", ""
}

// cell escapes what would end a table's cell or begin a tag.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s)
}

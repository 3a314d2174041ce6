// Conformance runs the tests that are named after the 115 statements of
// statements.tsv and writes docs/conformance.md from what they did. With -check it
// writes nothing and fails when the page differs from the run. With -results the
// tests have run already. Run it from the project's root.
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

//go:embed statements.tsv
var table string

const page = "docs/conformance.md"

// statement is one line of the table: what an implementation has to do, in our own
// words, and where a document says so.
type statement struct {
	number             int
	area, text, source string
	later              bool // about EDHOC, which is not built yet
}

func main() {
	check := flag.Bool("check", false, "fail when "+page+" differs from the run, and leave it as it is")
	file := flag.String("results", "", "a file of go test -json that has the tests; without it they are run")
	flag.Parse()
	if err := run(*check, *file); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(check bool, file string) error {
	statements, err := parseTable(table)
	if err != nil {
		return err
	}
	results, err := testResults(file)
	if err != nil {
		return err
	}
	text, problems := render(statements, results)
	if check {
		old, err := os.ReadFile(page)
		if err != nil || !bytes.Equal(old, text) {
			problems = append(problems, page+" is not what the tests say: make conformance CHECK= writes it")
		}
	} else if err := os.WriteFile(page, text, 0o644); err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, p)
	}
	if len(problems) > 0 {
		return errors.New(strconv.Itoa(len(problems)) + " statements do not hold")
	}
	fmt.Printf("%d statements: every one has tests, and they passed; EDHOC's is for later\n", len(statements))
	return nil
}

// parseTable reads the statements; they are numbered from 1 without a gap.
func parseTable(text string) (all []statement, err error) {
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 4 {
			return nil, fmt.Errorf("%q has not four cells", line)
		}
		n, err := strconv.Atoi(cells[0])
		if err != nil || n != len(all)+1 {
			return nil, fmt.Errorf("%q is out of order", cells[0])
		}
		all = append(all, statement{n, cells[1], cells[2], cells[3], strings.Contains(cells[2], "EDHOC")})
	}
	return all, nil
}

// Gotest copies what go test -json prints from standard input to a file, for those
// who ask later what a test did, and prints what go test prints without -json: a line
// a package, and of one that failed all that its failed tests said.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "gotest: name the file that the events go to")
		os.Exit(2)
	}
	if err := run(os.Stdin, os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
}

func run(events io.Reader, out io.Writer, name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := tell(io.TeeReader(events, file), out); err != nil {
		_, _ = io.Copy(file, events) // go test is not stopped by a full pipe
		return err
	}
	return file.Close()
}

// event is one of go doc test2json.
type event struct{ Action, Package, Test, Output string }

// tell prints the packages as they end.
func tell(events io.Reader, out io.Writer) error {
	said := make(map[[2]string]*strings.Builder) // by package and test
	order := make(map[string][]string)           // tests of a package
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // go test itself
			continue
		}
		at := [2]string{e.Package, e.Test}
		switch {
		case e.Action == "build-output":
			fmt.Fprint(out, e.Output)
		case e.Action == "output":
			if said[at] == nil {
				said[at] = new(strings.Builder)
				order[e.Package] = append(order[e.Package], e.Test)
			}
			said[at].WriteString(e.Output)
		case e.Test != "" && (e.Action == "pass" || e.Action == "skip"):
			delete(said, at)
		case e.Test == "" && (e.Action == "pass" || e.Action == "skip"):
			fmt.Fprint(out, verdict(said[at]))
		case e.Test == "" && e.Action == "fail":
			for _, test := range order[e.Package] {
				if text := said[[2]string{e.Package, test}]; text != nil && test != "" {
					fmt.Fprint(out, text)
				}
			}
			if said[at] != nil {
				fmt.Fprint(out, said[at])
			}
		}
	}
	return lines.Err()
}

// verdict is the last line of a package's own output.
func verdict(text *strings.Builder) string {
	if text == nil {
		return ""
	}
	lines := strings.SplitAfter(text.String(), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "ok ") || strings.HasPrefix(lines[i], "? ") || strings.Contains(lines[i], "[no test files]") {
			return lines[i]
		}
	}
	return text.String()
}

package internal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/oscore.md names a file and tests for each section that is implemented.
// A row that names what is not there is worse than none.
func TestOSCORETable(t *testing.T) {
	text, err := os.ReadFile("../docs/oscore.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`([^`]+)`")
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.Contains(cells[3], "`") {
			continue // not of the table "Section | What | File | Test"
		}
		rows++
		for _, m := range names.FindAllStringSubmatch(cells[3], -1) {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s: there is no file %s", cells[1], m[1])
			}
		}
		tests := names.FindAllStringSubmatch(cells[4], -1)
		if len(tests) == 0 {
			t.Errorf("%s names no test", cells[1])
		}
		for _, m := range tests {
			if !hasTest(t, m[1]) {
				t.Errorf("%s: there is no test %s", cells[1], m[1])
			}
		}
	}
	if rows < 40 {
		t.Errorf("only %d rows", rows)
	}
}

// hasTest looks for "folder.TestName" below internal/.
func hasTest(t *testing.T, name string) bool {
	t.Helper()
	folder, function, ok := strings.Cut(name, ".")
	if !ok {
		return false
	}
	if folder == "group" {
		folder = "oscore/group"
	}
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "func "+function+"(") {
			return true
		}
	}
	return false
}

//go:build !js

package commission

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestProblemsAreDocumented holds the ids in the code against docs/engine.md.
func TestProblemsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/engine.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z]+(-[a-z]+)+|internal|canceled)`").FindAllSubmatch(doc, -1) {
		told[string(m[1])] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"no-storage": true, "storage-damaged": true} // of the browser's binding
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:problem|passing)\("([a-z-]+)",`).FindAllSubmatch(text, -1) {
			used[string(m[1])] = true
		}
	}
	for _, id := range rolloutReasons(t) {
		used[id] = true
	}
	if len(used) < 40 {
		t.Errorf("only %d ids found in the code", len(used))
	}
	for id := range used {
		if !told[id] {
			t.Errorf("%s is not in docs/engine.md", id)
		}
	}
	for id := range told {
		if !used[id] {
			t.Errorf("docs/engine.md tells of %s, which the code does not have", id)
		}
	}
}

// rolloutReasons are the ids in internal/rollout.
func rolloutReasons(t *testing.T) (ids []string) {
	t.Helper()
	text, err := os.ReadFile("../rollout/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`because\("(fw-[a-z-]+)"`).FindAllSubmatch(text, -1) {
		ids = append(ids, string(m[1]))
	}
	if len(ids) < 20 {
		t.Errorf("only %d reasons found", len(ids))
	}
	return ids
}

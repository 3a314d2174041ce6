package web

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sources reads the page's TypeScript and HTML.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir("src", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".ts") && !strings.HasSuffix(path, ".html") {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	return files
}

// The policy allows neither inline styles and scripts nor text that becomes
// markup; a browser would drop them without a word.
func TestSourcesKeepToThePolicy(t *testing.T) {
	never := regexp.MustCompile(`\sstyle=|<style|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|unsafeHTML|<script>|\son(click|load|error)="|https?://[a-z.]*(cdn|unpkg|jsdelivr)`)
	for path, text := range sources(t) {
		if found := never.FindString(text); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
	for _, needed := range []string{"default-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", "connect-src 'self' ws: wss:", "require-trusted-types-for 'script'"} {
		if !strings.Contains(Policy, needed) {
			t.Errorf("the policy misses %s", needed)
		}
	}
	if strings.Contains(Policy, "unsafe-inline") || strings.Contains(Policy, "'unsafe-eval'") {
		t.Error("the policy allows too much")
	}
}

// docs/headless.md promises names to scripts.
func TestNamesOfControlsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/headless.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := string(page)
	literal := regexp.MustCompile(`data-testid="([a-z-]+)"`)
	button := regexp.MustCompile(`<(?:button|input|select|textarea|summary)\b[^>]*?>`)
	for path, text := range sources(t) {
		for _, m := range literal.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(documented, "`"+m[1]+"`") {
				t.Errorf("%s: %s is not in docs/headless.md", path, m[1])
			}
		}
		// Arrow functions hold a > as well: they are taken out first.
		flat := regexp.MustCompile(`=>`).ReplaceAllString(text, "")
		for _, control := range button.FindAllString(flat, -1) {
			if !strings.Contains(control, "data-testid") && !strings.Contains(control, `aria-hidden="true"`) {
				t.Errorf("%s: a control without a name for scripts: %s", path, control)
			}
		}
	}
}

func TestPageIsServed(t *testing.T) {
	if _, err := fs.Stat(Page(), ".gitignore"); err != nil {
		t.Error("the embedded folder has lost its placeholder:", err)
	}
	if !Built() {
		t.Skip("the page has not been built")
	}
	if _, err := fs.Stat(Page(), "index.html"); err != nil {
		t.Error(err)
	}
}

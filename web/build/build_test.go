package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

// What scripts and styles may weigh, brotli: those of the first view, and those of
// the screens that come when somebody opens one. What these share counts for each.
const budget = 48 << 10

var laterBudgets = map[string]int{"firmware": 20 << 10, "people": 10 << 10, "settings": 26 << 10}

// built bundles the real sources around stand-ins for the programs.
func built(t *testing.T) site {
	t.Helper()
	if _, err := os.Stat("../node_modules/lit"); err != nil {
		t.Skip("run `npm ci --prefix web` first")
	}
	folder, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	glue := filepath.Join(t.TempDir(), "wasm_exec.js")
	if err := os.WriteFile(glue, []byte("globalThis.Go=class{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	pages := site{}
	if err := bundle(pages, folder, programs{engine: []byte("engine"), backup: []byte("backup"), glue: glue}); err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestBundle(t *testing.T) {
	pages := built(t)
	html := string(pages["index.html"])
	names := regexp.MustCompile(`(?:src|href)="/([^"]+)"`).FindAllStringSubmatch(html, -1)
	if len(names) < 5 {
		t.Errorf("index.html names %d files", len(names))
	}
	for _, m := range names {
		if pages[m[1]] == nil {
			t.Errorf("index.html names %s, which is not there", m[1])
		}
	}
	worker := string(pages["sw.js"])
	for name := range pages {
		listed := strings.Contains(worker, `"/`+name) || strings.Contains(worker, `\"/`+name+`\"`)
		if own := name == "sw.js" || name == "index.html"; listed == own {
			t.Errorf("the service worker's list has %s: %v", name, listed)
		}
	}
}

func TestBundleIsReproducible(t *testing.T) {
	one, two := built(t), built(t)
	for name := range one {
		if !bytes.Equal(one[name], two[name]) {
			t.Errorf("%s differs from build to build", name)
		}
	}
}

func TestBudget(t *testing.T) {
	pages := built(t)
	if err := compress(pages, t.TempDir(), false); err != nil {
		t.Fatal(err)
	}
	total, shared, later := 0, 0, map[string]int{}
	for name, content := range pages {
		base := strings.TrimSuffix(name, ".br")
		switch {
		case base == name || !strings.HasSuffix(base, ".js") && !strings.HasSuffix(base, ".css"):
		case firstView(pages, base):
			total += len(content)
		case strings.HasPrefix(base, chunk):
			shared += len(content)
		default:
			screen, _, _ := strings.Cut(strings.TrimPrefix(base, assets), "-")
			later[screen] += len(content)
		}
	}
	t.Logf("first view %d bytes; later %v and %d shared", total, later, shared)
	if total == 0 || total > budget {
		t.Errorf("scripts and styles weigh %d bytes of %d", total, budget)
	}
	for screen, most := range laterBudgets {
		if own := later[screen]; own == 0 || own+shared > most {
			t.Errorf("the screens of %s weigh %d bytes of %d", screen, own+shared, most)
		}
	}
}

// What the page's own script imports at once is fetched with it, not after it; what
// comes later is not.
func TestPreload(t *testing.T) {
	pages := built(t)
	var main string
	for name := range pages {
		if strings.HasPrefix(name, assets+"main-") {
			main = string(pages[name])
		}
	}
	html := string(pages["index.html"])
	at := regexp.MustCompile(`(import\(|from|import)"\./([^"]+)"`)
	found := map[bool]int{}
	for _, m := range at.FindAllStringSubmatch(main, -1) {
		later := m[1] == "import("
		found[later]++
		if strings.Contains(html, `<link rel="modulepreload" href="/assets/`+m[2]+`">`) == later {
			t.Errorf("%s%s: later is %v", m[1], m[2], later)
		}
	}
	if found[true] == 0 || found[false] == 0 {
		t.Errorf("found %v", found)
	}
}

func TestCompress(t *testing.T) {
	text := []byte(strings.Repeat("one lamp, two lamps; ", 100))
	pages := site{"a.js": text, "b.png": text, "c.css": []byte("x")}
	work := t.TempDir()
	for range 2 { // the second time from the cache
		delete(pages, "a.js.br")
		if err := compress(pages, work, true); err != nil {
			t.Fatal(err)
		}
	}
	br, err := io.ReadAll(brotli.NewReader(bytes.NewReader(pages["a.js.br"])))
	if err != nil || !bytes.Equal(br, text) {
		t.Errorf("brotli: %d bytes, %v", len(br), err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(pages["a.js.gz"]))
	if err != nil {
		t.Fatal(err)
	}
	if gz, err := io.ReadAll(zip); err != nil || !bytes.Equal(gz, text) {
		t.Errorf("gzip: %d bytes, %v", len(gz), err)
	}
	for _, never := range []string{"b.png.br", "c.css.br", "c.css.gz"} {
		if pages[never] != nil {
			t.Errorf("%s was made", never)
		}
	}
}

func TestWriteLeavesNothingOld(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{".gitignore": "*", "old.js": "old", "same.js": "same"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := os.Stat(filepath.Join(folder, "same.js"))
	if err := (site{"same.js": []byte("same"), "assets/new.js": []byte("new")}).write(folder); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(folder, "same.js"))
	if err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Error("a file that was right was written again", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "old.js")); err == nil {
		t.Error("an old file was left")
	}
	if _, err := os.Stat(filepath.Join(folder, ".gitignore")); err != nil {
		t.Error("the placeholder is gone")
	}
	if text, err := os.ReadFile(filepath.Join(folder, "assets", "new.js")); err != nil || string(text) != "new" {
		t.Error("the new file is not there", err)
	}
}

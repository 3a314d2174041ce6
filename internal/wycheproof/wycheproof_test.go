package wycheproof

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a test that notes how it ended.
type recorder struct {
	testing.TB
	said   string
	failed bool
}

func (r *recorder) Helper()                   {}
func (r *recorder) Skipped() bool             { return strings.HasPrefix(r.said, "skipping") }
func (r *recorder) Failed() bool              { return r.failed }
func (r *recorder) Logf(f string, v ...any)   { r.said = fmt.Sprintf(f, v...) }
func (r *recorder) Errorf(f string, v ...any) { r.said, r.failed = fmt.Sprintf(f, v...), true }
func (r *recorder) Fatalf(f string, v ...any) { r.Errorf(f, v...); panic(r) }
func (r *recorder) Skipf(f string, v ...any)  { r.said = fmt.Sprintf(f, v...); panic(r) }
func (r *recorder) run(do func(r *recorder))  { defer func() { recover() }(); do(r) }
func load(name string) (r recorder, groups int) {
	r.run(func(r *recorder) { groups = len(Load[Signature](r, name)) })
	return
}

// Without the directory the file is skipped by name; with it, it must be there.
func TestLoadMissing(t *testing.T) {
	t.Setenv("LAMPLIGHTER_VECTORS_DIR", "")
	if r, _ := load("x.json"); r.failed || !strings.HasPrefix(r.said, "skipping x.json") {
		t.Errorf("without a directory: %+v", r)
	}
	t.Setenv("LAMPLIGHTER_VECTORS_DIR", t.TempDir())
	if r, _ := load("x.json"); !r.failed || !strings.Contains(r.said, "x.json is missing") {
		t.Errorf("in an empty directory: %+v", r)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("LAMPLIGHTER_VECTORS_DIR", dir)
	if err := os.MkdirAll(filepath.Join(dir, "fetched", "wycheproof"), 0o700); err != nil {
		t.Fatal(err)
	}
	for content, groups := range map[string]int{
		`{"testGroups": [{"tests": [{"tcId": 1, "msg": "0a", "result": "valid"}]}, {}]}`: 2,
		`{"testGroups": [{"tests": [{"msg": "no hex"}]}]}`:                               0,
		`{`: 0,
	} {
		if err := os.WriteFile(filepath.Join(dir, "fetched", "wycheproof", "x.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, got := load("x.json"); got != groups || r.failed != (groups == 0) {
			t.Errorf("%s: %d groups, %+v", content, got, r)
		}
	}
}

func TestReport(t *testing.T) {
	n := Count{Accepted: 1, Refused: 2, NotOffered: 3}
	for want, failed := range map[int]bool{6: false, 7: true} {
		r := recorder{}
		if n.Report(&r, "x", want); r.failed != failed {
			t.Errorf("at least %d: %+v", want, r)
		}
	}
}

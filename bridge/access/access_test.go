package access

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func open(t *testing.T) (*Folder, *Reader, *clock, string) {
	t.Helper()
	data, c := t.TempDir(), &clock{time.Unix(1_800_000_000, 0)}
	f, err := Open(data, c.time)
	if err != nil {
		t.Fatal(err)
	}
	return f, NewReader(data), c, filepath.Join(data, folder)
}

// list reads what there is and checks whether the reader noticed a change.
func list(t *testing.T, r *Reader, wantChanged bool) map[string]Entry {
	t.Helper()
	entries, changed, err := r.Read()
	if err != nil || changed != wantChanged {
		t.Errorf("changed %v, want %v; %v", changed, wantChanged, err)
	}
	byID := map[string]Entry{}
	for _, e := range entries {
		byID[e.ID] = e
	}
	return byID
}

// TestGrantKeepRevoke follows one person through the list, beside another.
func TestGrantKeepRevoke(t *testing.T) {
	f, r, c, _ := open(t)
	if len(list(t, r, true)) != 0 {
		t.Error("somebody is on an empty list")
	}
	list(t, r, false)
	code, err := f.Grant("a1", "Ann", c.now.Add(time.Hour))
	if err != nil || len(code) < 22 {
		t.Fatal(code, err)
	}
	other, err := f.Grant("b2", "Bob", time.Time{})
	if err != nil || other == code {
		t.Fatal(other, err)
	}
	hash := Hash(code)
	ann := Entry{ID: "a1", Name: "Ann", Hash: hex.EncodeToString(hash[:]), Expires: c.now.Add(time.Hour).Unix()}
	got := list(t, r, true)
	if got["a1"] != ann || got["b2"].Expires != 0 || len(got) != 2 {
		t.Error("granted:", got)
	}
	for _, until := range []time.Time{c.now.Add(24 * time.Hour), {}} {
		if err := f.Keep("a1", until); err != nil {
			t.Fatal(err)
		}
		if ann.Expires = 0; !until.IsZero() {
			ann.Expires = until.Unix()
		}
		if got := list(t, r, true); got["a1"] != ann {
			t.Error("kept:", got)
		}
	}
	if err := f.Revoke("a1"); err != nil {
		t.Fatal(err)
	}
	ann.Revoked = c.now.Unix()
	bob := got["b2"]
	if got := list(t, r, true); got["a1"] != ann || got["b2"] != bob {
		t.Error("revoked:", got)
	}
	c.now = c.now.Add(time.Minute)
	for _, again := range []func(string) error{f.Revoke, func(id string) error { return f.Keep(id, c.now) }} {
		if err := errors.Join(again("a1"), again("nobody")); err != nil {
			t.Error(err)
		}
	}
	if got := list(t, r, false); got["a1"] != ann {
		t.Error("revoked is revoked:", got)
	}
	if _, err := f.Grant("a1", "Ann", time.Time{}); !errors.Is(err, ErrID) {
		t.Error("a revoked id is given out again:", err)
	}
}

// TestRestart: the list is the same after a restart, and a half-written file of
// a crash is nobody.
func TestRestart(t *testing.T) {
	f, _, c, dir := open(t)
	if _, err := f.Grant("a1", "Ann", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b2.123.tmp"), []byte(`{"id":"b`), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(filepath.Dir(dir), c.time)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Revoke("a1"); err != nil {
		t.Fatal(err)
	}
	if got := list(t, NewReader(filepath.Dir(dir)), true); len(got) != 1 || got["a1"].Revoked == 0 {
		t.Error(got)
	}
}

// TestSweep: an invitation that expired unused is forgotten when the next is
// made; somebody revoked only after the last session is over.
func TestSweep(t *testing.T) {
	f, r, c, _ := open(t)
	for id, expires := range map[string]time.Time{"used": {}, "unused": c.now.Add(time.Hour), "open": c.now.Add(100 * 24 * time.Hour), "gone": {}} {
		if _, err := f.Grant(id, id, expires); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Revoke("gone"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		wait time.Duration
		want []string
	}{{2 * time.Hour, []string{"used", "open", "gone"}}, {61 * 24 * time.Hour, []string{"used", "open"}}} {
		c.now = c.now.Add(step.wait)
		if _, err := f.Grant("next-"+step.wait.String(), "next", c.now.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		got := list(t, r, true)
		for _, id := range step.want {
			if _, ok := got[id]; !ok {
				t.Errorf("after %s %s is gone", step.wait, id)
			}
		}
		if len(got) != len(step.want)+1 {
			t.Errorf("after %s: %v", step.wait, got)
		}
	}
}

// TestBadFiles: a file that is no entry opens nothing, is reported, and does not
// hide the others.
func TestBadFiles(t *testing.T) {
	f, r, _, dir := open(t)
	if _, err := f.Grant("a1", "Ann", time.Time{}); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "a1.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty.json": "", "half.json": `{"id":"half"`, "b2.json": string(good), // another's id
		"short.json": `{"id":"short","hash":"00"}`, "nohex.json": `{"id":"nohex","hash":"` + strings.Repeat("zz", 32) + `"}`,
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		entries, changed, err := r.Read()
		if len(entries) != 1 || !changed || err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v, %v", name, entries, changed, err)
		}
		if err := f.Revoke(strings.TrimSuffix(name, suffix)); err == nil {
			t.Errorf("%s is revoked as if it were an entry", name)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"", "../a1", "a/b", "a.b", strings.Repeat("x", 65)} {
		if _, err := f.Grant(id, "x", time.Time{}); !errors.Is(err, ErrID) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if len(list(t, r, true)) != 1 {
		t.Error("Ann is gone")
	}
}

// FuzzEntry: what is accepted is an entry of its file, with a whole hash.
func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"id":"a1","name":"Ann","hash":"` + strings.Repeat("ab", 32) + `","expires":7}`))
	f.Add([]byte(`{"id":"a1"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := parse("a1.json", text)
		if err != nil {
			return
		}
		if hash, err := hex.DecodeString(e.Hash); err != nil || len(hash) != 32 || e.ID != "a1" {
			t.Errorf("%q is accepted as %+v", text, e)
		}
	})
}

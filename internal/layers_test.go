package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// layer is the map of the house: a package imports only lower layers, and what
// stands in sideways. Layers 0 to 3 are pure.
var layer = map[string]int{
	"cbor": 0, "store": 0, "backup": 0,
	"cose": 1, "coap": 1, "cose/p256": 1, "cose/x509cert": 1,
	"store/sealed": 1, "store/schema": 1, "backup/archive": 1,
	"oscore": 2, "label": 2,
	"oscore/group": 3, "ace": 3, "ace/iregexp": 3, "suit": 3, "firmware": 3, "settings": 3, "groupcomm": 3,
	"settings/exchange": 4, "settings/change": 4, "settings/template": 4, "settings/holder": 4,
	"updater": 4, "rollout": 4, "as": 4, "gm": 4, "admin": 4, "join": 4, "device": 4, "trl": 4,
	"commission": 5,
	"store/bolt": 6, "store/indexeddb": 6, "endpoint": 6, "sim": 6, "sim/image": 6, "sim/flash": 6, "sim/fleet": 6, "sim/models": 6, "settings/source": 6,
}

// sideways lists the imports within one layer that are meant.
var sideways = map[string][]string{
	"device":        {"join", "updater", "settings/holder"},
	"cose/p256":     {"cose"},
	"cose/x509cert": {"cose"},
	"ace/iregexp":   {"ace"},
	"gm":            {},
	"settings":      {"suit"},
	"sim/fleet":     {"sim", "sim/flash", "sim/image", "sim/models", "settings/source"},
}

// testOnly packages hold helpers for tests; only test files import them.
var testOnly = map[string]int{"store/storetest": 6, "wycheproof": 6}

// impure may not be imported by layers 0 to 5: roles take clock, randomness,
// store and exchange as interfaces. net/netip is only a type of address.
var impure = []string{"os", "net", "net/http", "syscall", "syscall/js", "math/rand", "math/rand/v2", "database/sql", "go.etcd.io/bbolt", "nhooyr.io/websocket"}

// pure marks what layers 0 to 3 may not import either. cose is let off: its
// Secret redacts itself in structured logs, which takes a type of log/slog.
var pure = []string{"log", "log/slog"}

func TestLayers(t *testing.T) {
	root := "."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		if pkg == "." {
			return nil
		}
		checkFile(t, pkg, path, strings.HasSuffix(path, "_test.go"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, pkg, path string, test bool) {
	own, known := layer[pkg]
	if !known {
		if own, known = testOnly[pkg]; !known {
			t.Errorf("%s: package %s has no layer in layers_test.go", path, pkg)
			return
		}
	}
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if !test {
			checkImport(t, path, pkg, own, name)
		}
	}
}

func checkImport(t *testing.T, path, pkg string, own int, name string) {
	other, inside := strings.CutPrefix(name, "lamplighter/internal/")
	if !inside {
		checkOutside(t, path, own, name)
		return
	}
	rank, known := layer[other]
	switch {
	case !known && testOnly[other] == 0:
		t.Errorf("%s imports %s, which has no layer", path, name)
	case testOnly[other] != 0:
		t.Errorf("%s imports %s, which is for tests", path, name)
	case rank < own, contains(sideways[pkg], other):
	default:
		t.Errorf("%s: %s (layer %d) imports %s (layer %d)", path, pkg, own, other, rank)
	}
}

func checkOutside(t *testing.T, path string, own int, name string) {
	if strings.HasPrefix(name, "lamplighter/") {
		t.Errorf("%s imports %s: internal imports no program", path, name)
	}
	if own <= 5 && contains(impure, name) {
		t.Errorf("%s imports %s: layers 0 to 5 do no I/O", path, name)
	}
	if own <= 3 && contains(pure, name) && filepath.Base(filepath.Dir(path)) != "cose" {
		t.Errorf("%s imports %s: layers 0 to 3 are pure", path, name)
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

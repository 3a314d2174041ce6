// Command gen writes src/engine.gen.ts: the TypeScript types of the schema
// between page and engine, read from the Go source of internal/commission.
//
// It parses instead of importing, so that it works while the engine does not
// compile, and so that comments come along.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// Output is the file that gen writes, relative to the module.
const Output = "web/src/engine.gen.ts"

func main() {
	root := flag.String("root", ".", "folder of the module")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	text, err := Generate(filepath.Join(root, "internal/commission"))
	if err != nil {
		return err
	}
	path := filepath.Join(root, Output)
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil // an untouched file keeps its time
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

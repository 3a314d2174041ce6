// Command build makes web/dist: it bundles the page, its worker and its service
// worker with esbuild, compiles the engine and the backup to WebAssembly, gives
// every file a name that carries its hash, and lays a brotli and a gzip variant
// beside each.
//
// Compressed files are kept in build/web by the hash of their content, so a
// second run is quick.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	root := flag.String("root", ".", "folder of the module")
	wasm := flag.Bool("wasm", true, "compile the engine; without it the one of the last run is taken, if there is one")
	quick := flag.Bool("quick", false, "compress quickly and worse, for work on the page")
	flag.Parse()
	if err := run(*root, *wasm, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// A site is what becomes web/dist: contents by name, slash-separated.
type site map[string][]byte

func run(root string, wasm, quick bool) error {
	began := time.Now()
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	work := filepath.Join(root, "build", "web")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	programs, err := compile(root, work, wasm)
	if err != nil {
		return err
	}
	pages := site{}
	if err := bundle(pages, filepath.Join(root, "web"), programs); err != nil {
		return err
	}
	if err := compress(pages, work, quick); err != nil {
		return err
	}
	dist := filepath.Join(root, "web", "dist")
	if err := pages.write(dist); err != nil {
		return err
	}
	report(pages, time.Since(began))
	return prune(work)
}

// write makes folder hold the site and nothing else but its .gitignore. A file
// that is right already is not touched, so that the embedding program is not
// built again for nothing.
func (s site) write(folder string) error {
	for name, content := range s {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if old, err := os.ReadFile(path); err == nil && string(old) == string(content) {
			continue
		}
		if err := replace(path, content); err != nil {
			return err
		}
	}
	return filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".gitignore" {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if _, ok := s[filepath.ToSlash(name)]; ok {
			return nil
		}
		return os.Remove(path)
	})
}

// replace writes a file whole or not at all: another process may be embedding
// the folder.
func replace(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return err
	}
	_, err = part.Write(content)
	if err = firstError(err, part.Chmod(0o644), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), path)
}

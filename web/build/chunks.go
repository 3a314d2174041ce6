package main

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"github.com/evanw/esbuild/pkg/api"
)

// metafile is the part of esbuild's report that says what imports what.
type metafile struct {
	Outputs map[string]struct {
		EntryPoint string
		Imports    []struct{ Path, Kind string }
	}
}

// page bundles the page's own script. What it imports with import() becomes a file
// that a browser loads when a screen asks for it; what both need is in a chunk of
// its own. esbuild names them by their content, as they name each other.
func (b *bundler) page(entry string) error {
	options := b.options(entry)
	options.Format = api.FormatESModule
	options.Splitting = true
	options.Metafile = true
	options.EntryNames = "[name]-[hash]"
	options.ChunkNames = "[name]-[hash]"
	result := api.Build(options)
	if len(result.Errors) > 0 {
		return fmt.Errorf("bundling %s: %s", entry, result.Errors[0].Text)
	}
	for _, file := range b.withoutLegal(result.OutputFiles) {
		b.pages[assets+filepath.Base(file.Path)] = file.Contents
	}
	var report metafile
	if err := json.Unmarshal([]byte(result.Metafile), &report); err != nil {
		return fmt.Errorf("bundling %s: reading esbuild's report: %w", entry, err)
	}
	for name, output := range report.Outputs {
		if output.EntryPoint == entry {
			b.define["PAGE_URL"] = assetURL(name)
			b.preload = report.atOnce(name)
		}
	}
	return nil
}

// atOnce lists what an output needs before it runs.
func (m metafile) atOnce(name string) []string {
	var urls []string
	for _, one := range m.Outputs[name].Imports {
		if one.Kind == "import-statement" {
			urls = append(urls, assetURL(one.Path))
			urls = append(urls, m.atOnce(one.Path)...)
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

func assetURL(output string) string {
	return "/" + assets + path.Base(output)
}

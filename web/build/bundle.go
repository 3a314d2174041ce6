package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// Assets is web.Immutable. Importing it from there would embed the last build
// in this program.
const assets = "assets/"

// Release is the version that the page and its engine name themselves.
const release = "0.1.0"

// A bundler builds entry points one after the other: each is told the final
// names of those before it.
type bundler struct {
	pages   site
	folder  string // web/
	glue    string
	define  map[string]string // names of built files, as JavaScript constants
	preload []string          // URLs of what the page's own script imports at once
	legal   []byte            // the licences of what went in
}

// bundle fills pages from web/src. The order is the order in which a file
// needs another one's name.
func bundle(pages site, folder string, p programs) error {
	b := &bundler{pages: pages, folder: folder, glue: p.glue, define: map[string]string{}}
	b.define["ENGINE_URL"] = b.asset("engine.wasm", p.engine)
	b.define["RELEASE"] = release
	b.define["BACKUP_URL"] = b.asset("backup.wasm", p.backup)
	steps := []struct {
		constant, entry string
		format          api.Format
	}{
		{"BACKUP_WORKER_URL", "src/worker/backup.ts", api.FormatIIFE},
		{"WORKER_URL", "src/worker/worker.ts", api.FormatIIFE},
		{"BOOT_URL", "src/boot.ts", api.FormatIIFE},
		{"STYLE_URL", "src/style/base.css", api.FormatDefault},
	}
	for _, step := range steps {
		name, content, err := b.build(step.entry, step.format)
		if err != nil {
			return err
		}
		b.define[step.constant] = b.asset(name, content)
	}
	if err := b.page("src/main.ts"); err != nil {
		return err
	}
	if err := b.static(); err != nil {
		return err
	}
	if err := b.html(); err != nil {
		return err
	}
	return b.serviceWorker()
}

// asset adds a file under a name that carries its hash, and returns its URL.
func (b *bundler) asset(name string, content []byte) string {
	sum := sha256.Sum256(content)
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
	ext := path.Ext(name)
	hashed := assets + strings.TrimSuffix(name, ext) + "-" + hash + ext
	b.pages[hashed] = content
	return "/" + hashed
}

// build bundles one entry point into one file.
func (b *bundler) build(entry string, format api.Format) (name string, content []byte, err error) {
	options := b.options(entry)
	options.Format = format
	result := api.Build(options)
	if len(result.Errors) > 0 {
		return "", nil, fmt.Errorf("bundling %s: %s", entry, result.Errors[0].Text)
	}
	for _, file := range b.withoutLegal(result.OutputFiles) {
		name, content = filepath.Base(file.Path), file.Contents
	}
	if content == nil {
		return "", nil, errors.New("bundling " + entry + ": no output")
	}
	return name, content, nil
}

func (b *bundler) options(entry string) api.BuildOptions {
	define := map[string]string{}
	for constant, value := range b.define {
		quoted, _ := json.Marshal(value) // a string always has a JSON form
		define[constant] = string(quoted)
	}
	return api.BuildOptions{
		AbsWorkingDir:     b.folder,
		EntryPoints:       []string{entry},
		Outdir:            "dist",
		Bundle:            true,
		Target:            api.ES2022,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		Charset:           api.CharsetUTF8,
		LegalComments:     api.LegalCommentsExternal,
		Define:            define,
		Plugins:           []api.Plugin{adoptStyles(entry), goGlue(b.glue)},
		LogLevel:          api.LogLevelWarning,
	}
}

// withoutLegal puts the licences aside.
func (b *bundler) withoutLegal(files []api.OutputFile) []api.OutputFile {
	var rest []api.OutputFile
	for _, file := range files {
		if strings.HasSuffix(file.Path, ".LEGAL.txt") {
			b.legal = append(b.legal, file.Contents...)
		} else {
			rest = append(rest, file)
		}
	}
	return rest
}

// static copies what needs no bundling, under its own name.
func (b *bundler) static() error {
	folder := filepath.Join(b.folder, "src", "static")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		b.pages[entry.Name()] = content
	}
	b.pages["licenses.txt"] = b.legal
	return nil
}

func (b *bundler) html() error {
	page, err := template.ParseFiles(filepath.Join(b.folder, "src", "index.html"))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	values := map[string]any{"PRELOAD": b.preload}
	for constant, value := range b.define {
		values[constant] = value
	}
	if err := page.Execute(&out, values); err != nil {
		return err
	}
	b.pages["index.html"] = out.Bytes()
	return nil
}

// serviceWorker comes last: it carries the list of all files. Its own name
// stays, a browser looks for its next version there.
func (b *bundler) serviceWorker() error {
	files := []string{"/"}
	digest := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(b.pages)) {
		if name != "index.html" {
			files = append(files, "/"+name)
		}
		fmt.Fprintf(digest, "%s %x\n", name, sha256.Sum256(b.pages[name]))
	}
	list, err := json.Marshal(files)
	if err != nil {
		return err
	}
	b.define["FILES"] = string(list)
	b.define["VERSION"] = fmt.Sprintf("%x", digest.Sum(nil)[:6])
	_, content, err := b.build("src/worker/sw.ts", api.FormatIIFE)
	b.pages["sw.js"] = content
	return err
}

// Package web holds the page that `go run ./web/build` bundles: HTML, scripts,
// styles and the engine's WebAssembly, each with a brotli and a gzip variant
// (name.br, name.gz) beside it.
package web

import (
	"embed"
	"io/fs"
)

// dist always exists; before the first build it holds a placeholder only.
//
//go:embed all:dist
var dist embed.FS

// Immutable is the folder of files whose names carry a hash of their content:
// they may be cached for ever. Everything else must be asked for again.
const Immutable = "assets/"

// Policy is the Content-Security-Policy the page is written for. It goes on
// every answer, scripts included: a worker takes the policy of its own script.
const Policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws: wss:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; " +
	"require-trusted-types-for 'script'; trusted-types lit-html lamplighter"

// Page is the built page. Without index.html it has not been built yet.
func Page() fs.FS {
	page, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // dist is embedded above, so the name is valid
	}
	return page
}

// Built says whether the page has been built into this program.
func Built() bool {
	_, err := fs.Stat(dist, "dist/index.html")
	return err == nil
}

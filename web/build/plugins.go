package main

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// adoptStyles turns `import "./lamp.css"` in a script into a constructed style
// sheet that the document adopts. The page's policy allows no inline styles,
// and needs none this way.
func adoptStyles(entry string) api.Plugin {
	return api.Plugin{Name: "adopt-styles", Setup: func(build api.PluginBuild) {
		if strings.HasSuffix(entry, ".css") {
			return // a style sheet of its own
		}
		build.OnLoad(api.OnLoadOptions{Filter: `\.css$`}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			source, err := os.ReadFile(args.Path)
			if err != nil {
				return api.OnLoadResult{}, err
			}
			sheet := api.Transform(string(source), api.TransformOptions{
				Loader: api.LoaderCSS, Target: api.ES2022, Sourcefile: args.Path,
				MinifyWhitespace: true, MinifySyntax: true,
			})
			if len(sheet.Errors) > 0 {
				return api.OnLoadResult{Errors: sheet.Errors}, nil
			}
			quoted, err := json.Marshal(strings.TrimSpace(string(sheet.Code)))
			if err != nil {
				return api.OnLoadResult{}, err
			}
			script := "const s=new CSSStyleSheet;s.replaceSync(" + string(quoted) + ");document.adoptedStyleSheets.push(s)"
			return api.OnLoadResult{Contents: &script, Loader: api.LoaderJS}, nil
		})
	}}
}

// goGlue resolves "wasm_exec" to the file of the Go that compiles the engine:
// the two must be of one version.
func goGlue(file string) api.Plugin {
	return api.Plugin{Name: "go-glue", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: `^wasm_exec$`}, func(api.OnResolveArgs) (api.OnResolveResult, error) {
			return api.OnResolveResult{Path: file, SideEffects: api.SideEffectsTrue}, nil
		})
	}}
}

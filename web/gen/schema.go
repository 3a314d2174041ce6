package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// A declaration is one exported type of the schema, in source order.
type declaration struct {
	name   string
	doc    string
	fields []field // of a struct
	words  []word  // of a string type: its constants
}

type field struct {
	name     string // as in JSON
	typ      string // as in TypeScript
	doc      string
	optional bool // omitempty: may be missing
}

type word struct{ value, doc string }

type method struct {
	name, result, doc string
	params            []string // "name: type"
}

// parseSchema reads the declarations of api.go and of what continues it, api_*.go,
// and the methods of methods.go.
func parseSchema(folder string) ([]*declaration, []method, error) {
	files := token.NewFileSet()
	more, err := filepath.Glob(filepath.Join(folder, "api_*.go"))
	if err != nil {
		return nil, nil, err
	}
	var declarations []*declaration
	for _, path := range append([]string{filepath.Join(folder, "api.go")}, more...) {
		api, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the schema: %w", err)
		}
		some, err := readDeclarations(api)
		if err != nil {
			return nil, nil, err
		}
		declarations = append(declarations, some...)
	}
	calls, err := parser.ParseFile(files, filepath.Join(folder, "methods.go"), nil, parser.ParseComments)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the methods: %w", err)
	}
	methods, err := readMethods(calls)
	return declarations, methods, err
}

func readDeclarations(file *ast.File) ([]*declaration, error) {
	var all []*declaration
	byName := map[string]*declaration{}
	for _, d := range file.Decls {
		group, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if !spec.Name.IsExported() {
					continue
				}
				one, err := readType(spec, comment(group.Doc))
				if err != nil {
					return nil, err
				}
				all = append(all, one)
				byName[one.name] = one
			case *ast.ValueSpec:
				addWords(byName, spec)
			}
		}
	}
	return all, nil
}

func readType(spec *ast.TypeSpec, doc string) (*declaration, error) {
	one := &declaration{name: spec.Name.Name, doc: doc}
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		return one, nil
	}
	for _, f := range structure.Fields.List {
		read, ok, err := readField(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.name, err)
		}
		if ok {
			one.fields = append(one.fields, read)
		}
	}
	return one, nil
}

// readField reads a field with a JSON name; others are not part of the schema.
func readField(f *ast.Field) (field, bool, error) {
	if f.Tag == nil {
		return field{}, false, nil
	}
	tag, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return field{}, false, err
	}
	name, options, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
	if name == "" || name == "-" {
		return field{}, false, nil
	}
	optional := strings.Contains(options, "omitempty")
	typ, err := typeScript(f.Type, optional)
	if err != nil {
		return field{}, false, fmt.Errorf("%s: %w", name, err)
	}
	return field{name, typ, comment(f.Comment), optional}, true, nil
}

// typeScript names a Go type in TypeScript. A pointer without omitempty is
// null in JSON when it is nil.
func typeScript(e ast.Expr, optional bool) (string, error) {
	switch e := e.(type) {
	case *ast.Ident:
		switch e.Name {
		case "string":
			return "string", nil
		case "bool":
			return "boolean", nil
		case "int", "int64", "uint", "uint32", "uint64", "float64":
			return "number", nil
		case "any":
			return "unknown", nil
		}
		return e.Name, nil
	case *ast.StarExpr:
		typ, err := typeScript(e.X, false)
		if err != nil || optional {
			return typ, err
		}
		return typ + " | null", nil
	case *ast.MapType: // JSON's objects have texts as names
		if key, ok := e.Key.(*ast.Ident); ok && key.Name == "string" {
			typ, err := typeScript(e.Value, false)
			return "Record<string, " + typ + ">", err
		}
	case *ast.ArrayType:
		typ, err := typeScript(e.Elt, false)
		return typ + "[]", err
	}
	return "", fmt.Errorf("no TypeScript for a %T", e)
}

// addWords adds string constants to their type.
func addWords(byName map[string]*declaration, spec *ast.ValueSpec) {
	typ, ok := spec.Type.(*ast.Ident)
	if !ok || byName[typ.Name] == nil {
		return
	}
	for _, v := range spec.Values {
		lit, ok := v.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		value, err := strconv.Unquote(lit.Value)
		if err != nil {
			continue // the Go compiler has something to say about it
		}
		one := byName[typ.Name]
		one.words = append(one.words, word{value, comment(spec.Comment)})
	}
}

// readMethods reads the rows of the variable Methods.
func readMethods(file *ast.File) ([]method, error) {
	var methods []method
	var failed error
	ast.Inspect(file, func(n ast.Node) bool {
		row, ok := n.(*ast.CompositeLit)
		if !ok || row.Type != nil || len(row.Elts) != 4 {
			return true
		}
		m := method{name: text(row.Elts[0]), result: text(row.Elts[2]), doc: text(row.Elts[3])}
		if m.name == "" || m.result == "" {
			failed = fmt.Errorf("a method without a name or a result")
			return false
		}
		if params, ok := row.Elts[1].(*ast.CompositeLit); ok {
			for _, p := range params.Elts {
				pair := p.(*ast.CompositeLit).Elts
				m.params = append(m.params, text(pair[0])+": "+text(pair[1]))
			}
		}
		methods = append(methods, m)
		return false
	})
	if failed == nil && len(methods) == 0 {
		failed = fmt.Errorf("no methods found")
	}
	return methods, failed
}

func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	value, _ := strconv.Unquote(lit.Value)
	return value
}

func comment(g *ast.CommentGroup) string {
	return strings.Join(strings.Fields(g.Text()), " ")
}

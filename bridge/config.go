package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A configuration file holds flags by name, in YAML: those at the top are for all
// commands that have them, those in a section for that command alone.
//
//	data: /var/lib/lamplighter
//	gm:
//	  listen: 192.0.2.1:5691
//	  group: [hall-ceiling, stage]
//
// A flag on the command line goes before the file, a section before the top.

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// sections are the commands that have a section of their own.
var sections = []string{"as", "gm", "bridge", "demo", "device"}

// configSection is one section of a configuration file, by name of the flag.
type configSection map[string]setting

// setting is a value with its place.
type setting struct {
	value string // elements of a list with commas between them
	list  bool
	line  int
}

// configFile is a configuration file; the section "" is the top.
type configFile map[string]configSection

// problem is something wrong with a configuration file; line 0: with all of it.
type problem struct {
	line int
	text string
}

func (p problem) String() string {
	if p.line == 0 {
		return p.text
	}
	return fmt.Sprintf("line %d: %s", p.line, p.text)
}

// readConfig reads a file and says what in it is no section, no flag or no value.
// What is there beside the problems is returned as well.
func readConfig(r io.Reader, app *kong.Application) (configFile, []problem) {
	text, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return nil, []problem{{0, err.Error()}}
	}
	if len(text) > maxConfig {
		return nil, []problem{{0, "The file is larger than any configuration."}}
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, []problem{syntaxProblem(err)}
	}
	c := &configReader{file: configFile{}, app: app}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			c.section("", doc.Body)
		}
	}
	return c.file, c.problems
}

// syntaxProblem takes the place off the parser's "[3:4] message" and leaves the
// excerpt out.
func syntaxProblem(err error) problem {
	first, _, _ := strings.Cut(err.Error(), "\n")
	var line, column int
	if n, _ := fmt.Sscanf(first, "[%d:%d]", &line, &column); n == 2 {
		_, first, _ = strings.Cut(first, "] ")
	}
	return problem{line, "This is no YAML: " + first + "."}
}

type configReader struct {
	file     configFile
	app      *kong.Application
	problems []problem
}

func (c *configReader) wrong(n ast.Node, format string, args ...any) {
	c.problems = append(c.problems, problem{lineOf(n), fmt.Sprintf(format, args...)})
}

func lineOf(n ast.Node) int { return n.GetToken().Position.Line }

// section reads the flags of one command, or at the top.
func (c *configReader) section(name string, n ast.Node) {
	m, ok := n.(ast.MapNode)
	if !ok {
		c.wrong(n, "Names with values are expected here, such as \"data: /var/lib/lamplighter\".")
		return
	}
	if c.file[name] == nil {
		c.file[name] = configSection{}
	}
	for at := m.MapRange(); at.Next(); {
		c.entry(name, at.Key(), at.Value())
	}
}

func (c *configReader) entry(section string, key ast.MapKeyNode, value ast.Node) {
	name := key.GetToken().Value
	flag := findFlag(c.app, section, name)
	switch {
	case section == "" && slices.Contains(sections, name):
		c.section(name, value)
	case flag == nil && section == "":
		c.wrong(key, "There is no flag or section %q.", name)
	case flag == nil:
		c.wrong(key, "lamplighter %s has no flag %q.", section, name)
	case c.file[section][name].line != 0:
		c.wrong(key, "%q is there twice; the first is in line %d.", name, c.file[section][name].line)
	default:
		if s, ok := c.value(value, name); ok {
			s.line = lineOf(key)
			c.file[section][name] = s
		}
	}
}

func (c *configReader) value(n ast.Node, name string) (setting, bool) {
	switch n := n.(type) {
	case *ast.SequenceNode:
		var all []string
		for _, v := range n.Values {
			s, ok := c.value(v, name)
			if !ok {
				return setting{}, false
			}
			if s.list || strings.Contains(s.value, ",") {
				c.wrong(v, "A list in %q holds single values.", name)
				return setting{}, false
			}
			all = append(all, s.value)
		}
		return setting{value: strings.Join(all, ","), list: true}, true
	case *ast.StringNode:
		return setting{value: n.Value}, true
	case ast.ScalarNode:
		return setting{value: n.GetToken().Value}, n.Type() != ast.NullType
	}
	c.wrong(n, "%q takes a value or a list of values.", name)
	return setting{}, false
}

// findFlag finds a flag of a command, or at the top of any.
func findFlag(app *kong.Application, section, name string) *kong.Flag {
	if name == "config" || name == "help" || name == "version" {
		return nil
	}
	nodes := []*kong.Node{app.Node}
	for _, n := range app.Children {
		if section == "" || n.Name == section {
			nodes = append(nodes, n)
			nodes = append(nodes, n.Children...)
		}
	}
	for _, n := range nodes {
		for _, f := range n.Flags {
			if f.Name == name && (section == "" || n != app.Node) {
				return f
			}
		}
	}
	return nil
}

// parse reads a value as its flag would.
func (s setting) parse(f *kong.Flag) error {
	target := reflect.New(f.Target.Type()).Elem()
	if s.list && target.Kind() != reflect.Slice {
		return errors.New("it takes one value, not a list")
	}
	copied := *f.Value
	copied.Set, copied.Active = false, true // else files are not looked for
	if err := copied.Parse(kong.ScanFromTokens(kong.Token{Value: s.value, Type: kong.FlagValueToken}), target); err != nil {
		return err
	}
	if words := copied.EnumSlice(); copied.Enum != "" && !slices.Contains(words, s.value) {
		return fmt.Errorf("it is one of %s", strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", "))
	}
	return nil
}

// loadConfig makes what --config names a source of flags.
func loadConfig(app func() *kong.Application) kong.ConfigurationLoader {
	return func(r io.Reader) (kong.Resolver, error) {
		file, problems := readConfig(r, app())
		if len(problems) > 0 {
			slices.SortStableFunc(problems, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
			lines := []string{"the configuration file has mistakes:"}
			for _, p := range problems {
				lines = append(lines, p.String())
			}
			return nil, errors.New(strings.Join(lines, "\n  "))
		}
		return kong.ResolverFunc(file.resolve), nil
	}
}

func (c configFile) resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	section := ""
	for _, p := range ctx.Path {
		if p.Command != nil {
			section = p.Command.Name
			break
		}
	}
	for _, name := range []string{section, ""} {
		if s, ok := c[name][flag.Name]; ok {
			return s.value, nil
		}
	}
	return nil, nil
}

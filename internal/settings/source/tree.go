package source

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"lamplighter/internal/settings"
)

// maxSource bounds a source that is read, in bytes.
const maxSource = 256 << 10

// maxDepth bounds how deep a source is nested.
const maxDepth = 12

// node is a piece of YAML with its line: nil, a bool, an int64, a string, a
// []*node, or a []entry.
type node struct {
	line  int
	value any
}

type entry struct {
	line  int
	key   string
	value *node
}

func (r *reader) wrong(line int, format string, args ...any) {
	r.problems = append(r.problems, settings.Problem{Line: line, Text: fmt.Sprintf(format, args...)})
}

// tree reads YAML, of which it takes one document without anchors, aliases and
// tags; nil where that is wrong.
func (r *reader) tree(text []byte) *node {
	if len(text) > maxSource {
		r.wrong(0, "The file is larger than %d KiB.", maxSource>>10)
		return nil
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.problems = append(r.problems, syntax(err))
		return nil
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	if len(docs) != 1 {
		r.wrong(0, "The file has %d documents instead of one.", len(docs))
		return nil
	}
	return r.node(docs[0].Body, 0)
}

// syntax takes the place off the parser's "[3:4] message" and leaves the excerpt
// out.
func syntax(err error) settings.Problem {
	text, _, _ := strings.Cut(err.Error(), "\n")
	var line, column int
	if n, _ := fmt.Sscanf(text, "[%d:%d]", &line, &column); n == 2 {
		_, text, _ = strings.Cut(text, "] ")
	}
	return settings.Problem{Line: line, Text: "This is no YAML: " + text + "."}
}

func lineOf(n ast.Node) int {
	if token := n.GetToken(); token != nil && token.Position != nil {
		return token.Position.Line
	}
	return 0
}

func (r *reader) node(n ast.Node, depth int) *node {
	out := &node{line: lineOf(n)}
	if depth > maxDepth {
		r.wrong(out.line, "This is nested too deep.")
		return out
	}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		out.value = n.Value
	case *ast.IntegerNode:
		out.value = r.integer(n)
	case *ast.StringNode:
		out.value = n.Value
	case *ast.LiteralNode:
		out.value = strings.TrimRight(n.Value.Value, "\n")
	case *ast.SequenceNode:
		list := []*node{}
		for _, v := range n.Values {
			list = append(list, r.node(v, depth+1))
		}
		out.value = list
	case ast.MapNode:
		out.value = r.entries(n, depth)
	default:
		r.wrong(out.line, "%q: there are only texts, whole numbers, true, false, lists and maps.", n.GetToken().Value)
		out.value = bad{}
	}
	return out
}

// bad stands for what a problem was told of already.
type bad struct{}

func (r *reader) integer(n *ast.IntegerNode) any {
	v, err := strconv.ParseInt(n.Token.Value, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		r.wrong(lineOf(n), "%s is too large a number.", n.Token.Value)
	case err != nil || strconv.FormatInt(v, 10) != n.Token.Value: // 010 is 8 to some readers
		r.wrong(lineOf(n), "%s: write numbers with decimal digits alone, without zeros in front, and texts in quotation marks.", n.Token.Value)
	default:
		return v
	}
	return bad{}
}

func (r *reader) entries(m ast.MapNode, depth int) []entry {
	list := []entry{}
	for at := m.MapRange(); at.Next(); {
		key := entry{line: lineOf(at.Key()), key: at.Key().GetToken().Value}
		if _, ok := at.Key().(ast.ScalarNode); !ok {
			r.wrong(key.line, "%q cannot be a name here.", key.key)
			continue
		}
		if i := slices.IndexFunc(list, func(e entry) bool { return e.key == key.key }); i >= 0 {
			r.wrong(key.line, "%q is there twice; the first is in line %d.", key.key, list[i].line)
			continue
		}
		key.value = r.node(at.Value(), depth+1)
		list = append(list, key)
	}
	return list
}

func (r *reader) text(n *node) string {
	s, ok := n.value.(string)
	if _, told := n.value.(bad); !ok && !told {
		r.wrong(n.line, "A text is expected here; numbers, true and false need quotation marks around them.")
	}
	return s
}

func (r *reader) integerOf(n *node) int64 {
	v, ok := n.value.(int64)
	if _, told := n.value.(bad); !ok && !told {
		r.wrong(n.line, "A whole number is expected here.")
	}
	return v
}

func (r *reader) count(n *node) uint64 {
	v := r.integerOf(n)
	if v < 0 {
		r.wrong(n.line, "%d must not be negative.", v)
		return 0
	}
	return uint64(v)
}

func (r *reader) yes(n *node) bool {
	v, ok := n.value.(bool)
	if _, told := n.value.(bad); !ok && !told {
		r.wrong(n.line, "true or false is expected here.")
	}
	return v
}

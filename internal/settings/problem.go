package settings

import (
	"fmt"
	"strings"
)

// Problem is something wrong with a text that a person wrote; line 0: with all of it.
type Problem struct {
	Line int
	Text string
}

// String puts the line in front.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.Text
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Text)
}

// Problems is all that is wrong with a text, in the order of its lines.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

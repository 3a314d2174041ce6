package template

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxDepth bounds parentheses and signs within each other.
const maxDepth = 20

var errOverflow = errors.New("a number becomes too large")

// evaluate gives the value of an expression.
//
//	sum     = product *( ("+" | "-") product )
//	product = factor *( ("*" | "/" | "%") factor )
//	factor  = number | name | "-" factor | "(" sum ")"
func evaluate(text string, all Variables) (any, error) {
	if name := strings.TrimSpace(text); nameLength(name) == len(name) && name != "" {
		return lookup(name, all)
	}
	e := &expression{rest: text, all: all}
	v, err := e.sum(0)
	if err == nil {
		if e.space(); e.rest != "" {
			err = fmt.Errorf("%q is not expected there", e.rest)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("${%s}: %w", text, err)
	}
	return v, nil
}

func lookup(name string, all Variables) (any, error) {
	v, ok := all[name]
	if !ok {
		return nil, fmt.Errorf("there is no variable %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	switch v.(type) {
	case bool, int64, string, []byte:
		return v, nil
	}
	return nil, fmt.Errorf("the variable %q has no value", name)
}

type expression struct {
	rest string
	all  Variables
}

func (e *expression) space() { e.rest = strings.TrimLeft(e.rest, " ") }

// operator takes one of the operators, 0 if there is none.
func (e *expression) operator(of string) byte {
	e.space()
	if e.rest == "" || !strings.Contains(of, e.rest[:1]) {
		return 0
	}
	op := e.rest[0]
	e.rest = e.rest[1:]
	return op
}

func (e *expression) sum(depth int) (int64, error) {
	return e.chain("+-", func() (int64, error) { return e.product(depth) })
}

func (e *expression) product(depth int) (int64, error) {
	return e.chain("*/%", func() (int64, error) { return e.factor(depth) })
}

// chain calculates from left to right.
func (e *expression) chain(operators string, operand func() (int64, error)) (int64, error) {
	v, err := operand()
	for err == nil {
		op := e.operator(operators)
		if op == 0 {
			break
		}
		var w int64
		if w, err = operand(); err == nil {
			v, err = calculate(op, v, w)
		}
	}
	return v, err
}

func calculate(op byte, v, w int64) (int64, error) {
	switch op {
	case '+':
		if sum := v + w; (sum > v) == (w > 0) {
			return sum, nil
		}
	case '-':
		if difference := v - w; (difference < v) == (w > 0) {
			return difference, nil
		}
	case '*':
		if v == 0 || w == 0 {
			return 0, nil
		}
		if product := v * w; product/w == v && !(v == math.MinInt64 && w == -1) && !(w == math.MinInt64 && v == -1) {
			return product, nil
		}
	default:
		if w == 0 {
			return 0, errors.New("nothing can be divided by 0")
		}
		if v == math.MinInt64 && w == -1 {
			break
		}
		if op == '/' {
			return v / w, nil
		}
		return v % w, nil
	}
	return 0, errOverflow
}

func (e *expression) factor(depth int) (int64, error) {
	if depth++; depth > maxDepth {
		return 0, errors.New("it is nested too deep")
	}
	switch e.operator("-(") {
	case '-':
		v, err := e.factor(depth)
		if err == nil && v == math.MinInt64 {
			err = errOverflow
		}
		return -v, err
	case '(':
		v, err := e.sum(depth)
		if err == nil && e.operator(")") == 0 {
			err = errors.New("a closing parenthesis is missing")
		}
		return v, err
	}
	if n := nameLength(e.rest); n > 0 {
		name := e.rest[:n]
		e.rest = e.rest[n:]
		v, err := lookup(name, e.all)
		if err != nil {
			return 0, err
		}
		if number, ok := v.(int64); ok {
			return number, nil
		}
		return 0, fmt.Errorf("%q is no number, and cannot be calculated with", name)
	}
	digits := e.rest[:len(e.rest)-len(strings.TrimLeft(e.rest, "0123456789"))]
	if digits == "" {
		return 0, errors.New("a number or a variable is missing")
	}
	e.rest = e.rest[len(digits):]
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, errOverflow
	}
	return v, nil
}

// nameLength is how many bytes at the beginning of s are a name: letters, digits and
// _, beginning with a letter.
func nameLength(s string) int {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return i
		}
	}
	return len(s)
}

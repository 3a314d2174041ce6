package exchange

import (
	"fmt"
	"slices"
	"strings"

	"lamplighter/internal/settings"
)

// collector puts what was read together.
type collector struct {
	schemas  Schemas
	devices  []Device
	at       map[string]int            // by id
	lines    map[string]map[string]int // by id and name: where it was
	problems settings.Problems
}

func newCollector(schemas Schemas) *collector {
	return &collector{schemas: schemas, at: map[string]int{}, lines: map[string]map[string]int{}}
}

func (c *collector) wrong(line int, format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, settings.Problem{Line: line, Text: fmt.Sprintf(format, args...)})
	}
}

// find gives the place that a device and a name stand for.
func (c *collector) find(line int, id, name string) (p place, s *settings.Schema, ok bool) {
	if s = c.schemas(id); s == nil {
		c.wrong(line, "The device %s is not known here, or its schema was not read.", id)
		return p, nil, false
	}
	p, err := lookup(s, name)
	if err != nil {
		c.wrong(line, "%s.", err.Error())
		return p, nil, false
	}
	return p, s, true
}

// add takes a value, unless it is wrong or there already.
func (c *collector) add(line int, id, name string, p place, v any) {
	if err := p.check(v); err != nil {
		c.wrong(line, "%s.", err.Error())
		return
	}
	i, known := c.at[id]
	if !known {
		if len(c.devices) == maxDevices {
			c.wrong(line, "There are more than %d devices.", maxDevices)
			return
		}
		i = len(c.devices)
		c.at[id], c.lines[id] = i, map[string]int{}
		c.devices = append(c.devices, Device{ID: id, Values: settings.Map{}})
	}
	if before, is := c.clash(id, name); is {
		c.wrong(line, "%s is there twice for %s, also in line %d.", name, id, before)
		return
	}
	c.lines[id][name] = line
	p.put(c.devices[i].Values, v)
}

// clash finds a line with the same name, with a map that it is in, or with what is
// in it.
func (c *collector) clash(id, name string) (line int, is bool) {
	for at := name; at != ""; at = at[:max(strings.LastIndexByte(at, '/'), 0)] {
		if line, is := c.lines[id][at]; is {
			return line, true
		}
	}
	for other, line := range c.lines[id] {
		if strings.HasPrefix(other, name+"/") {
			return line, true
		}
	}
	return 0, false
}

func (c *collector) result() ([]Device, error) {
	if len(c.problems) > 0 {
		slices.SortStableFunc(c.problems, func(a, b settings.Problem) int { return a.Line - b.Line })
		return nil, c.problems
	}
	return c.devices, nil
}

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"lamplighter/internal/settings"
)

// printSchema says what a schema defines, in a language.
func printSchema(out io.Writer, s *settings.Schema, language string) {
	fmt.Fprintf(out, "\n%s (%s), version %d\n", printable(s.Title(language)), s.Model, s.Version)
	if languages := slices.Sorted(maps.Keys(s.Texts)); len(languages) > 0 {
		fmt.Fprintf(out, "languages: %s\n", strings.Join(languages, ", "))
	}
	fmt.Fprintln(out)
	for _, d := range s.In(language).Defs {
		printDef(out, d, "")
	}
}

func printDef(out io.Writer, d settings.Def, indent string) {
	fmt.Fprintf(out, "%s%3d  %-18s %s: %s\n", indent, d.Key, d.Name, printable(d.Title), strings.Join(factsOf(d), ", "))
	indent += "     "
	if d.Help != "" {
		fmt.Fprintf(out, "%s%s\n", indent, printable(d.Help))
	}
	for _, v := range slices.Sorted(maps.Keys(d.Choices)) {
		fmt.Fprintf(out, "%s%d  %s\n", indent, v, printable(d.Choices[v]))
	}
	for _, m := range d.Members {
		printDef(out, m, indent)
	}
}

// factsOf are what a person must know to give a value.
func factsOf(d settings.Def) (facts []string) {
	word := d.Type.String()
	if d.Choices != nil {
		word = "choice"
	}
	facts = append(facts, word)
	unit := ""
	switch {
	case d.Type == settings.Text || d.Type == settings.Bytes:
		unit = " bytes"
	case d.Unit != "":
		unit = " " + printable(d.Unit)
	}
	if d.Min != nil {
		facts = append(facts, fmt.Sprintf("from %d%s", *d.Min, unit))
	}
	if d.Max != nil {
		facts = append(facts, fmt.Sprintf("to %d%s", *d.Max, unit))
	}
	if d.Step > 1 {
		facts = append(facts, fmt.Sprintf("in steps of %d%s", d.Step, unit))
	}
	if d.IDs != nil {
		facts = append(facts, fmt.Sprintf("by numbers from %d to %d", d.IDs.Min, d.IDs.Max))
	}
	if d.Default != nil && d.Type != settings.Table {
		facts = append(facts, "default "+inPrint(d.Default))
	}
	for _, f := range []struct {
		flag settings.Flag
		word string
	}{{settings.PerDevice, "each device has its own"}, {settings.Restart, "takes effect after a restart"}, {settings.Network, "may cut devices off"}} {
		if d.Flags&f.flag != 0 {
			facts = append(facts, f.word)
		}
	}
	return facts
}

func inPrint(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		return fmt.Sprintf("%x", v)
	}
	return fmt.Sprint(v)
}

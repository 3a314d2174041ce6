package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"lamplighter/internal/cose"
	"lamplighter/internal/suit"
)

// algorithmNames are as IANA has them.
var algorithmNames = map[cose.Algorithm]string{
	cose.ES256: "ES256", cose.ESP256: "ESP256", cose.EdDSA: "EdDSA", cose.AlgEd25519: "Ed25519",
}

// printable makes of a text that anybody may have written one that does nothing to a
// terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// printEnvelope says in words what stands in a firmware file.
func printEnvelope(out io.Writer, name string, size int, e *suit.Envelope) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(out, "  %-12s %s\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(out, "%s: %d bytes, of which %d go to devices before the image\n", printable(name), size, len(e.Bare()))
	line("manifest", "%x", e.Digest)
	printSigners(line, e)
	line("sequence", "%d", e.Manifest.Sequence)
	if uri := e.Manifest.ReferenceURI; uri != "" {
		line("more at", "%s", printable(uri))
	}
	printImageFacts(line, e)
	printTexts(line, e)
	fmt.Fprintln(out, "\nWhat it tells a device to do")
	printSteps(out, "  ", "first", e.Manifest.Shared)
	for _, element := range []suit.Element{suit.PayloadFetch, suit.Install, suit.Validate, suit.Load, suit.Invoke} {
		sequence, here := e.Manifest.Sequences[element]
		if _, severed := e.Manifest.Severed[element]; severed && !here {
			fmt.Fprintf(out, "  %s: not in this file\n", sectionNames[element])
		}
		printSteps(out, "  ", sectionNames[element], sequence)
	}
}

func printSigners(line func(what, format string, args ...any), e *suit.Envelope) {
	if len(e.Signatures) == 0 {
		line("signature", "none")
	}
	for _, s := range e.Signatures {
		key := "a key that is not named"
		if s.KeyID != nil {
			key = fmt.Sprintf("key %x", s.KeyID)
		}
		line("signature", "%s, by %s (not checked here)", algorithmNames[s.Algorithm], key)
	}
}

func printImageFacts(line func(what, format string, args ...any), e *suit.Envelope) {
	i, err := e.Image()
	if err != nil {
		line("image", "%v", err)
		return
	}
	for _, id := range []struct {
		what string
		id   suit.UUID
	}{{"vendor", i.Vendor}, {"class", i.Class}, {"device", i.Device}} {
		if id.id != (suit.UUID{}) {
			line(id.what, "%v", id.id)
		}
	}
	from := "comes from " + printable(i.URI)
	if _, here := e.Integrated[i.URI]; here {
		from = "is in this file"
	} else if i.URI == "" {
		from = "is not fetched"
	}
	line("image", "%d bytes, %s", i.Size, from)
	line("SHA-256", "%x", i.Digest)
	if _, err := e.Apply(suit.Recipient{Vendor: i.Vendor, Class: i.Class, Device: i.Device}); err != nil {
		line("devices", "with one image cannot take it: %v", err)
	}
}

func printTexts(line func(what, format string, args ...any), e *suit.Envelope) {
	if _, severed := e.Manifest.Severed[suit.TextElement]; severed && e.Text == nil {
		line("text", "not in this file")
	}
	for _, language := range slices.Sorted(maps.Keys(e.Text)) {
		t := e.Text[language]
		show := func(what, text string) {
			if text != "" {
				line("text", "%s, %s: %s", printable(language), what, printable(text))
			}
		}
		show("description", t.Description)
		show("update", t.Update)
		for _, c := range t.Components {
			show("version", c.Version)
			show("vendor", c.VendorName)
			show("vendor's domain", c.VendorDomain)
			show("model", c.ModelName)
			show("class", c.ModelInfo)
			show("component", c.Description)
		}
	}
}

var sectionNames = map[suit.Element]string{
	suit.PayloadFetch: "to fetch", suit.Install: "to install", suit.Validate: "to validate", suit.Load: "to load", suit.Invoke: "to start",
}

// printSteps says a sequence step by step, alternatives further to the right.
func printSteps(out io.Writer, indent, name string, s suit.Sequence) {
	if len(s) == 0 {
		return
	}
	fmt.Fprintf(out, "%s%s:\n", indent, name)
	for _, c := range s {
		fmt.Fprintf(out, "%s  - %s\n", indent, inWords(c))
		for i, try := range c.Tries {
			printSteps(out, indent+"    ", fmt.Sprintf("alternative %d", i+1), try)
		}
	}
}

// inWords says a command.
func inWords(c suit.Command) string {
	switch c.Code {
	case suit.CheckVendor:
		return "check that the vendor is this one"
	case suit.CheckClass:
		return "check that the class is this one"
	case suit.CheckDevice:
		return "check that the device is this one"
	case suit.CheckImage:
		return "check the image's digest"
	case suit.CheckSlot:
		return "check that the slot is this one"
	case suit.SetComponent:
		return fmt.Sprintf("turn to component %d", c.Component)
	case suit.TryEach:
		return "take the first that applies of"
	case suit.OverrideParameters:
		return "set " + strings.Join(parametersInWords(c.Parameters), ", ")
	case suit.DoFetch:
		return "fetch the image"
	case suit.DoCopy:
		return "copy the image"
	case suit.DoInvoke:
		return "start the image"
	}
	return c.Code.String()
}

func parametersInWords(p *suit.Parameters) (words []string) {
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if p.Vendor != nil {
		add("vendor %v", *p.Vendor)
	}
	if p.Class != nil {
		add("class %v", *p.Class)
	}
	if p.Device != nil {
		add("device %v", *p.Device)
	}
	if p.Digest != nil {
		add("digest %x…", p.Digest[:8])
	}
	if p.Size != nil {
		add("size %d", *p.Size)
	}
	if p.Slot != nil {
		add("slot %d", *p.Slot)
	}
	if p.URI != nil {
		add("source %s", printable(*p.URI))
	}
	if p.Source != nil {
		add("source component %d", *p.Source)
	}
	return words
}

package suit

import (
	"bytes"
	"fmt"

	"lamplighter/internal/cbor"
)

// Text is what a manifest says to people, in one language. Section 8.4.4.
//
//	text = { + tstr => { ? 1: tstr, ? 2: tstr, * [ * bstr ] => {
//	  ? 1: tstr, ? 2: tstr, ? 3: tstr, ? 4: tstr, ? 5: tstr, ? 6: tstr } } }
type Text struct {
	Description string          // of the manifest
	Update      string          // of the update
	Components  []ComponentText // in the order of the manifest's components
}

// ComponentText is what it says of a component.
type ComponentText struct {
	VendorName, ModelName   string
	VendorDomain, ModelInfo string // what the vendor and class ids were made of
	Description, Version    string
}

// parseText reads the text element. Its components must be those of the manifest.
// The source code of the manifest, which it may hold, is passed over.
func parseText(data []byte, components [][][]byte) (map[string]Text, error) {
	r, texts := cbor.NewReader(data), map[string]Text{}
	var bad error
	r.Map(func(key *cbor.Reader) {
		language := key.Text()
		t, err := readText(r.Item(), components)
		if key.End() != nil {
			err = fmt.Errorf("%w: suit-text: a language: %w", ErrDecode, key.End())
		}
		if bad == nil {
			bad = err
		}
		texts[language] = t
	})
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: suit-text: %w", ErrDecode, err)
	}
	if bad == nil && len(texts) == 0 {
		bad = fmt.Errorf("%w: suit-text is empty", ErrDecode)
	}
	return texts, bad
}

func readText(data []byte, components [][][]byte) (t Text, bad error) {
	t.Components = make([]ComponentText, len(components))
	r := cbor.NewReader(data)
	fail := func(err error) {
		if bad == nil {
			bad = err
		}
	}
	r.Map(func(key *cbor.Reader) {
		if key.Next() == cbor.Array {
			id, value := key.Item(), r.Item()
			for i, component := range components {
				if bytes.Equal(id, appendComponent(nil, component)) {
					fail(t.Components[i].read(value))
					return
				}
			}
			fail(fmt.Errorf("%w: suit-text has a component %x that suit-components does not have", ErrDecode, id))
			return
		}
		label := key.Int()
		text, err := textOf(r.Item())
		switch fail(err); {
		case key.End() != nil:
			fail(fmt.Errorf("%w: suit-text: %w", ErrDecode, key.End()))
		case label == textDescription:
			t.Description = text
		case label == textUpdate:
			t.Update = text
		case label != textJSON && label != textYAML:
			fail(unsupported("%s in suit-text", named("text", nil, label)))
		}
	})
	if err := r.End(); err != nil {
		return t, fmt.Errorf("%w: suit-text: %w", ErrDecode, err)
	}
	return t, bad
}

func (t *ComponentText) read(data []byte) error {
	raw, err := mapOf("suit-text", data)
	if err != nil {
		return err
	}
	for label, item := range raw.each {
		text, err := textOf(item)
		if err != nil {
			return err
		}
		place := t.place(label)
		if place == nil {
			return unsupported("%s of a component in suit-text", named("text", nil, label))
		}
		*place = text
	}
	return nil
}

// place is where the text with a label belongs, nil for an unknown one.
func (t *ComponentText) place(label int64) *string {
	switch label {
	case textVendorName:
		return &t.VendorName
	case textModelName:
		return &t.ModelName
	case textVendorDomain:
		return &t.VendorDomain
	case textModelInfo:
		return &t.ModelInfo
	case textComponent:
		return &t.Description
	case textVersion:
		return &t.Version
	}
	return nil
}

func textOf(item []byte) (string, error) {
	r := cbor.NewReader(item)
	text := r.Text()
	if err := r.End(); err != nil {
		return "", fmt.Errorf("%w: suit-text: %w", ErrDecode, err)
	}
	return text, nil
}

// appendText makes a text element of one language; empty texts are left out.
func appendText(language string, t Text, components [][][]byte) []byte {
	b := cbor.AppendHead(nil, cbor.Map, 1)
	b = cbor.AppendText(b, language)
	pairs, n := appendPairs(nil, []string{textDescription: t.Description, textUpdate: t.Update})
	for i, component := range components {
		c := t.Components[i]
		inner, k := appendPairs(nil, []string{
			textVendorName: c.VendorName, textModelName: c.ModelName, textVendorDomain: c.VendorDomain,
			textModelInfo: c.ModelInfo, textComponent: c.Description, textVersion: c.Version,
		})
		if k > 0 {
			pairs = append(cbor.AppendHead(appendComponent(pairs, component), cbor.Map, uint64(k)), inner...)
			n++
		}
	}
	return append(cbor.AppendHead(b, cbor.Map, uint64(n)), pairs...)
}

// appendPairs appends label and text of what is not empty, and counts it.
func appendPairs(dst []byte, texts []string) ([]byte, int) {
	n := 0
	for label, text := range texts {
		if text != "" {
			dst = cbor.AppendText(cbor.AppendInt(dst, int64(label)), text)
			n++
		}
	}
	return dst, n
}

func appendComponent(dst []byte, id [][]byte) []byte {
	dst = cbor.AppendHead(dst, cbor.Array, uint64(len(id)))
	for _, part := range id {
		dst = cbor.AppendBytes(dst, part)
	}
	return dst
}

package suit

import (
	"fmt"

	"lamplighter/internal/cbor"
)

// Bounds on a manifest.
const (
	maxComponents = 8
	maxDepth      = 4 // of sequences in sequences
)

// Manifest is what is signed. Section 8.4.
//
//	manifest = {
//	  1: 1, 2: uint, 3: << { 2: [ + [ * bstr ] ], ? 4: << sequence >> } >>, ? 4: tstr,
//	  ? 7: << sequence >>, ? 8: << sequence >>, ? 9: << sequence >>,
//	  ? 16: << sequence >> / digest, ? 20: << sequence >> / digest, ? 23: << text >> / digest
//	}
type Manifest struct {
	Sequence     uint64 // the sequence number
	ReferenceURI string
	Components   [][][]byte
	Shared       Sequence
	Sequences    map[Element]Sequence // those that are here
	Severed      map[Element]Digest   // those that stand, or stood, in the envelope
}

// parseManifest reads a manifest, and returns the text that was not severed.
func parseManifest(data []byte) (m Manifest, text []byte, err error) {
	m.Sequences, m.Severed = map[Element]Sequence{}, map[Element]Digest{}
	raw, err := mapOf("manifest", data)
	if err != nil {
		return m, nil, err
	}
	for label := range raw.each {
		if label != elementVersion && label != elementSequence && label != elementCommon && label != elementReferenceURI &&
			!Element(label).severable() && !Element(label).unseverable() {
			return m, nil, unsupported("%s in the manifest", named("element", elementNames, label))
		}
	}
	if err := m.readHead(raw); err != nil {
		return m, nil, err
	}
	for label, item := range raw.each {
		element := Element(label)
		if !element.severable() && !element.unseverable() {
			continue
		}
		if element.severable() && cbor.NewReader(item).Next() == cbor.Array {
			if m.Severed[element], err = parseDigest(item); err != nil {
				return m, nil, err
			}
			continue
		}
		content, err := contentOf(element.String(), item)
		if err != nil {
			return m, nil, err
		}
		if element == TextElement {
			text = content
			continue
		}
		if m.Sequences[element], err = m.parseSection(element, content); err != nil {
			return m, nil, err
		}
	}
	return m, text, nil
}

// readHead reads version, sequence number, common and the reference URI. Sections
// 8.4.1 to 8.4.5.
func (m *Manifest) readHead(raw fields) error {
	version := cbor.NewReader(raw.items[elementVersion])
	if v := version.Uint(); version.End() == nil && v != 1 {
		return unsupported("version %d of the manifest", v)
	}
	number := cbor.NewReader(raw.items[elementSequence])
	m.Sequence = number.Uint()
	for _, r := range []*cbor.Reader{version, number} {
		if err := r.End(); err != nil {
			return fmt.Errorf("%w: the manifest's version and sequence number: %w", ErrDecode, err)
		}
	}
	if item, ok := raw.items[elementReferenceURI]; ok {
		r := cbor.NewReader(item)
		m.ReferenceURI = r.Text()
		if err := r.End(); err != nil {
			return fmt.Errorf("%w: suit-reference-uri: %w", ErrDecode, err)
		}
	}
	common, err := contentOf("suit-common", raw.items[elementCommon])
	if err != nil {
		return err
	}
	return m.readCommon(common)
}

// readCommon reads the components and the shared sequence. Section 8.4.5.
func (m *Manifest) readCommon(data []byte) error {
	raw, err := mapOf("suit-common", data)
	if err != nil {
		return err
	}
	for label := range raw.each {
		if label != commonComponents && label != commonShared {
			return unsupported("%s in suit-common", named("element", commonNames, label))
		}
	}
	if m.Components, err = parseComponents(raw.items[commonComponents]); err != nil {
		return err
	}
	item, ok := raw.items[commonShared]
	if !ok {
		return nil
	}
	content, err := contentOf("suit-shared-sequence", item)
	if err != nil {
		return err
	}
	if m.Shared, err = m.parseSequence(content, "suit-shared-sequence", true, maxDepth); err != nil {
		return err
	}
	return m.selects("suit-shared-sequence", m.Shared)
}

// parseSection reads the sequence of an element.
func (m *Manifest) parseSection(element Element, data []byte) (Sequence, error) {
	s, err := m.parseSequence(data, element.String(), false, maxDepth)
	if err != nil {
		return nil, err
	}
	return s, m.selects(element.String(), s)
}

// selects wants a sequence to say first which of several components it is about.
// Section 6.2.
func (m *Manifest) selects(name string, s Sequence) error {
	if len(m.Components) > 1 && s[0].Code != SetComponent {
		return fmt.Errorf("%w: %s does not begin with %v, as it must with several components", ErrDecode, name, SetComponent)
	}
	return nil
}

// parseComponents reads the list of component identifiers. Section 8.4.5.1.
func parseComponents(data []byte) ([][][]byte, error) {
	r := cbor.NewReader(data)
	n := r.Array()
	if n > maxComponents {
		return nil, unsupported("a manifest of %d components", n)
	}
	list := make([][][]byte, 0, n)
	for range n {
		list = append(list, componentOf(r))
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: suit-components: %w", ErrDecode, err)
	}
	if n == 0 {
		return nil, fmt.Errorf("%w: suit-components is empty", ErrDecode)
	}
	return list, nil
}

func componentOf(r *cbor.Reader) [][]byte {
	n := r.Array()
	id := make([][]byte, 0, n)
	for range n {
		id = append(id, r.Bytes())
	}
	return id
}

// fields are the values of a map as they are encoded.
type fields struct {
	labels []int64 // in their order
	items  map[int64][]byte
}

// each goes through the fields in their order, so that of several errors always the
// same is told.
func (f fields) each(yield func(label int64, item []byte) bool) {
	for _, label := range f.labels {
		if !yield(label, f.items[label]) {
			return
		}
	}
}

// mapOf reads a map with integers as keys that fills data.
func mapOf(name string, data []byte) (fields, error) {
	r, raw := cbor.NewReader(data), fields{items: map[int64][]byte{}}
	var bad error
	r.Map(func(key *cbor.Reader) {
		label := key.Int()
		if err := key.End(); err != nil {
			bad = err
		}
		raw.labels = append(raw.labels, label)
		raw.items[label] = r.Item()
	})
	if err := r.End(); err != nil {
		bad = err
	}
	if bad != nil {
		return fields{}, fmt.Errorf("%w: %s: %w", ErrDecode, name, bad)
	}
	return raw, nil
}

// contentOf returns what stands in the byte string that item is.
func contentOf(name string, item []byte) ([]byte, error) {
	r := cbor.NewReader(item)
	content := r.Bytes()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDecode, name, err)
	}
	return content, nil
}

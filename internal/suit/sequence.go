package suit

import (
	"fmt"

	"lamplighter/internal/cbor"
)

// Sequence is a list of commands that are carried out one after the other. Section
// 8.4.6.
type Sequence []Command

// Command is a condition or a directive. What of its arguments it has depends on
// its code.
type Command struct {
	Code       Code
	Policy     uint        // what to report; all but those below have one
	Component  uint        // SetComponent: index
	Parameters *Parameters // OverrideParameters
	Tries      []Sequence  // TryEach
}

// maxPolicy has all bits of a reporting policy. Section 8.4.7.
const maxPolicy = 15

// Parameters are those of a component; nil: not set. Section 8.4.8.
type Parameters struct {
	Vendor, Class, Device *UUID
	Digest                *Digest // of the image
	Slot                  *uint64
	Size                  *uint64 // bytes
	URI                   *string
	Source                *uint64 // index of a component
}

// parseSequence reads a sequence. In the shared one only conditions and what
// prepares them are allowed. Section 8.4.5.
//
//	sequence = [ + ( code, policy // 12, uint // 20, { + parameter } // 15, [ 2* << sequence >> ] ) ]
func (m *Manifest) parseSequence(data []byte, name string, shared bool, depth int) (s Sequence, err error) {
	if depth == 0 {
		return nil, unsupported("%s in that many levels", name)
	}
	r := cbor.NewReader(data)
	n := r.Array()
	if r.Err() == nil && (n == 0 || n%2 != 0) {
		return nil, fmt.Errorf("%w: %s: %d items are no pairs of commands and arguments", ErrDecode, name, n)
	}
	for range n / 2 {
		code := r.Int()
		argument := r.Item()
		if r.Err() != nil {
			break
		}
		c, err := m.parseCommand(code, argument, name, shared, depth)
		if err != nil {
			return nil, err
		}
		s = append(s, c)
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDecode, name, err)
	}
	return s, nil
}

func (m *Manifest) parseCommand(code int64, argument []byte, name string, shared bool, depth int) (c Command, err error) {
	c.Code = Code(code)
	r := cbor.NewReader(argument)
	switch c.Code {
	case CheckVendor, CheckClass, CheckImage, CheckSlot, CheckDevice, DoFetch, DoCopy, DoInvoke:
		if shared && (c.Code == DoFetch || c.Code == DoCopy || c.Code == DoInvoke) {
			return c, fmt.Errorf("%w: %v in %s, where it may not be", ErrDecode, c.Code, name)
		}
		policy := r.Uint()
		if err = r.End(); err == nil && policy > maxPolicy {
			return c, unsupported("reporting policy %d", policy)
		}
		c.Policy = uint(policy)
	case SetComponent:
		if next := r.Next(); next == cbor.Array || len(argument) == 1 && argument[0] == cbor.True {
			return c, unsupported("%v to several components", c.Code)
		}
		index := r.Uint()
		if err = r.End(); err == nil && index >= uint64(len(m.Components)) {
			return c, fmt.Errorf("%w: %s: there is no component %d", ErrDecode, name, index)
		}
		c.Component = uint(index)
	case OverrideParameters:
		c.Parameters, err = m.parseParameters(argument, name)
		return c, err
	case TryEach:
		c.Tries, err = m.parseTries(r, name, shared, depth)
		return c, err
	default:
		return c, unsupported("%v in %s", c.Code, name)
	}
	if err != nil {
		return c, fmt.Errorf("%w: %s: argument of %v: %w", ErrDecode, name, c.Code, err)
	}
	return c, nil
}

// parseTries reads the alternatives of a try-each. Section 8.4.10.2.
func (m *Manifest) parseTries(r *cbor.Reader, name string, shared bool, depth int) (tries []Sequence, err error) {
	n := r.Array()
	for range n {
		if r.Next() != cbor.Bytes && r.Err() == nil {
			return nil, unsupported("an empty alternative of %v in %s", TryEach, name)
		}
		content := r.Bytes()
		if r.Err() != nil {
			break
		}
		s, err := m.parseSequence(content, TryEach.String()+" in "+name, shared, depth-1)
		if err != nil {
			return nil, err
		}
		tries = append(tries, s)
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %s: %v: %w", ErrDecode, name, TryEach, err)
	}
	if n < 2 {
		return nil, fmt.Errorf("%w: %s: %v with %d alternatives", ErrDecode, name, TryEach, n)
	}
	return tries, nil
}

// parseParameters reads the argument of override-parameters. Section 8.4.8.
func (m *Manifest) parseParameters(data []byte, name string) (*Parameters, error) {
	raw, err := mapOf(OverrideParameters.String(), data)
	if err != nil {
		return nil, err
	}
	if len(raw.labels) == 0 {
		return nil, fmt.Errorf("%w: %s: %v without parameters", ErrDecode, name, OverrideParameters)
	}
	p := &Parameters{}
	for label, item := range raw.each {
		known, err := p.set(label, item)
		if !known {
			return nil, unsupported("%s in %s", named("parameter", parameterNames, label), name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, named("parameter", parameterNames, label), err)
		}
	}
	if p.Source != nil && *p.Source >= uint64(len(m.Components)) {
		return nil, fmt.Errorf("%w: %s: there is no component %d to copy from", ErrDecode, name, *p.Source)
	}
	return p, nil
}

// set reads one parameter and says whether it is known.
func (p *Parameters) set(label int64, item []byte) (known bool, err error) {
	r := cbor.NewReader(item)
	switch label {
	case parameterVendor:
		if r.Next() == cbor.Tagged {
			return true, unsupported("a vendor that is an enterprise number")
		}
		p.Vendor, err = uuidOf(r)
	case parameterClass:
		p.Class, err = uuidOf(r)
	case parameterDevice:
		p.Device, err = uuidOf(r)
	case parameterDigest:
		content := r.Bytes()
		if err = r.End(); err == nil {
			digest, err := parseDigest(content)
			p.Digest = &digest
			return true, err
		}
	case parameterSlot:
		p.Slot, err = uintOf(r)
	case parameterSize:
		p.Size, err = uintOf(r)
	case parameterSource:
		p.Source, err = uintOf(r)
	case parameterURI:
		uri := r.Text()
		p.URI, err = &uri, r.End()
	default:
		return false, nil
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDecode, err)
	}
	return true, err
}

func uintOf(r *cbor.Reader) (*uint64, error) {
	n := r.Uint()
	return &n, r.End()
}

func uuidOf(r *cbor.Reader) (*UUID, error) {
	b := r.Bytes()
	if err := r.End(); err != nil {
		return nil, err
	}
	if len(b) != len(UUID{}) {
		return nil, fmt.Errorf("a UUID of %d bytes", len(b))
	}
	id := UUID(b)
	return &id, nil
}

// merge sets what other has.
func (p *Parameters) merge(other *Parameters) {
	set(&p.Vendor, other.Vendor)
	set(&p.Class, other.Class)
	set(&p.Device, other.Device)
	set(&p.Digest, other.Digest)
	set(&p.Slot, other.Slot)
	set(&p.Size, other.Size)
	set(&p.URI, other.URI)
	set(&p.Source, other.Source)
}

func set[T any](dst **T, src *T) {
	if src != nil {
		*dst = src
	}
}

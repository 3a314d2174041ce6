package suit

import (
	"errors"
	"fmt"
)

// machine is the abstract machine of Section 6.4. It does nothing: it notes what
// would be done, and checks what can be known without doing it.
type machine struct {
	recipient  *Recipient // nil: whoever it is, it fits
	parameters []Parameters
	component  uint
	done       []event
}

// event is a command that was carried out, with the parameters that it used.
type event struct {
	code      Code
	component uint
	Parameters
}

// failed is a condition that does not hold: in a try-each the next alternative is
// tried.
type failed struct{ error }

// Unwrap returns why.
func (f failed) Unwrap() error { return f.error }

// run carries out the shared sequence and then that of an element.
func (m *Manifest) run(element Element, r *Recipient) ([]event, error) {
	machine := &machine{recipient: r, parameters: make([]Parameters, len(m.Components))}
	if err := machine.run(m.Shared); err != nil {
		return nil, fmt.Errorf("suit-shared-sequence: %w", err)
	}
	if err := machine.run(m.Sequences[element]); err != nil {
		return nil, fmt.Errorf("%v: %w", element, err)
	}
	return machine.done, nil
}

func (m *machine) run(s Sequence) error {
	for _, c := range s {
		if err := m.step(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) step(c Command) error {
	p := &m.parameters[m.component]
	switch c.Code {
	case SetComponent:
		m.component = c.Component
		return nil
	case OverrideParameters:
		p.merge(c.Parameters)
		return nil
	case TryEach:
		return m.try(c.Tries)
	case CheckVendor:
		if err := m.same(c.Code, p.Vendor, func(r *Recipient) UUID { return r.Vendor }); err != nil {
			return err
		}
	case CheckClass:
		if err := m.same(c.Code, p.Class, func(r *Recipient) UUID { return r.Class }); err != nil {
			return err
		}
	case CheckDevice:
		if err := m.same(c.Code, p.Device, func(r *Recipient) UUID { return r.Device }); err != nil {
			return err
		}
	case CheckSlot:
		switch {
		case p.Slot == nil:
			return unset(c.Code, "slot")
		case m.recipient != nil && *p.Slot != uint64(m.recipient.Slot):
			return failed{fmt.Errorf("%w: those with the image in slot %d", ErrRecipient, *p.Slot)}
		}
	case CheckImage:
		if p.Digest == nil {
			return unset(c.Code, "digest")
		}
	case DoFetch:
		if p.URI == nil {
			return unset(c.Code, "URI")
		}
	case DoCopy:
		switch {
		case p.Source == nil:
			return unset(c.Code, "source component")
		case *p.Source == uint64(m.component):
			return fmt.Errorf("%w: %v from component %d to itself", ErrDecode, c.Code, m.component)
		}
	}
	m.done = append(m.done, event{c.Code, m.component, *p})
	return nil
}

// same is a condition on an identifier. Section 8.4.9.1.
func (m *machine) same(code Code, want *UUID, has func(*Recipient) UUID) error {
	switch {
	case want == nil:
		return unset(code, "identifier")
	case m.recipient != nil && *want != has(m.recipient):
		return failed{fmt.Errorf("%w: %v wants %v, this is %v", ErrRecipient, code, want, has(m.recipient))}
	}
	return nil
}

// try carries out the first alternative whose conditions hold. Parameters that one
// set before it failed stay set. Section 8.4.10.2.
func (m *machine) try(tries []Sequence) (err error) {
	for _, s := range tries {
		if err = m.run(s); !errors.As(err, new(failed)) {
			return err
		}
	}
	return err
}

func unset(code Code, parameter string) error {
	return fmt.Errorf("%w: %v without a %s that was set before", ErrDecode, code, parameter)
}

// fetches are the fetches that the manifest asks for, of alternatives the first.
func (m *Manifest) fetches() (list []event, err error) {
	for _, element := range []Element{PayloadFetch, Install} {
		done, err := m.run(element, nil)
		if err != nil {
			return nil, err
		}
		for _, e := range done {
			if e.code == DoFetch {
				list = append(list, e)
			}
		}
	}
	return list, nil
}

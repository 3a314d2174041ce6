package suit

import (
	"fmt"
	"maps"
	"slices"
)

// Image is what a manifest says of the image of its first component.
type Image struct {
	Sequence  uint64 // the manifest's sequence number
	Vendor    UUID   // zero: any
	Class     UUID   // zero: any
	Device    UUID   // zero: any of the class
	Size      uint64 // bytes
	Digest    Digest // of the image
	URI       string // where it is fetched from; [ImageURI]: it came with the envelope
	Version   string // from the text, which devices do not get; empty: not said
	Invoke    bool   // it is started after the update
	Component [][]byte
}

// Recipient is a device that a manifest is applied to.
type Recipient struct {
	Vendor, Class UUID
	Device        UUID // zero: it has none, and no manifest for one device fits
	Slot          uint // that the image would be written to
}

// Image returns what the manifest says of the image of its first component, before
// it is known which device it is for: of alternatives it takes the first. It fails
// with [ErrUnsupported] where no size or digest is said.
func (e *Envelope) Image() (Image, error) {
	var all []event
	for _, element := range []Element{PayloadFetch, Install, Validate, Invoke} {
		done, err := e.Manifest.run(element, nil)
		if err != nil {
			return Image{}, err
		}
		all = append(all, done...)
	}
	return e.image(all)
}

// image collects what events say of the first component.
func (e *Envelope) image(events []event) (Image, error) {
	i := Image{Sequence: e.Manifest.Sequence, Component: e.Manifest.Components[0], Version: e.version()}
	var digest *Digest
	var size *uint64
	for _, did := range events {
		switch {
		case did.code == CheckVendor:
			i.Vendor = *did.Vendor
		case did.code == CheckClass:
			i.Class = *did.Class
		case did.code == CheckDevice:
			i.Device = *did.Device
		case did.code == DoInvoke:
			i.Invoke = true
		case did.component != 0:
		case did.code == CheckImage && digest == nil:
			digest, size = did.Parameters.Digest, did.Size
		case did.code == DoFetch:
			i.URI = *did.URI
		}
	}
	if digest == nil || size == nil {
		return Image{}, unsupported("a manifest that does not say size and digest of its first component, or does not check them,")
	}
	i.Digest, i.Size = *digest, *size
	return i, nil
}

// version is what the text says, in English before other languages.
func (e *Envelope) version() string {
	languages := append([]string{textLanguage}, slices.Sorted(maps.Keys(e.Text))...)
	for _, language := range languages {
		if text, ok := e.Text[language]; ok && text.Components[0].Version != "" {
			return text.Components[0].Version
		}
	}
	return ""
}

// Apply returns what the manifest asks of a device with one component. It fails
// with [ErrRecipient] for a device that the manifest is not for, and with
// [ErrUnsupported] for a manifest that does not check vendor and class, that does
// anything else than to fetch one image, to check its digest and to invoke it, or
// that does not do the first two.
func (e *Envelope) Apply(r Recipient) (Image, error) {
	m := &e.Manifest
	if n := len(m.Components); n != 1 {
		return Image{}, unsupported("a manifest of %d components by a device that has one", n)
	}
	for _, element := range []Element{PayloadFetch, Load} {
		_, here := m.Sequences[element]
		_, severed := m.Severed[element]
		if here || severed {
			return Image{}, unsupported("%v by a device of one component", element)
		}
	}
	if _, here := m.Sequences[Install]; !here {
		return Image{}, unsupported("a manifest without suit-install, which installs nothing,")
	}
	var all []event
	for _, element := range []Element{Install, Validate, Invoke} {
		done, err := m.run(element, &r)
		if err != nil {
			return Image{}, err
		}
		if err := allowed(element, done); err != nil {
			return Image{}, err
		}
		all = append(all, done...)
	}
	i, err := e.image(all)
	if err != nil {
		return Image{}, err
	}
	return i, i.agrees(all)
}

// allowed holds a sequence to what a device of one component does in it: in install
// to check whom it is for, then one fetch, then a check of what was fetched.
func allowed(element Element, done []event) error {
	count := map[Code]int{}
	for _, did := range done {
		switch did.code {
		case CheckVendor, CheckClass, CheckDevice, CheckSlot:
			if element == Install && count[DoFetch] > 0 {
				return unsupported("%v after the fetch in %v", did.code, element)
			}
		case CheckImage:
			if element == Install && count[DoFetch] == 0 {
				return unsupported("%v before the fetch in %v", did.code, element)
			}
		case DoFetch:
			if element != Install || count[DoFetch] > 0 {
				return unsupported("another %v in %v", did.code, element)
			}
		case DoInvoke:
			if element != Invoke {
				return unsupported("%v in %v", did.code, element)
			}
		default:
			return unsupported("%v by a device of one component", did.code)
		}
		count[did.code]++
	}
	for _, code := range []Code{CheckVendor, CheckClass} {
		if count[code] == 0 {
			return unsupported("a manifest without %v", code)
		}
	}
	if element == Install && (count[DoFetch] == 0 || count[CheckImage] == 0) {
		return unsupported("%v that does not fetch an image and check it", element)
	}
	return nil
}

// agrees says whether all checks are about the one image.
func (i *Image) agrees(events []event) error {
	for _, did := range events {
		if did.code != CheckImage && did.code != DoFetch {
			continue
		}
		if d, n := did.Parameters.Digest, did.Size; d == nil || n == nil || *d != i.Digest || *n != i.Size {
			return fmt.Errorf("%w: %v is about another image", ErrUnsupported, did.code)
		}
	}
	return nil
}

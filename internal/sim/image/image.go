// Package image is the format of the firmware that simulated devices boot: a
// header that says how the device behaves, the text of a version, and filler.
package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// Behaviour is what an image does when it starts.
type Behaviour uint8

// Behaviours.
const (
	Runs    Behaviour = 0 // as it should
	Crashes Behaviour = 1 // it ends while it starts, each time
	Hangs   Behaviour = 2 // it starts and answers nothing: a watchdog or a timer has to end it

	behaviours = 3
)

func (b Behaviour) String() string {
	if b >= behaviours {
		return fmt.Sprintf("behaviour %d", uint8(b))
	}
	return [...]string{"runs", "crashes", "hangs"}[b]
}

// Sizes.
const (
	MinSize    = headerSize + 1 // bytes of an image
	MaxVersion = 64             // bytes of a version
	MaxBlink   = 65535 * time.Millisecond

	headerSize = 4 + 1 + 1 + 2 + 2 + 1
	magic      = "LLFW"
	format     = 1
)

// ErrImage is what is no image for these devices.
var ErrImage = errors.New("not an image for a simulated device")

// Image is what a device does while the image runs.
//
//	4 bytes  "LLFW"
//	1        format, 1
//	1        behaviour
//	2        blinking: milliseconds on, big-endian
//	2        blinking: milliseconds off
//	1        length of the version
//	n        version, UTF-8
//	rest     filler
type Image struct {
	Version   string // 1 to 64 bytes, printable
	Behaviour Behaviour
	On, Off   time.Duration // one blink: whole milliseconds, at most 65,535
	Filler    []byte
}

// Parse reads an image. What is accepted is what [Image.Bytes] makes of the result.
// Errors wrap [ErrImage].
func Parse(b []byte) (Image, error) {
	if len(b) < MinSize || string(b[:4]) != magic || b[4] != format {
		return Image{}, fmt.Errorf("%w: it does not begin with %s and format %d", ErrImage, magic, format)
	}
	i := Image{
		Behaviour: Behaviour(b[5]),
		On:        time.Duration(binary.BigEndian.Uint16(b[6:])) * time.Millisecond,
		Off:       time.Duration(binary.BigEndian.Uint16(b[8:])) * time.Millisecond,
	}
	end := headerSize + int(b[10])
	if end > len(b) {
		return Image{}, fmt.Errorf("%w: it is cut off in its version", ErrImage)
	}
	i.Version, i.Filler = string(b[headerSize:end]), b[end:]
	return i, i.check()
}

// Bytes is the encoding. It panics for an image that [Parse] would refuse: only
// whoever builds images can make one.
func (i Image) Bytes() []byte {
	if err := i.check(); err != nil {
		panic(err)
	}
	b := append([]byte(magic), format, byte(i.Behaviour))
	b = binary.BigEndian.AppendUint16(b, uint16(i.On/time.Millisecond))
	b = binary.BigEndian.AppendUint16(b, uint16(i.Off/time.Millisecond))
	b = append(b, byte(len(i.Version)))
	return append(append(b, i.Version...), i.Filler...)
}

// Make is [Image.Bytes] with so much filler that the image has size bytes. Equal
// images of equal size have equal filler, and images of two versions share none.
func Make(i Image, size int) []byte {
	i.Filler = nil
	b := i.Bytes()
	if size < len(b) {
		panic(fmt.Sprintf("an image of version %s has at least %d bytes", i.Version, len(b)))
	}
	state := uint64(0x9e3779b97f4a7c15)
	for _, c := range b {
		state = (state ^ uint64(c)) * 0x100000001b3 // FNV-1a
	}
	out := make([]byte, len(b), size+8)
	copy(out, b)
	for len(out) < size { // xorshift64
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		out = binary.BigEndian.AppendUint64(out, state)
	}
	return out[:size]
}

func (i Image) check() error {
	switch {
	case i.Behaviour >= behaviours:
		return fmt.Errorf("%w: %v is unknown", ErrImage, i.Behaviour)
	case len(i.Version) == 0 || len(i.Version) > MaxVersion || !utf8.ValidString(i.Version):
		return fmt.Errorf("%w: a version has 1 to %d bytes of UTF-8", ErrImage, MaxVersion)
	case !whole(i.On) || !whole(i.Off):
		return fmt.Errorf("%w: a blink has at most %d whole milliseconds on and off", ErrImage, MaxBlink/time.Millisecond)
	}
	for _, r := range i.Version {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%w: its version is not printable", ErrImage)
		}
	}
	return nil
}

func whole(d time.Duration) bool { return d >= 0 && d <= MaxBlink && d%time.Millisecond == 0 }

// Lit reports whether a device that began to blink so long ago is bright now.
func (i Image) Lit(since time.Duration) bool {
	period := i.On + i.Off
	return period <= 0 || since%period < i.On
}

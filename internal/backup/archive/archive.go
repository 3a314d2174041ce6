// Package archive is the format of a server's backup, inside of what encrypts it:
// a magic line, then items, each with its length before it:
//
//	archive = "lamplighter backup 1\n" *(size: 4 bytes, big endian; item)
//
//	item   = { 1: kind, ? 2: tstr, ? 3: bstr }
//	kind   = 1: head (2: role, 3: head)    first
//	       / 2: file (2: path, 3: content)
//	       / 3: record of the store (2: key, 3: value)
//	       / 4: end (3: head)               last; without it the archive was cut off
//	head   = { 1: int (when, seconds since 1970), 2: tstr (version of the program) }
//
// Nothing in it depends on the engine of the store.
package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"lamplighter/internal/cbor"
	"lamplighter/internal/store"
)

const magic = "lamplighter backup 1\n"

// Bounds on what is read.
const (
	maxItem = 16 << 20 // bytes
	maxPath = 200      // bytes
)

// ErrFormat is returned for what is no archive, or not a whole one.
var ErrFormat = errors.New("not a whole backup of Lamplighter")

// Head says what an archive is of.
type Head struct {
	Role    string `cbor:"-"`          // "as" or "gm"
	Created int64  `cbor:"1,keyasint"` // seconds since 1970
	Version string `cbor:"2,keyasint"` // of the program
}

// Kind is what an item is.
type Kind int

// Kinds of items. The head and the end are the reader's own.
const (
	kindHead Kind = 1
	File     Kind = 2
	Record   Kind = 3
	kindEnd  Kind = 4
)

// Item is a file or a record.
type Item struct {
	Kind Kind   `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint,omitempty"` // path of a file, with slashes; key of a record
	Data []byte `cbor:"3,keyasint,omitempty"`
}

// Writer writes an archive.
type Writer struct {
	w    io.Writer
	head []byte
}

// NewWriter begins an archive.
func NewWriter(w io.Writer, h Head) (*Writer, error) {
	if _, err := io.WriteString(w, magic); err != nil {
		return nil, err
	}
	a := &Writer{w, cbor.MustMarshal(h)}
	return a, a.put(Item{kindHead, h.Role, a.head})
}

// Put adds a file or a record.
func (a *Writer) Put(i Item) error {
	if err := i.check(); err != nil {
		return err
	}
	return a.put(i)
}

// Close ends the archive; without it nobody reads it.
func (a *Writer) Close() error { return a.put(Item{Kind: kindEnd, Data: a.head}) }

func (a *Writer) put(i Item) error {
	data := cbor.MustMarshal(i)
	if len(data) > maxItem {
		return fmt.Errorf("%q is too large for a backup", i.Name)
	}
	_, err := a.w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
	return err
}

// Reader reads an archive.
type Reader struct {
	r    io.Reader
	head Head
	raw  []byte
	done bool
}

// NewReader reads the head.
func NewReader(r io.Reader) (*Reader, error) {
	line := make([]byte, len(magic))
	if _, err := io.ReadFull(r, line); err != nil || string(line) != magic {
		return nil, notWhole(err)
	}
	a := &Reader{r: r}
	i, err := a.item()
	if err != nil {
		return nil, err
	}
	if i.Kind != kindHead || cbor.Unmarshal(i.Data, &a.head) != nil {
		return nil, ErrFormat
	}
	a.head.Role, a.raw = i.Name, i.Data
	return a, nil
}

// Head returns what the archive is of.
func (a *Reader) Head() Head { return a.head }

// Next returns the next file or record, and [io.EOF] after the last of a whole
// archive.
func (a *Reader) Next() (Item, error) {
	if a.done {
		return Item{}, io.EOF
	}
	i, err := a.item()
	if err != nil {
		return Item{}, err
	}
	if i.Kind == kindEnd && i.Name == "" && string(i.Data) == string(a.raw) {
		a.done = true
		if n, _ := a.r.Read(make([]byte, 1)); n > 0 {
			return Item{}, ErrFormat // more after the end
		}
		return Item{}, io.EOF
	}
	return i, i.check()
}

func (a *Reader) item() (i Item, err error) {
	var size [4]byte
	if _, err := io.ReadFull(a.r, size[:]); err != nil {
		return i, notWhole(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxItem {
		return i, ErrFormat
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(a.r, data); err != nil {
		return i, notWhole(err)
	}
	if cbor.Unmarshal(data, &i) != nil {
		return i, ErrFormat
	}
	return i, nil
}

func notWhole(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrFormat
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// check refuses a path that leads out of the folder, and unusable keys.
func (i Item) check() error {
	switch i.Kind {
	case File:
		if i.Name == "" || len(i.Name) > maxPath || path.Clean(i.Name) != i.Name || path.IsAbs(i.Name) ||
			i.Name == "." || i.Name == ".." || strings.HasPrefix(i.Name, "../") || strings.ContainsAny(i.Name, "\\:\x00") {
			return fmt.Errorf("%w: %q is no path of a file in it", ErrFormat, i.Name)
		}
		return nil
	case Record:
		return store.CheckKey(i.Name)
	}
	return ErrFormat
}

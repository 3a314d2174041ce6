package access

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Reader follows the list. It is not safe for concurrent use.
type Reader struct {
	dir   string
	files map[string]read // by name
}

// read is a file as it was when it was last read.
type read struct {
	info  fs.FileInfo
	entry Entry
	err   error
}

// NewReader follows the list in a data folder, which need not have one yet.
func NewReader(data string) *Reader { return &Reader{dir: filepath.Join(data, folder)} }

// Read returns the list, in the order of the ids, and whether it is another than
// the last time; the first one is. Only files that changed are read. A file that
// is no entry opens nothing and is told as an error, beside the others.
func (r *Reader) Read() (entries []Entry, changed bool, err error) {
	list, err := os.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	now := make(map[string]read, len(list))
	changed = r.files == nil
	err = nil
	for _, file := range list {
		name := file.Name()
		if !strings.HasSuffix(name, suffix) {
			continue
		}
		f, again := r.look(name)
		if f.info == nil {
			continue // it was taken away meanwhile
		}
		changed = changed || again
		now[name] = f
	}
	changed = changed || len(now) != len(r.files)
	r.files = now
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if f := now[name]; f.err != nil {
			err = errors.Join(err, f.err)
		} else {
			entries = append(entries, f.entry)
		}
	}
	return entries, changed, err
}

// look reads a file unless it is the one from the last time. Writing replaces
// the file, so a changed one is another.
func (r *Reader) look(name string) (f read, again bool) {
	path := filepath.Join(r.dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return read{}, true
	}
	old, known := r.files[name]
	if known && os.SameFile(old.info, info) && old.info.ModTime().Equal(info.ModTime()) && old.info.Size() == info.Size() {
		return old, false
	}
	f.info = info
	text, err := os.ReadFile(path)
	if err != nil {
		f.err = err
		return f, true
	}
	f.entry, f.err = parse(name, text)
	return f, true
}

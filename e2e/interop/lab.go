package main

import (
	"bytes"
	"os"
)

// lab is what one case has started. It ends with the case.
type lab struct {
	tools
	failed    bool         // the case has
	blockSize int          // of our lamps' blocks; 0: the default
	log       bytes.Buffer // the peers' standard error
	ends      []func()
}

// later has f called at the end of the case, the last one first.
func (l *lab) later(f func()) { l.ends = append(l.ends, f) }

// close ends everything and returns what the peers wrote to standard error.
func (l *lab) close() []byte {
	for i := len(l.ends) - 1; i >= 0; i-- {
		l.ends[i]()
	}
	return l.log.Bytes()
}

// folder makes a folder for what a peer stores.
func (l *lab) folder() (string, error) {
	dir, err := os.MkdirTemp("", "lamplighter-interop-")
	if err != nil {
		return "", err
	}
	l.later(func() { _ = os.RemoveAll(dir) })
	return dir, nil
}

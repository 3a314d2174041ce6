package main

import (
	"context"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"lamplighter/bridge/access"
	"lamplighter/bridge/proxy"
)

// followAccess is how often the bridge looks whether somebody was let in or
// revoked.
const followAccess = time.Second

// door holds a bridge to the list of who may use it. The list is written by the
// Authorization Server's process, which may be another.
type door struct {
	logger *slog.Logger

	mu     sync.Mutex
	reader *access.Reader
	let    func([]proxy.Access) // nil until the bridge is there
	told   string               // the last error, to log it once
}

// list reads who may use the bridge, and whether that has changed: what cannot
// be read has not.
func (d *door) list() (list []proxy.Access, changed bool) {
	entries, changed, err := d.reader.Read()
	switch {
	case err == nil:
		d.told = ""
	case err.Error() != d.told:
		d.told = err.Error()
		d.logger.Error("reading who may use the bridge", "err", err)
	}
	for _, e := range entries {
		a := proxy.Access{Revoked: e.Revoked != 0}
		if _, err := hex.Decode(a.Hash[:], []byte(e.Hash)); err != nil {
			continue // the reader lets none through
		}
		if e.Expires != 0 {
			a.Expires = time.Unix(e.Expires, 0)
		}
		list = append(list, a)
	}
	return list, changed
}

// look brings the bridge up to date.
func (d *door) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if list, changed := d.list(); changed && d.let != nil {
		d.let(list)
	}
}

// follow looks again and again until ctx ends.
func (d *door) follow(ctx context.Context) {
	every := time.NewTicker(followAccess)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			d.look()
		}
	}
}

//go:build !js

package endpoint

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/pion/dtls/v3"

	"lamplighter/internal/coap"
)

// accepted is a session at its server.
type accepted struct {
	DTLSSession
	identity atomic.Pointer[coap.Identity] // set when the library asks for the key
	cancel   context.CancelFunc            // ends the handshake
}

// begin prepares a session and starts its handshake.
func (d *DTLS) begin(from netip.AddrPort, random [helloRandomLen]byte) (*accepted, error) {
	s := &accepted{}
	s.to, s.random = from, random
	s.pipe = newPipe(from, d.conn.LocalAddr(), func(b []byte) error {
		if d.opts.Record != nil {
			d.opts.Record(true, from, b)
		}
		_, err := d.conn.WriteToUDPAddrPort(b, from)
		return err
	})
	ctx, cancel := context.WithTimeout(d.ctx, d.opts.Handshake)
	s.cancel = cancel
	var settings []dtls.ServerOption
	for _, o := range d.opts.library(func(identity []byte) ([]byte, error) { return d.key(ctx, s, identity) }) {
		settings = append(settings, o)
	}
	var err error
	if s.conn, err = dtls.ServerWithOptions(s.pipe, s.pipe.peer, settings...); err != nil {
		cancel()
		return nil, err
	}
	s.init(d.opts, d.handler, d.slots)
	d.wg.Go(func() { d.run(ctx, s) })
	return s, nil
}

// key answers the library's question for the pre-shared key.
func (d *DTLS) key(ctx context.Context, s *accepted, identity []byte) ([]byte, error) {
	found, err := d.ids.Identify(ctx, identity)
	if err == nil && len(found.Key) == 0 {
		err = errors.New("a pre-shared key without bytes")
	}
	if err != nil {
		if errors.Is(err, coap.ErrIdentity) {
			s.pipe.refuse()
		}
		return nil, err
	}
	s.identity.Store(found)
	return found.Key, nil
}

// run is the life of a session.
func (d *DTLS) run(ctx context.Context, s *accepted) {
	defer s.ex.wg.Wait()
	defer s.Close()
	err := s.conn.HandshakeContext(ctx)
	id := s.identity.Load()
	if err == nil && id == nil {
		err = coap.ErrIdentity
	}
	if err == nil {
		s.pipe.establish()
		s.ex.peer, err = id.Begin(ctx, s)
	}
	if err != nil {
		d.opts.Logger.Debug("a DTLS handshake failed", "peer", s.to, "err", err)
		d.mu.Lock()
		d.forget(s)
		d.mu.Unlock()
		return
	}
	if id.Ended != nil {
		defer id.Ended(s)
	}
	d.establish(s)
	s.serve()
	d.mu.Lock()
	d.forget(s)
	d.mu.Unlock()
}

// establish puts a session in its place. The one it replaces ends, and so does the
// one that was idle for longest when there are too many.
func (d *DTLS) establish(s *accepted) {
	var gone []*accepted
	d.mu.Lock()
	d.shaking = slices.DeleteFunc(d.shaking, func(o *accepted) bool { return o == s })
	p := d.places[s.to]
	switch {
	case p == nil, d.ctx.Err() != nil: // it was given up at the last moment
		gone = append(gone, s)
	case p.next == s:
		gone = append(gone, p.current)
		d.forget(p.current)
	case p.current != s:
		gone = append(gone, s)
	}
	if len(d.sessions) >= d.opts.Sessions {
		oldest := slices.MinFunc(d.sessions, func(a, b *accepted) int { return int(a.active.Load() - b.active.Load()) })
		gone = append(gone, oldest)
		d.forget(oldest)
	}
	d.sessions = append(d.sessions, s)
	d.mu.Unlock()
	for _, o := range gone {
		_ = o.Close()
	}
}

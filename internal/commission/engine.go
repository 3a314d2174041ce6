package commission

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lamplighter/internal/store"
)

// Engine is the installer's engine. It is safe for concurrent use.
type Engine struct {
	cfg    Config
	wire   *wire
	pub    *publisher
	nonces *nonceLog

	life context.Context // from Start to Close
	stop context.CancelFunc

	moving sync.Mutex // held while another site becomes the current one

	mu      sync.Mutex
	cur     *site // nil: none yet
	link    Link
	revoked bool          // the bridge ended the access of the current site
	back    chan struct{} // closed while the link is up
	log     []Entry       // newest last
}

// keyCurrent holds the name of the site that is shown; the keys of a site begin
// with its name, so that a browser keeps what it has when another invitation is
// opened.
const keyCurrent = "current"

// New makes an engine. Nothing happens before [Engine.Start].
func New(cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		cfg:  cfg,
		wire: newWire(&cfg),
		pub:  newPublisher(cfg.Events),
		link: Link{Up: true},
		back: closed(),
	}
	if cfg.Record {
		e.nonces = startNonceLog()
	}
	return e, nil
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Start loads the state and goes on with unfinished jobs until ctx ends or Close.
func (e *Engine) Start(ctx context.Context) error {
	e.life, e.stop = context.WithCancel(ctx)
	var name []byte
	err := e.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		name, err = tx.Get(keyCurrent)
		return err
	})
	if err != nil {
		return fmt.Errorf("loading the state: %w", err)
	}
	if name != nil {
		if err := e.enter(ctx, string(name)); err != nil {
			return fmt.Errorf("loading the state: %w", err)
		}
	}
	e.pub.tellAll(e.snapshotEvent)
	e.pub.flush()
	return nil
}

// Close stops all work and waits for it. What is durable goes on at the next
// Start.
func (e *Engine) Close() {
	if e.stop == nil {
		return
	}
	e.stop()
	if s := e.current(); s != nil {
		s.leave()
	}
	e.pub.flush()
	e.nonces.stop()
}

// enter makes the site of that name the current one and resumes its work.
func (e *Engine) enter(ctx context.Context, name string) error {
	e.moving.Lock()
	defer e.moving.Unlock()
	if old := e.current(); old != nil {
		if old.name == name {
			return nil
		}
		old.leave()
	}
	s, err := loadSite(ctx, e, name)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.cur = s
	e.mu.Unlock()
	s.resume()
	return nil
}

func (e *Engine) current() *site {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cur
}

// site returns the current site, enrolled.
func (e *Engine) site() (*site, error) {
	s := e.current()
	if s == nil || !s.record().enrolled() {
		return nil, errNoSite
	}
	return s, nil
}

// SetLink tells the engine how the way to the bridge is. A reason is a sentence
// with the next step. Drivers without a bridge need not call it.
func (e *Engine) SetLink(up bool, rtt time.Duration, reason string) {
	e.mu.Lock()
	was := e.link.Up
	e.link = Link{Up: up, RTT: milliseconds(rtt), Reason: reason}
	if e.revoked && !up {
		e.link.Reason, e.link.Revoked = errRevoked.Error(), true
	}
	switch {
	case up && !was:
		close(e.back)
	case !up && was:
		e.back = make(chan struct{})
	}
	e.mu.Unlock()
	e.pub.touch("link", func() (Event, bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		link := e.link
		return Event{Type: "link", Link: &link}, true
	})
	if was != up {
		if s := e.current(); s != nil {
			s.touchJobs() // running or waiting
		}
	}
}

// linkUp reports the link, and what is closed when it is up.
func (e *Engine) linkUp() (bool, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.Up, e.back
}

// Snapshot is the whole state.
func (e *Engine) Snapshot() Snapshot {
	e.mu.Lock()
	snap := Snapshot{Link: e.link, Version: e.cfg.Version, Log: newestFirst(e.log), Devices: []Device{}, Groups: []Group{}, Jobs: []Job{}, Rollouts: []Rollout{}, Settings: []SettingsRun{}}
	s := e.cur
	e.mu.Unlock()
	if s != nil {
		s.fill(&snap)
	}
	return snap
}

func (e *Engine) snapshotEvent() Event {
	snap := e.Snapshot()
	return Event{Type: "snapshot", Snapshot: &snap}
}

// now is the time as the schema has it.
func (e *Engine) now() int64 { return e.cfg.Now().UnixMilli() }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// sleep waits, and reports false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Package trl is the resource server's side of revocation: it watches the token
// revocation list of its Authorization Server (RFC 9770) and that server's list of
// revoked people (docs/servers.md), by Observe and from time to time by asking,
// over the session of [ace.RSSession].
//
// It always hands over whole lists, fetched block by block (RFC 7959) where they are
// long: diff queries are for clients that cannot afford them.
package trl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

// Config says what to watch. AS, Revoked and Actors are required.
type Config struct {
	AS coap.Watcher // the Authorization Server, over the session of [ace.RSSession]

	// Revoked and Actors take a whole list: the hashes of the revoked tokens of this
	// resource server, and the ids of the people whose access was revoked. What was
	// in an earlier list and is missing has expired, or was let in again. An error
	// makes the same list come again.
	Revoked func(ctx context.Context, hashes [][]byte) error
	Actors  func(ctx context.Context, ids []string) error

	Every  time.Duration // how often to ask although nothing was told, default 5 minutes
	Retry  time.Duration // after the first failure, default a second; it doubles up to Every
	Logger *slog.Logger  // nil: silent
}

const (
	defaultEvery = 5 * time.Minute
	defaultRetry = time.Second

	leastPatience = time.Second
	maxActors     = 1 << 16
	maxList       = 4 << 20 // bytes
	blockSize     = 1024    // bytes
)

// ErrDecode says that an answer is not a list.
var ErrDecode = errors.New("the Authorization Server's answer is not a list")

// Watch watches until ctx ends. The Authorization Server may come and go.
func Watch(ctx context.Context, cfg Config) {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Retry <= 0 {
		cfg.Retry = defaultRetry
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx = coap.WithBlocks(ctx)
	// Requests here have no body, so that no Request-Tag is ever drawn.
	blocks := coap.NewBlockCaller(cfg.AS, coap.BlockLimits{Size: blockSize, MaxBody: maxList}, bytes.NewReader(nil))
	var lists sync.WaitGroup
	lists.Go(func() { (&list{cfg, blocks, "/revoke/trl", cfg.revoked}).watch(ctx) })
	lists.Go(func() { (&list{cfg, blocks, "/revoke/actors", cfg.actors}).watch(ctx) })
	lists.Wait()
}

func (c *Config) revoked(ctx context.Context, m *coap.Message) error {
	if format, _ := coap.ContentFormat(m); format != ace.FormatACETRL {
		return fmt.Errorf("%w: format %d", ErrDecode, format)
	}
	l, err := ace.Decode[ace.TRL](m.Payload)
	if err != nil || l.Full == nil {
		return fmt.Errorf("%w: no full set", ErrDecode)
	}
	return c.Revoked(ctx, l.Full)
}

func (c *Config) actors(ctx context.Context, m *coap.Message) error {
	ids, err := decodeActors(m.Payload)
	if err != nil {
		return err
	}
	return c.Actors(ctx, ids)
}

// decodeActors reads the list of revoked people.
//
//	actors = [* id: tstr]
func decodeActors(data []byte) ([]string, error) {
	ids := []string{}
	if err := cbor.Unmarshal(data, &ids); err != nil || ids == nil || len(ids) > maxActors {
		return nil, fmt.Errorf("%w: people", ErrDecode)
	}
	return ids, nil
}

// list is one list that is watched.
type list struct {
	Config
	blocks *coap.BlockCaller
	path   string
	apply  func(context.Context, *coap.Message) error
}

// watch registers again and again, with a pause that grows while it fails.
func (l *list) watch(ctx context.Context) {
	pause := l.Retry
	for ctx.Err() == nil {
		heard, err := l.observe(ctx)
		if heard {
			pause = l.Retry
		}
		if ctx.Err() != nil {
			return
		}
		l.Logger.Warn("cannot watch the Authorization Server", "list", l.path, "pause", pause, "err", err)
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, l.Every)
	}
}

// notice is what an observation brings.
type notice struct {
	m   *coap.Message
	err error
}

// observe watches over one registration. heard is true when a list came and was
// taken.
func (l *list) observe(parent context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	stuck := time.AfterFunc(l.patience(), cancel)
	news := make(chan notice, 1)
	o, err := l.AS.Observe(ctx, l.request(), func(m *coap.Message, err error) {
		select { // only the newest counts
		case <-news:
		default:
		}
		news <- notice{m, err}
	})
	if err != nil {
		return false, err
	}
	defer o.Close()
	stuck.Stop()
	every := time.NewTicker(l.Every)
	defer every.Stop()
	silent := time.NewTimer(l.patience()) // runs while an answer is due
	defer silent.Stop()
	for due := true; ; {
		select {
		case <-ctx.Done():
			return heard, ctx.Err()
		case <-silent.C:
			return heard, errSilent
		case <-every.C:
			if !due {
				due = true
				silent.Reset(l.patience())
			}
			if err := o.Again(l.request()); err != nil {
				return heard, err
			}
		case n := <-news:
			due = false
			silent.Stop()
			last, err := l.take(ctx, n)
			if err != nil {
				return heard, err
			}
			heard = true
			if last {
				return heard, l.poll(ctx)
			}
		}
	}
}

// take applies what came. last is true when nobody upholds the registration.
func (l *list) take(ctx context.Context, n notice) (last bool, err error) {
	switch {
	case n.err != nil:
		return false, n.err
	case n.m.Code != coap.Content:
		return false, fmt.Errorf("%w: %s", ErrDecode, coap.CodeString(n.m.Code))
	}
	ctx, cancel := context.WithTimeout(ctx, l.patience())
	defer cancel()
	whole, _, err := l.blocks.Rest(ctx, coap.NewRequest(coap.GET, l.path, nil), n.m)
	if err != nil {
		return false, err
	}
	return !coap.HasOption(n.m, coap.OptionObserve), l.apply(ctx, whole)
}

// poll asks in place of a registration, which the server has no room for, and
// returns after one round to try that again.
func (l *list) poll(ctx context.Context) error {
	if !sleep(ctx, l.Every) {
		return ctx.Err()
	}
	req := l.request()
	coap.RemoveOption(req, coap.OptionObserve)
	short, cancel := context.WithTimeout(ctx, l.patience())
	defer cancel()
	m, err := l.AS.Call(short, req)
	if err != nil {
		return err
	}
	if _, err := l.take(ctx, notice{m: m}); err != nil {
		return err
	}
	return errNoRoom
}

var (
	errNoRoom = errors.New("it has no room for another observer")
	errSilent = errors.New("it does not answer")
)

// patience is how long an answer may take: a server that has acknowledged a request
// and then starts anew never gives one.
func (c *Config) patience() time.Duration { return max(c.Every, leastPatience) }

func (l *list) request() *coap.Message {
	req := coap.NewRequest(coap.GET, l.path, nil)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	coap.AddOption(req, coap.OptionBlock2, coap.Block{Size: blockSize}.Encode())
	return req
}

// sleep waits; it returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

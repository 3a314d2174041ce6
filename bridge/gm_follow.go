package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/oscore"
	"lamplighter/internal/trl"
)

// Revocations come at once while the Authorization Server knows who watches. It
// forgets that when it starts again, and so is asked this often as well.
const defaultFollowEvery = 15 * time.Second

// following is what a Group Manager was told of revocations.
type following struct {
	as netip.AddrPort

	mu     sync.Mutex
	tokens heardList
	people heardList
}

// heardList is how much a list held, and when it came.
type heardList struct {
	at     time.Time // zero: never
	length int
}

// followStatus is following as the operator sees it.
type followStatus struct {
	AS     string `json:"as"`
	Heard  int64  `json:"heard,omitempty"` // seconds since 1970, of the older of both lists; 0: not yet
	Tokens int    `json:"tokens"`          // revoked tokens that have not expired
	People int    `json:"people"`          // revoked people
}

// follow has the Group Manager follow the revocations of an Authorization Server
// until endFollow is called. Either may be stopped and started.
func (r *gmRole) follow(ctx context.Context, o gmOptions, key ace.TokenKey) {
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	r.endFollow = func() { cancel(); <-ended }
	r.follows = &following{as: o.as}
	session := oscore.NewPSKClient(ace.RSSession(key, gmName), r.udp, o.as, rand.Reader)
	go func() {
		defer close(ended)
		trl.Watch(watching, trl.Config{
			AS: session, Every: cmp.Or(o.followEvery, defaultFollowEvery), Logger: o.logger,
			Revoked: func(ctx context.Context, hashes [][]byte) error {
				return r.follows.heard(&r.follows.tokens, len(hashes), r.server.Revoked(ctx, hashes))
			},
			Actors: func(ctx context.Context, ids []string) error {
				return r.follows.heard(&r.follows.people, len(ids), r.server.Bar(ctx, ids))
			},
		})
	}()
}

// heard notes a list that was applied, or not.
func (f *following) heard(l *heardList, length int, err error) error {
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	*l = heardList{at: time.Now(), length: length}
	return nil
}

func (f *following) status() *followStatus {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &followStatus{AS: f.as.String(), Tokens: f.tokens.length, People: f.people.length}
	if first := f.tokens.at; !first.IsZero() && !f.people.at.IsZero() {
		if f.people.at.Before(first) {
			first = f.people.at
		}
		s.Heard = first.Unix()
	}
	return s
}

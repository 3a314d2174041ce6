package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

var errDead = errors.New("the power is off")

// crashing is a store whose device loses power at one of its writes: just
// before it is durable, or just after.
type crashing struct {
	store.Store
	mu     sync.Mutex
	writes int // until the power fails
	after  bool
	dead   bool
}

func (c *crashing) View(ctx context.Context, fn func(store.Tx) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return errDead
	}
	return c.Store.View(ctx, fn)
}

func (c *crashing) Update(ctx context.Context, fn func(store.Tx) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return errDead
	}
	c.writes--
	c.dead = c.writes == 0
	if c.dead && !c.after {
		return errDead
	}
	err := c.Store.Update(ctx, fn)
	if c.dead {
		return errDead
	}
	return err
}

func (c *crashing) isDead() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.dead }

// powered is the handler of a device that is silent when its power is off.
func (w *world) powered(c *crashing) {
	lamp := w.lamp.Handler()
	w.net.Attach(lampAddr, coap.HandlerFunc(func(ctx context.Context, req *coap.Request) *coap.Message {
		resp := lamp.Serve(ctx, req)
		if c.isDead() {
			return nil
		}
		return resp
	}))
}

// commission brings the lamp into the hall and switches it on, going on where
// an earlier try ended.
func (in *installer) commission() error {
	var id idAnswer
	if err := do(plain{in}, coap.GET, "/ll/id", nil, &id); err != nil {
		return err
	}
	if id.Claimed == 0 {
		if err := in.claim(); err != nil {
			return err
		}
	}
	owner := in.ownerSession()
	var groups []groupAnswer
	if err := do(owner, coap.GET, "/ll/groups", nil, &groups); err != nil {
		return err
	}
	if len(groups) == 0 {
		if err := in.assist(); err != nil {
			return err
		}
	}
	in.refresh()
	_, err := in.light(on(true))
	return err
}

// A device that loses power at any write of its claim, join and first command
// ends, after a retry, in the group once.
func TestPowerFailure(t *testing.T) {
	eachWrite(t, func(t *testing.T, w *world, in *installer, retry func(func() error)) {
		retry(in.commission)
		checkJoined(t, w, 2)
	})
}

// The same for what a member goes through later: a stranger's first command, new
// keys, a new Sender ID, a join once more.
func TestPowerFailureOfMember(t *testing.T) {
	eachWrite(t, func(t *testing.T, w *world, in *installer, retry func(func() error)) {
		retry(in.commission)
		bert := w.installer("bert", 2)
		bert.self(ace.RoleRequester)
		bert.refresh()
		retry(func() error { _, err := bert.light(on(false)); return err })
		if err := bert.member.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		in.refresh()
		retry(func() error { _, err := in.light(on(true)); return err })
		retry(func() error { return in.assist() })
		in.refresh()
		retry(func() error { _, err := in.light(on(true)); return err })
		checkJoined(t, w, 2)
	})
}

// And for a release: the lamp is nowhere, and can be claimed and joined again.
func TestPowerFailureOfRelease(t *testing.T) {
	eachWrite(t, func(t *testing.T, w *world, in *installer, retry func(func() error)) {
		retry(in.commission)
		retry(func() error {
			var id idAnswer
			if err := do(plain{in}, coap.GET, "/ll/id", nil, &id); err != nil || id.Claimed == 0 {
				return err
			}
			return do(in.ownerSession(), coap.DELETE, "/ll/claim", nil, nil)
		})
		if s := w.lamp.State(); s.Claimed || len(s.Groups) != 0 || len(w.members()) != 1 {
			t.Errorf("%+v, members %v", s, w.members())
		}
		in.refresh()
		retry(in.commission)
		checkJoined(t, w, 2)
	})
}

// eachWrite runs the life of a lamp once for each of its writes and fails the
// power there. retry runs a step, and once more after a power failure in it.
func eachWrite(t *testing.T, life func(t *testing.T, w *world, in *installer, retry func(func() error))) {
	for _, after := range []bool{false, true} {
		for n, crashed := 1, true; crashed && !t.Failed(); n++ {
			t.Run(fmt.Sprintf("after=%v/%d", after, n), func(t *testing.T) {
				inner := store.NewMemory()
				failing := &crashing{Store: inner, writes: n + 1, after: after} // the first makes the key
				w := newWorld(t, func(c *Config) { c.Store = failing })
				w.powered(failing)
				in := w.installer("anna", 1)
				in.self(ace.RoleRequester)
				booted := false
				life(t, w, in, func(step func() error) {
					t.Helper()
					err := step()
					if failing.isDead() && !booted {
						booted = true
						w.cfg.Store = inner
						w.boot()
						err = step()
					}
					if err != nil {
						t.Fatal(err)
					}
				})
				crashed = booted
			})
		}
	}
}

func checkJoined(t *testing.T, w *world, members int) {
	t.Helper()
	if m := w.members(); len(m) != members || string(m[lampSubject].Credential) != string(w.lamp.Credential()) {
		t.Errorf("members %v", m)
	}
	if s := w.lamp.State(); !s.Light.On || len(s.Groups) != 1 || !s.Groups[0].InSync {
		t.Errorf("state %+v", s)
	}
}

// And for what others tell it: new keys, a gap, another list of commissioners, its
// eviction. What it has answered with a success it knows after the reboot.
func TestPowerFailureOfTold(t *testing.T) {
	eachWrite(t, func(t *testing.T, w *world, in *installer, retry func(func() error)) {
		retry(in.commission)
		c := w.control()
		next := w.rekeyed(in)
		retry(func() error { return c.tell(node, rekeying(next)) })
		if n := w.num("hall"); n != next.Num {
			t.Errorf("version %d, want %d", n, next.Num)
		}
		w.rekeyed(in)
		last := w.rekeyed(in)
		retry(func() error { return c.tell(node, rekeying(last)) })
		if n := w.num("hall"); n != last.Num {
			t.Errorf("version %d after a gap, want %d", n, last.Num)
		}
		bert := credOf("bert", key(2))
		retry(func() error { return in.list(2, commissioner{in.cred, allRights}, commissioner{bert, rightManage}) })
		if n := w.lamp.commissioners.Version; n != 2 {
			t.Errorf("the list of commissioners has version %d", n)
		}
		retry(func() error { _, err := in.light(on(true)); return err })
		retry(func() error {
			err := c.send(coap.NewRequest(coap.DELETE, node, nil))
			if err != nil && len(w.lamp.State().Gone) == 1 {
				err = nil // it was evicted, and could not say so any more
			}
			return err
		})
		if s := w.lamp.State(); len(s.Groups) != 0 || len(s.Gone) != 1 || !s.Light.On {
			t.Errorf("%+v", s)
		}
	})
}

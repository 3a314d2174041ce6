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
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			crashed := false
			t.Run(fmt.Sprintf("after=%v/%d", after, n), func(t *testing.T) { crashed = powerFails(t, n, after) })
			if !crashed || t.Failed() {
				break
			}
			if n > 200 {
				t.Fatal("it never ends")
			}
		}
	}
}

func powerFails(t *testing.T, n int, after bool) (crashed bool) {
	inner := store.NewMemory()
	failing := &crashing{Store: inner, writes: n + 1, after: after} // the first makes the key
	w := newWorld(t, func(c *Config) { c.Store = failing })
	w.powered(failing)
	in := w.installer("anna", 1)
	in.self(ace.RoleRequester)
	label := w.lamp.Label()
	err := in.commission()
	if crashed = failing.isDead(); crashed {
		w.cfg.Store = inner
		w.boot()
		if err = in.commission(); err != nil {
			t.Fatalf("the retry: %v", err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if m := w.members(); len(m) != 2 || string(m[lampSubject].Credential) != string(w.lamp.Credential()) {
		t.Errorf("members %v", m)
	}
	if s := w.lamp.State(); !s.Light.On || !s.Groups[0].InSync || len(s.Groups) != 1 {
		t.Errorf("state %+v", s)
	}
	if !label.Matches(w.lamp.Credential()) {
		t.Error("the label is another")
	}
	return crashed
}

package fleet

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/sim"
)

func make10(t *testing.T, c Config) *Fleet {
	t.Helper()
	c.N = 10
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Everybody answers the group, each under its own name, and a single device is called.
func TestGroup(t *testing.T) {
	f := make10(t, Config{Seed: 1, Rate: 50_000, Parallel: 2})
	g := f.Group()
	heard := map[string]bool{}
	err := g.Ask(t.Context(), coap.NewRequest(coap.GET, "/light", nil), time.Minute, func(a groupcomm.Answer) {
		if a.Resp.Code != coap.Content || a.Size == 0 || heard[a.Device] {
			t.Errorf("%+v", a)
		}
		heard[a.Device] = true
	})
	if err != nil || len(heard) != 10 {
		t.Fatalf("%d answered, %v", len(heard), err)
	}
	if passed := f.Clock.Now().Sub(start); passed > time.Second || passed <= 0 {
		t.Errorf("%v passed though all had answered", passed)
	}
	a, err := g.Call(t.Context(), f.Devices[3].ID, coap.NewRequest(coap.GET, "/light", nil))
	if err != nil || a.Device != f.Devices[3].ID || a.Resp.Code != coap.Content {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := g.Call(t.Context(), "nobody", coap.NewRequest(coap.GET, "/light", nil)); !errors.Is(err, groupcomm.ErrGone) {
		t.Error(err)
	}
	f.Devices[3].Power(false)
	if _, err := g.Call(t.Context(), f.Devices[3].ID, coap.NewRequest(coap.GET, "/light", nil)); !errors.Is(err, coap.ErrTimeout) {
		t.Error(err)
	}
}

// A challenge is met, and what wants no answer gets none.
func TestEcho(t *testing.T) {
	f := make10(t, Config{Seed: 2, EchoFirst: true})
	if a, err := f.Group().Call(t.Context(), f.Devices[0].ID, coap.NewRequest(coap.GET, "/light", nil)); err != nil || a.Resp.Code != coap.Content {
		t.Errorf("%+v, %v", a, err)
	}
	f = make10(t, Config{Seed: 2})
	if n, err := f.Group().Send(t.Context(), coap.NewRequest(coap.GET, "/light", nil), 3); err != nil || n == 0 {
		t.Errorf("%d, %v", n, err)
	}
	if c := f.Net.Counters(); c.Group.Datagrams != 3 || c.Response.Datagrams != 0 {
		t.Errorf("%+v", c)
	}
}

// An image goes to one device block by block over a link that loses a fifth.
func TestBlockWise(t *testing.T) {
	f := make10(t, Config{Seed: 3, Rate: 50_000, Link: func(int) sim.Link { return sim.Link{Loss: 0.2} }})
	body := bytes.Repeat([]byte("image "), 5000)
	if err := f.Unicast(context.Background(), f.Devices[0], body); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(f.Devices[0].body, body) {
		t.Error("it did not arrive")
	}
}

// Sharing the verdict on a signature changes no verdict.
func TestVerifier(t *testing.T) {
	f := make10(t, Config{Seed: 4, ShareVerify: true})
	key, message := f.key(), []byte("message")
	sig, err := key.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !f.verify.check(key.Public(), message, sig) {
			t.Error("a good signature is refused")
		}
		if f.verify.check(key.Public(), []byte("messagE"), sig) || f.verify.check(f.key().Public(), message, sig) {
			t.Error("a wrong one is accepted")
		}
	}
}

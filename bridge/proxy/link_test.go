package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// The bridge goes away in the middle and comes back: the link does too, and
// nobody has to sign in again.
func TestLinkComesBack(t *testing.T) {
	key := make([]byte, 32)
	s := newSite(t, func(c *Config) { c.SessionKey = key })
	lamp := device(t, endpoint.UDPOptions{}, "127.1.0.1:0", echo)
	token := s.token(t)
	var mu sync.Mutex
	var states []endpoint.LinkState
	link := endpoint.NewLink(func(ctx context.Context) (*endpoint.WS, error) {
		return endpoint.DialExplained(ctx, s.web.URL, endpoint.WSOptions{Token: token})
	}, func(st endpoint.LinkState) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, st)
	})
	defer link.Close()
	ask := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		m, err := link.Exchange(ctx, lamp, coap.NewRequest(coap.POST, "/", []byte("x")))
		if err == nil && string(m.Payload) != "x" {
			t.Error(m)
		}
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if st := link.State(); !st.Up || st.RTT <= 0 {
		t.Error(st)
	}
	addr := s.web.Listener.Addr().String()
	_ = s.Close()
	s.web.Close()
	short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := link.Exchange(short, lamp, coap.NewRequest(coap.GET, "/", nil)); !errors.Is(err, coap.ErrLink) {
		t.Error("the bridge is gone:", err)
	}
	again := newSite(t, func(c *Config) { c.SessionKey = key })
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: again.Server}
	defer server.Close()
	go func() { _ = server.Serve(listener) }()
	link.Kick()
	if err := ask(); err != nil {
		t.Fatal("the bridge is back:", err)
	}
	again.SetAccess(nil)
	_ = again.Close()
	for range 50 {
		if errors.Is(link.State().Reason, endpoint.ErrSignedOut) {
			break
		}
		link.Kick()
		time.Sleep(50 * time.Millisecond)
	}
	if st := link.State(); st.Up || !errors.Is(st.Reason, endpoint.ErrSignedOut) {
		t.Error("the code was taken away:", st)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(states) < 4 || !states[0].Up {
		t.Error(states)
	}
}

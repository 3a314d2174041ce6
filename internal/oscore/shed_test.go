package oscore

import (
	"crypto/rand"
	"errors"
	"runtime"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// A context that was shed opens nothing; as long as somebody answers under it, it
// is found again as it was, and is otherwise gone for good.
func TestShed(t *testing.T) {
	s := NewServer(rand.Reader)
	cc, sc := newPair(t)
	s.Add("a", nil, sc)
	req, _, err := cc.ProtectRequest(coap.NewRequest(coap.POST, "/x", []byte("1")))
	if err != nil {
		t.Fatal(err)
	}
	opened, _, err := s.Open(t.Context(), &coap.Request{Message: req})
	if err != nil {
		t.Fatal(err)
	}
	s.Shed("a")
	s.Shed("a")
	s.Shed("nobody")
	if s.Len() != 0 {
		t.Errorf("%d contexts", s.Len())
	}
	if _, _, err := s.Open(t.Context(), &coap.Request{Message: req}); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("shed: %v", err)
	}
	runtime.GC()
	if !s.Revive("a") || !s.Revive("a") || s.Revive("nobody") || s.Len() != 1 {
		t.Error("a context that is in use was not found again")
	}
	if _, _, err := s.Open(t.Context(), &coap.Request{Message: req}); !errors.Is(err, ErrReplay) {
		t.Errorf("its window was lost: %v", err)
	}
	s.Shed("a")
	if _, err := opened.Seal(coap.Respond(coap.Content, coap.NoFormat, nil)); err != nil {
		t.Errorf("answering under a context that was shed: %v", err)
	}
	runtime.KeepAlive(opened)
	opened = nil
	for range 100 {
		runtime.GC()
		s.mu.Lock()
		n := len(s.shed)
		s.mu.Unlock()
		if n == 0 {
			if s.Revive("a") {
				t.Error("what nobody holds came back")
			}
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("what nobody holds is still listed")
}

// Removing ends also what was shed: observations under it get nothing more.
func TestRemoveWhatWasShed(t *testing.T) {
	s := NewServer(rand.Reader)
	cc, sc := newPair(t)
	s.Add("a", nil, sc)
	register := coap.NewRequest(coap.GET, "/x", nil)
	coap.SetOption(register, coap.OptionObserve, nil)
	req, _, err := cc.ProtectRequest(register)
	if err != nil {
		t.Fatal(err)
	}
	opened, _, err := s.Open(t.Context(), &coap.Request{Message: req})
	if err != nil {
		t.Fatal(err)
	}
	notification := func() *coap.Message {
		m := coap.Respond(coap.Content, coap.NoFormat, nil)
		coap.SetOption(m, coap.OptionObserve, []byte{1})
		return m
	}
	if _, err := opened.Seal(notification()); err != nil {
		t.Fatal(err)
	}
	s.Shed("a")
	if _, err := opened.Seal(notification()); err != nil {
		t.Errorf("shed: %v", err)
	}
	s.Remove("a")
	if _, err := opened.Seal(notification()); err == nil {
		t.Error("a notification went out under a context that was removed")
	}
	if s.Revive("a") {
		t.Error("a context that was removed came back")
	}
}

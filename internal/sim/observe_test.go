package sim

import (
	"context"
	"errors"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// noticeBoard is a resource that can be observed.
type noticeBoard struct {
	*coap.Observers
	text string
}

func (b *noticeBoard) Serve(_ context.Context, req *coap.Request) *coap.Message {
	return b.Register(time.Now(), req, coap.Respond(coap.Content, coap.NoFormat, []byte(b.text)))
}

func (b *noticeBoard) write(text string) {
	b.text = text
	b.Notify(time.Now(), func(*coap.Request) *coap.Message { return coap.Respond(coap.Content, coap.NoFormat, []byte(text)) })
}

func TestObserve(t *testing.T) {
	n := NewNetwork(1)
	board := &noticeBoard{coap.NewObservers(8), "a"}
	n.Attach(addr(1), board)
	type news struct {
		text string
		err  error
	}
	heard := make(chan news, 16)
	req := coap.NewRequest(coap.GET, "/a", nil)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	observe := func() coap.Observation {
		o, err := n.From(addr(200)).(coap.Observer).Observe(t.Context(), addr(1), req, func(m *coap.Message, err error) {
			if err != nil {
				heard <- news{"", err}
				return
			}
			heard <- news{string(m.Payload), nil}
		})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	expect := func(text string, err error) {
		t.Helper()
		select {
		case got := <-heard:
			if got.text != text || !errors.Is(got.err, err) {
				t.Fatalf("%+v, want %q, %v", got, text, err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("nothing, want %q, %v", text, err)
		}
	}
	o := observe()
	expect("a", nil)
	board.write("b")
	expect("b", nil)
	if err := o.Again(req); err != nil {
		t.Fatal(err)
	}
	expect("b", nil)
	o.Close()
	board.write("c")
	if board.Len() != 0 || o.Again(req) == nil {
		t.Error("who has closed observes still")
	}
	observe()
	expect("c", nil)
	n.Unobserve(addr(200))
	expect("", coap.ErrLink)
	n.Down(addr(1), true)
	observe()
	expect("", coap.ErrTimeout)
	if len(heard) != 0 {
		t.Error("more than that")
	}
}

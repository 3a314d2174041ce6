package trl_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/trl"
)

// halting is an Authorization Server that takes one request for each list and never
// answers it, in one of several ways.
type halting struct {
	how  string
	left *atomic.Int32
}

func (h halting) halts(how string) bool { return h.how == how && h.left.Add(-1) >= 0 }

func (h halting) list(req *coap.Message) *coap.Message {
	if coap.Path(req) == "/revoke/actors" {
		return coap.Respond(coap.Content, ace.FormatCBOR, cbor.MustMarshal([]string{}))
	}
	return coap.Respond(coap.Content, ace.FormatACETRL, ace.Encode(ace.TRL{Full: [][]byte{}}))
}

func (h halting) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	if h.halts("call") {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.list(req), nil
}

func (h halting) Observe(ctx context.Context, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	answer := h.list(req)
	switch {
	case h.halts("registration"):
		<-ctx.Done()
		return nil, ctx.Err()
	case h.halts("answer"):
		return still{}, nil
	case h.how == "renewal": // the first answer is the last
		coap.AddUint(answer, coap.OptionObserve, 1)
	}
	go each(answer, nil)
	return still{}, nil
}

// An answer that never comes, as its server has been started anew, is not waited for:
// the lists are asked for again and again.
func TestWatchOfWhoFallsSilent(t *testing.T) {
	for _, how := range []string{"registration", "answer", "renewal", "call"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			h := halting{how, new(atomic.Int32)}
			h.left.Store(2)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var tokens, people atomic.Int32
			enough := func() {
				if tokens.Load() > 1 && people.Load() > 1 {
					cancel()
				}
			}
			trl.Watch(ctx, trl.Config{
				AS:      h,
				Revoked: func(context.Context, [][]byte) error { tokens.Add(1); enough(); return nil },
				Actors:  func(context.Context, []string) error { people.Add(1); enough(); return nil },
				Every:   20 * time.Millisecond, Retry: time.Millisecond,
			})
			if tokens.Load() < 2 || people.Load() < 2 {
				t.Errorf("heard of tokens %d times, of people %d times", tokens.Load(), people.Load())
			}
			if how != "renewal" && h.left.Load() > 0 {
				t.Error("it never fell silent")
			}
		})
	}
}

package rollout

import (
	"context"
	"errors"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
)

func request(code coap.Code, path string, body []byte) *coap.Message {
	req := coap.NewRequest(code, path, body)
	coap.AddUint(req, coap.OptionContentFormat, coap.FormatCBOR)
	return req
}

func fetchRequest(fields firmware.Field, session []byte, spread uint) *coap.Message {
	body := firmware.StatusRequest{Fields: fields, Session: session, Spread: spread}
	return request(coap.FETCH, firmware.PathStatus, body.Append(nil))
}

// reply is what came back from one device.
type reply struct {
	device string
	answer groupcomm.Answer
	status firmware.Status // of a FETCH
	err    error
	of     int // blocks that had been sent to the group when it was asked
}

// code is the answer's; 0 when there is none.
func (r *reply) code() coap.Code {
	if r.err != nil || r.answer.Resp == nil {
		return 0
	}
	return r.answer.Resp.Code
}

// read decodes the status in an answer.
func (r *reply) read() {
	if r.err == nil && r.code() == coap.Content {
		r.status, r.err = firmware.ParseStatus(r.answer.Resp.Payload)
	}
}

// problem is why an answer to a FETCH is no status; nil when it is one.
func (r *reply) problem() *Reason {
	switch {
	case errors.Is(r.err, groupcomm.ErrGone):
		return reasonGone
	case errors.Is(r.err, coap.ErrTimeout):
		return reasonSilent
	case r.err != nil:
		return reasonSilent.With("(%v.)", r.err)
	case r.code() == coap.Content:
		return nil
	case r.code() == coap.NotFound || r.code() == coap.MethodNotAllowed:
		return reasonNone
	case r.code() == coap.Unauthorized || r.code() == coap.Forbidden:
		return reasonDenied
	}
	return reasonSilent.With("(It answered %s.)", coap.CodeString(r.code()))
}

// call makes one request; it waits while the group is paused.
func call(ctx context.Context, p *Params, device string, req *coap.Message) reply {
	r := reply{device: device}
	r.err = unpaused(ctx, p.Clock, func() (err error) {
		r.answer, err = p.Group.Call(ctx, device, req)
		return err
	})
	r.read()
	return r
}

// callAll makes a request to each of the devices, a few at a time, and returns the
// replies in their order. Each of heard hears them as they come.
func callAll(ctx context.Context, p *Params, devices []string, req *coap.Message, heard ...func(*reply)) []reply {
	replies := make([]reply, len(devices))
	one := func(i int) {
		replies[i] = call(ctx, p, devices[i], req)
		for _, h := range heard {
			h(&replies[i])
		}
	}
	if p.Parallel == 1 {
		for i := range devices {
			one(i)
		}
		return replies
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, p.Parallel)
	for i := range devices {
		slots <- struct{}{}
		all.Go(func() {
			one(i)
			<-slots
		})
	}
	all.Wait()
	return replies
}

// hasty is a group whose devices have little time to answer.
type hasty struct {
	groupcomm.Group
	patience time.Duration
}

// Call implements [groupcomm.Group]. It fails with [context.DeadlineExceeded] when time is up.
func (h hasty) Call(ctx context.Context, device string, req *coap.Message) (groupcomm.Answer, error) {
	ctx, stop := context.WithTimeout(ctx, h.patience)
	defer stop()
	return h.Group.Call(ctx, device, req)
}

// unpaused calls f again while the group is paused.
func unpaused(ctx context.Context, clock groupcomm.Clock, f func() error) error {
	for {
		err := f()
		if !errors.Is(err, groupcomm.ErrPaused) {
			return err
		}
		if err := clock.Sleep(ctx, pausedWait); err != nil {
			return err
		}
	}
}

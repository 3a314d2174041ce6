package change

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
)

const (
	pausedWait = 5 * time.Second  // between looks whether a paused group goes on
	groupTries = 3                // how often the group is asked for those who are missing
	fewAlone   = 2                // up to so many devices are asked one by one at once
	mostAlone  = 8                // of those who stay silent to the group
	patience   = 20 * time.Second // for a device that stayed silent to the group: three retransmissions. RFC 7252, Section 4.8
	longer     = time.Minute      // for one that was never asked otherwise
	mostNonces = 150              // in one message
	mostBody   = 900              // bytes of a message to the group, about
	leastOf    = 120
	answerSize = 70  // bytes of an answer, about, while it is awaited
	overhead   = 120 // bytes of a message to the group around its body, where nobody says
)

// step is one question to devices.
type step struct {
	code   coap.Code
	path   string
	body   func(ids []string, of []byte) []byte
	quoted bool // nonces say who is meant
	room   int  // bytes that the body has beside those who are meant
}

func (s *step) message(ids []string, of []byte) *coap.Message {
	req := coap.NewRequest(s.code, s.path, s.body(ids, of))
	coap.AddUint(req, coap.OptionContentFormat, coap.FormatCBOR)
	return req
}

// fetch asks for parts of a status, and how a transaction ended, if any.
func (r *Run) fetch(fields settings.Field, txn []byte) step {
	return step{code: coap.FETCH, path: settings.PathValues, room: len(txn), body: func(_ []string, of []byte) []byte {
		q := settings.StatusRequest{Fields: fields, Txn: txn, Of: of}
		return q.Append(nil)
	}}
}

// reply is what came back from one device.
type reply struct {
	code   coap.Code
	status settings.Status
	said   bool // there is a status
	err    error
}

func read(resp *coap.Message) (r reply) {
	r.code = resp.Code
	if len(resp.Payload) == 0 {
		return r
	}
	if s, err := settings.ParseStatus(resp.Payload); err == nil {
		r.status, r.said = s, true
	} else if coap.Class(resp.Code) == 2 {
		r.err = err
	}
	return r
}

// ask makes a step at devices: by one message to the group, once more for those
// whose answer is missing, and alone for the last ones. Devices that are not in the
// result stayed silent to the group and were not asked alone.
func (r *Run) ask(ctx context.Context, ids []string, s step) (map[string]reply, error) {
	got := map[string]reply{}
	missing, alone := r.reachable(ids)
	for try := 0; try < groupTries && len(missing) > fewAlone; try++ {
		before := len(got)
		everyone := try == 0 && len(missing) == len(r.p.Devices)
		for _, part := range r.parts(missing, s, everyone) {
			var of []byte
			if !s.quoted && !everyone {
				of = r.of(part)
			}
			more, err := r.askGroup(ctx, part, s.message(part, of), got)
			if err != nil {
				return nil, err
			}
			alone = append(alone, more...)
		}
		missing = slices.DeleteFunc(slices.Clone(missing), func(id string) bool {
			_, ok := got[id]
			return ok || slices.Contains(alone, id)
		})
		if try > 0 && len(got) == before {
			break
		}
	}
	if len(got) > 0 && len(missing) > mostAlone { // it is not the way that is at fault
		for _, id := range missing[mostAlone:] {
			r.p.Asked(id, false)
		}
		missing = missing[:mostAlone]
	}
	r.askAlone(ctx, append(alone, missing...), s, got)
	return got, ctx.Err()
}

// reachable parts devices into those that a message to the group can name, and the
// others.
func (r *Run) reachable(ids []string) (group, alone []string) {
	if r.st.Options.Alone {
		return nil, slices.Clone(ids)
	}
	for _, id := range ids {
		if len(r.p.Sender(id)) > 0 {
			group = append(group, id)
		} else {
			alone = append(alone, id)
		}
	}
	return group, alone
}

// parts cuts devices into as many as one message can name.
func (r *Run) parts(ids []string, s step, everyone bool) (parts [][]string) {
	switch {
	case s.quoted:
		return slices.Collect(slices.Chunk(ids, mostNonces))
	case everyone: // nobody has to be named
		return [][]string{ids}
	}
	most, size := min(max(mostBody-s.room, leastOf), settings.MaxOf), 0
	for i, id := range ids {
		n := 1 + len(r.p.Sender(id))
		if i == 0 || size+n > most {
			parts, size = append(parts, nil), 0
		}
		parts[len(parts)-1], size = append(parts[len(parts)-1], id), size+n
	}
	return parts
}

func (r *Run) of(ids []string) (of []byte) {
	for _, id := range ids {
		of = settings.AppendOf(of, r.p.Sender(id))
	}
	return of
}

// askGroup asks the group once and notes who answered; those who have to be asked
// alone, as they want a challenge answered, are returned.
func (r *Run) askGroup(ctx context.Context, ids []string, req *coap.Message, got map[string]reply) (alone []string, err error) {
	sent, heard := 0, 0
	asked, stop := context.WithCancel(ctx)
	defer stop()
	err = r.unpaused(ctx, func() error {
		return r.p.Group.Ask(asked, req, r.wait(len(ids)), func(a groupcomm.Answer) {
			sent += a.Sent
			r.count(0, 0, a.Size)
			if !slices.Contains(ids, a.Device) {
				return
			}
			if a.Resp.Code == coap.Unauthorized && coap.HasOption(a.Resp, coap.OptionEcho) {
				alone = append(alone, a.Device)
			} else {
				got[a.Device] = read(a.Resp)
				r.p.Asked(a.Device, true)
			}
			if heard++; heard == len(ids) {
				stop()
			}
		})
	})
	if sent == 0 {
		sent = len(req.Payload) + overhead
	}
	r.count(1, 0, sent)
	if ctx.Err() == nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	return alone, err
}

// wait is how long answers of so many devices are awaited.
func (r *Run) wait(n int) time.Duration {
	o := r.st.Options
	air := time.Duration(float64(n*answerSize*8) / float64(o.Rate) * float64(time.Second))
	return 2*o.Leisure + 2*air
}

// askAlone asks each device, a few at a time.
func (r *Run) askAlone(ctx context.Context, ids []string, s step, got map[string]reply) {
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		slots = make(chan struct{}, r.p.Parallel)
	)
	one := func(id string) {
		a := r.call(ctx, id, s)
		mu.Lock()
		got[id] = a
		mu.Unlock()
		r.p.Asked(id, a.err == nil)
	}
	for _, id := range ids {
		if r.p.Parallel == 1 {
			one(id)
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			one(id)
			<-slots
		})
	}
	all.Wait()
}

// call asks one device.
func (r *Run) call(ctx context.Context, id string, s step) (out reply) {
	limit := patience
	if r.st.Options.Alone {
		limit = longer
	}
	short, stop := context.WithTimeout(ctx, limit)
	defer stop()
	err := r.unpaused(short, func() error {
		a, err := r.p.Group.Call(short, id, s.message([]string{id}, nil))
		if err == nil {
			out = read(a.Resp)
		}
		r.count(1, 1, a.Sent+a.Size)
		return err
	})
	if err != nil {
		out.err = err
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			out.err = coap.ErrTimeout
		}
	}
	return out
}

// unpaused calls f again while the group is paused.
func (r *Run) unpaused(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !errors.Is(err, groupcomm.ErrPaused) {
			return err
		}
		if err := r.p.Clock.Sleep(ctx, pausedWait); err != nil {
			return err
		}
	}
}

func (r *Run) count(requests, unicast, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.st.Requests += requests
	r.st.Unicast += unicast
	r.st.Bytes += bytes
}

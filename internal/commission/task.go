package commission

import (
	"context"
	"errors"
	"strings"

	"lamplighter/internal/coap"
)

// task is a job at work on one device.
type task struct {
	s  *site
	j  *job
	it *item
	d  *device

	registered bool // at the Authorization Server; not saved yet
}

// rec is the device's present record.
func (t *task) rec() *deviceRecord { return t.s.of(t.d) }

// step says what is being done now.
func (t *task) step(text string) {
	t.s.mu.Lock()
	t.d.step, t.it.rec.Step = text, text
	t.s.mu.Unlock()
	t.s.touchDevice(t.d)
	t.s.touchJob(t.j)
}

// save changes the device's record, durably.
func (t *task) save(ctx context.Context, change func(*deviceRecord)) error {
	return t.s.updateDevice(ctx, t.d, change)
}

// finish ends the item well: the device's last change and the item's end are one
// write.
func (t *task) finish(ctx context.Context, step string, change func(*deviceRecord)) error {
	return t.end(ctx, itemRecord{State: itemDone, Step: step, Tries: t.it.rec.Tries}, func(r *deviceRecord) {
		r.Step, r.Problem = step, nil
		r.Registered = r.Registered || t.registered
		change(r)
	})
}

// fail ends the item with a problem.
func (t *task) fail(ctx context.Context, p *Error) error {
	end := itemRecord{State: itemFailed, Step: t.it.rec.Step, Tries: t.it.rec.Tries, Problem: &p.Problem}
	return t.end(ctx, end, func(r *deviceRecord) { r.Step, r.Problem = end.Step, &p.Problem })
}

func (t *task) end(ctx context.Context, end itemRecord, change func(*deviceRecord)) error {
	if err := t.s.updateDevice(ctx, t.d, change, write{t.j.itemKey(t.d.id), end}); err != nil {
		return err
	}
	t.s.mu.Lock()
	t.it.rec = end
	t.s.mu.Unlock()
	t.s.touchJob(t.j)
	return nil
}

// do runs the job's kind of work.
func (t *task) do(ctx context.Context) error {
	switch t.j.rec.Kind {
	case jobClaim:
		if err := t.claim(ctx); err != nil {
			return err
		}
		if err := t.bringList(ctx); err != nil {
			return err
		}
		return t.finish(ctx, "claimed", func(*deviceRecord) {})
	case jobJoin:
		return t.join(ctx)
	case jobLeave:
		return t.leave(ctx)
	case jobRelease:
		return t.release(ctx)
	case jobCommissioners:
		if err := t.bringList(ctx); err != nil {
			return err
		}
		return t.finish(ctx, "told who may manage it", func(*deviceRecord) {})
	case jobCheck:
		return t.check(ctx)
	case jobRenew:
		return t.renew(ctx)
	}
	return problem("unknown-kind", "This version does not know jobs of this kind.", "Update this program.")
}

// leave takes the device out of the job's group: the device leaves at the Group
// Manager, which gives the others new keys.
func (t *task) leave(ctx context.Context) error {
	group, r := t.j.rec.Group, t.rec()
	pending := r.Handover != nil && r.Handover.Group == group
	if r.in(group) != nil || pending {
		if err := t.ensureAddress(ctx); err != nil {
			return err
		}
		t.step("leaving " + group)
		if err := t.remove(ctx, "/ll/groups/"+group); err != nil {
			return err
		}
		t.s.removePeer(t.d, group)
	}
	return t.finish(ctx, "left "+group, func(r *deviceRecord) {
		r.Groups = r.withoutPlace(group)
		if r.Handover != nil && r.Handover.Group == group {
			r.Handover = nil
		}
	})
}

// release gives the device up: it leaves its groups and forgets its owner, then
// the Authorization Server forgets the registration.
func (t *task) release(ctx context.Context) error {
	if t.rec().claimed() {
		if err := t.ensureAddress(ctx); err != nil {
			return err
		}
		t.step("releasing")
		err := t.remove(ctx, "/ll/claim")
		var re *coap.ResponseError
		denied := errors.As(err, &re) && re.Code == coap.Forbidden
		if (denied || errors.Is(err, errLostOwner)) && t.isFree(ctx) {
			err = nil // an earlier try did it, or does so just now
		}
		if err != nil {
			return err
		}
		for _, p := range t.rec().Groups {
			t.s.removePeer(t.d, p.Group)
			t.s.keysChange(t.j, p.Group)
		}
		t.d.sessions = deviceSessions{}
		err = t.save(ctx, func(r *deviceRecord) {
			r.OwnerKey, r.Cred, r.Groups, r.Handover = nil, nil, nil, nil
			r.ListRev, r.ListVersion = 0, 0
			r.Registered = true // until the Authorization Server has forgotten it
		})
		if err != nil {
			return err
		}
	}
	if t.rec().Registered {
		t.step("unregistering at the Authorization Server")
		if err := t.unregister(ctx); err != nil {
			return err
		}
	}
	return t.finish(ctx, "released", func(r *deviceRecord) { r.Registered = false })
}

// remove deletes a resource at the device; one that is not there is removed.
func (t *task) remove(ctx context.Context, path string) error {
	session, err := t.s.ownerSession(t.d)
	if err != nil {
		return err
	}
	err = call(ctx, session, coap.DELETE, path, nil, nil)
	var re *coap.ResponseError
	if err == nil || errors.As(err, &re) && re.Code == coap.NotFound {
		return nil
	}
	return t.deviceSaid("removing "+strings.TrimPrefix(path, "/ll/"), err)
}

// isFree reports whether the device says that it has no owner.
func (t *task) isFree(ctx context.Context) bool {
	who, err := t.s.identify(ctx, t.rec().address())
	return err == nil && string(who.ID) == string(t.rec().ID) && who.Claimed == 0
}

func (t *task) unregister(ctx context.Context) error {
	err := call(ctx, &t.s.as, coap.DELETE, "/devices/"+t.d.id, nil, nil)
	var re *coap.ResponseError
	if errors.As(err, &re) && (re.Code == coap.NotFound || re.Code == coap.Forbidden) {
		return nil // it is not ours, which is what is wanted
	}
	return with(atAS, "unregistering the device", err)
}

// keysChange notes a group whose keys a job changes.
func (s *site) keysChange(j *job, group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.groups[group] = true
}

// removePeer forgets a device's credential in a group's context.
func (s *site) removePeer(d *device, group string) {
	g, err := s.knownGroup(group)
	p := s.of(d).in(group)
	if err != nil || p == nil {
		return
	}
	g.using.Lock()
	defer g.using.Unlock()
	if g.keys != nil && len(p.SenderID) > 0 {
		g.keys.Current().RemovePeer(p.SenderID)
	}
}

// Blink lets one device blink so that a person sees which it is.
func (e *Engine) Blink(ctx context.Context, id string, seconds int) error {
	s, err := e.site()
	if err != nil {
		return err
	}
	d, err := s.device(id)
	if err != nil {
		return err
	}
	if !d.take(ctx) {
		return errCanceled
	}
	defer d.put()
	if !s.of(d).address().IsValid() {
		if err := s.locate(ctx, d); err != nil {
			return asProblem(err)
		}
	}
	open := s.labelSession
	if s.of(d).claimed() {
		open = s.ownerSession
	}
	session, err := open(d)
	if err != nil {
		return err
	}
	body := map[int]uint64{1: uint64(min(max(seconds, 1), maxBlink))}
	err = call(ctx, session, coap.POST, "/ll/blink", body, nil)
	if err != nil && !s.of(d).claimed() {
		t := &task{s: s, it: &item{dev: d}, d: d}
		return asError(t.whyNotClaimed(ctx, err)) // the label opens nothing for the same reasons
	}
	return asError(with(atDevice, "blinking", err))
}

// maxBlink is how long a device blinks at most, in seconds.
const maxBlink = 60

// take waits for the device's turn; put gives it back.
func (d *device) take(ctx context.Context) bool {
	select {
	case <-d.turn:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *device) put() { d.turn <- struct{}{} }

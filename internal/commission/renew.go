package commission

import (
	"context"
	"slices"
	"time"

	"lamplighter/internal/coap"
)

// before is how long before its end an association is renewed.
const before = 7 * 24 * time.Hour

// groupPayload is a membership as a device tells of it, docs/device.md.
type groupPayload struct {
	Name     string `cbor:"1,keyasint"`
	SenderID []byte `cbor:"3,keyasint"`
	Num      uint64 `cbor:"4,keyasint"`
	InSync   bool   `cbor:"5,keyasint"`
	Ended    uint   `cbor:"6,keyasint"`
	Why      string `cbor:"7,keyasint"`
	Expires  uint64 `cbor:"8,keyasint"`
}

// Check asks devices themselves how they stand in their groups: who was removed, and
// who gets no keys over the association that it has.
func (e *Engine) Check(ctx context.Context, devices []string) (Job, error) {
	s, err := e.site()
	if err != nil {
		return Job{}, err
	}
	return s.start(ctx, jobCheck, "", devices)
}

// Renew joins devices to a group anew, with the rights of whoever does it: those that
// the Group Manager gives no keys, because who had joined them was revoked, and
// those whose association ends soon.
func (e *Engine) Renew(ctx context.Context, group string, devices []string) (Job, error) {
	return e.startIn(ctx, jobRenew, group, devices)
}

// check notes what the device says of its memberships.
func (t *task) check(ctx context.Context) error {
	list, err := t.askGroups(ctx)
	if err != nil {
		return err
	}
	ended := 0
	for _, g := range list {
		if g.Ended != 0 {
			ended++
		}
	}
	step := "in " + plural(len(list)-ended, "group", "groups")
	return t.finish(ctx, step, func(r *deviceRecord) { r.noteGroups(list) })
}

// askGroups asks the device for its memberships.
func (t *task) askGroups(ctx context.Context) ([]groupPayload, error) {
	if err := t.ensureAddress(ctx); err != nil {
		return nil, err
	}
	session, err := t.s.managerSession(ctx, t.d)
	if err != nil {
		return nil, err
	}
	t.step("asking about its groups")
	var list []groupPayload
	if err := call(ctx, session, coap.GET, "/ll/groups", nil, &list); err != nil {
		return nil, t.deviceSaid("asking about its groups", err)
	}
	return list, nil
}

// inquire asks devices that could not read a message of a group what they know about
// it: the Group Manager may give them no keys.
func (s *site) inquire(ids []string) {
	for _, id := range ids {
		d, err := s.device(id)
		if err != nil {
			continue
		}
		s.background(func(ctx context.Context) {
			if !d.take(ctx) {
				return
			}
			defer d.put()
			session, err := s.managerSession(ctx, d)
			if err != nil {
				return
			}
			var list []groupPayload
			if err := call(ctx, session, coap.GET, "/ll/groups", nil, &list); err != nil {
				s.e.cfg.Logger.Debug("a device does not tell about its groups", "device", id, "err", err)
				return
			}
			if err := s.updateDevice(ctx, d, func(r *deviceRecord) { r.noteGroups(list) }); err != nil {
				s.e.logProblem(id, "noting what a device says", err)
			}
		})
	}
}

// noteGroups takes over what a device says of its memberships.
func (r *deviceRecord) noteGroups(list []groupPayload) {
	var places []place
	for _, g := range list {
		p := place{Group: g.Name, SenderID: g.SenderID, Why: g.Why, Expires: g.Expires, Ended: g.Ended != 0, Mute: r.mute(g.Name)}
		if p.Ended {
			p.SenderID = nil
		}
		places = append(places, p)
	}
	r.Groups = places
}

// renew joins the device to the job's group anew, whether it needs that or not; a
// Join Response that was on its way to it comes first.
func (t *task) renew(ctx context.Context) error {
	if err := t.ensureAddress(ctx); err != nil {
		return err
	}
	if h := t.rec().Handover; h != nil {
		done, err := t.resumeHandover(ctx, h)
		if done || err != nil {
			return err
		}
	}
	if _, err := t.s.managerSession(ctx, t.d); err != nil {
		return err
	}
	return t.assist(ctx)
}

// NeedRenewal lists the devices in a group that are to be joined to it anew, as far
// as they were asked.
func (e *Engine) NeedRenewal(_ context.Context, group string) ([]string, error) {
	s, err := e.site()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := []string{}
	soon := uint64(s.e.cfg.Now().Add(before).Unix())
	for id, d := range s.devices {
		if p := d.rec.place(group); p != nil && (p.Why != "" || p.Expires != 0 && p.Expires < soon) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

package commission

import (
	"context"
	"errors"
	"slices"

	"lamplighter/internal/coap"
)

// bringList gives the device the site's list, if it has not got it yet. Its version
// is the device's own: somebody else with that right may have been here.
func (t *task) bringList(ctx context.Context) error {
	site := t.s.record()
	if !site.listPending(t.rec()) {
		return nil
	}
	if err := t.ensureAddress(ctx); err != nil {
		return err
	}
	t.step("telling it who may manage it")
	session, err := t.s.managerSession(ctx, t.d)
	if err != nil {
		return err
	}
	next := listPayload{Version: max(t.rec().ListVersion, 1) + 1, List: []listItem{}}
	for _, c := range site.Commissioners {
		next.List = append(next.List, listItem{c.Cred, c.Rights})
	}
	err = call(ctx, session, coap.PUT, "/ll/commissioners", next, nil)
	var re *coap.ResponseError
	if errors.As(err, &re) && re.Code == coap.Conflict {
		var have listPayload
		if err = call(ctx, session, coap.GET, "/ll/commissioners", nil, &have); err == nil {
			next.Version = have.Version + 1
			err = call(ctx, session, coap.PUT, "/ll/commissioners", next, nil)
		}
	}
	if errors.As(err, &re) && re.Code == coap.Forbidden && !t.rec().claimed() {
		err = nil // that is for others to do
	}
	if err != nil && unknownContext(err) && !t.rec().claimed() { // it is managed here no more
		return errors.Join(t.save(ctx, func(r *deviceRecord) { r.Cred = nil }), t.deviceSaid("telling it who may manage it", err))
	}
	if err != nil {
		return t.deviceSaid("telling it who may manage it", err)
	}
	return t.save(ctx, func(r *deviceRecord) { r.ListRev, r.ListVersion = site.ListRev, next.Version })
}

// chase brings the list to devices that were out of reach, again and again.
func (s *site) chase(ctx context.Context) {
	for ctx.Err() == nil {
		if s.record().ListRev > 0 {
			if pending := s.pendingDevices(); len(pending) > 0 {
				if err := s.bringTo(ctx, pending); err != nil {
					s.e.logProblem("", "bringing the list of commissioners to devices", err)
				}
			}
		}
		sleep(ctx, s.e.cfg.Tuning.Chase)
	}
}

// bringTo goes on with the latest job that brings the list, or starts one.
func (s *site) bringTo(ctx context.Context, pending []string) error {
	s.mu.Lock()
	var latest *job
	for _, j := range s.newestJobs() {
		if j.rec.Kind == jobCommissioners {
			latest = j
			break
		}
	}
	covers := latest != nil && !slices.ContainsFunc(pending, func(id string) bool { return !slices.Contains(latest.rec.Devices, id) })
	open := latest != nil && !latest.ended()
	s.mu.Unlock()
	switch {
	case open:
		return nil
	case covers:
		_, err := s.e.RetryJob(ctx, latest.rec.ID)
		return err
	}
	_, err := s.start(ctx, jobCommissioners, "", pending)
	return err
}

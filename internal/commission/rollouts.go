package commission

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"lamplighter/internal/cose"
	"lamplighter/internal/rollout"
	"lamplighter/internal/store"
	"lamplighter/internal/suit"
)

// Problems of rollouts. What devices and waves meet has the ids of internal/rollout.
var (
	errFwOne     = problem("fw-one-at-a-time", "Another rollout is under way in this group.", "Wait for its end, or cancel it.")
	errFwShared  = problem("fw-devices-taken", "Another rollout is under way that some of these devices are part of.", "Wait for its end, or choose other devices.")
	errFwNoFit   = problem("fw-no-fit", "The image fits none of the devices.", "See at each of them why, and choose another image or other devices.")
	errFwMode    = problem("fw-no-group-mode", "The group's keys are for messages to one device only: nothing can be sent to all.", "Join the devices to a group with signatures.")
	errFwOptions = problem("fw-bad-options", "There is no such way to send firmware.", "Choose one of the profiles, and numbers that are not negative.")
	errFwNotHeld = problem("fw-not-waiting", "The rollout waits for nobody.", "")
	errFwNoJob   = problem("fw-no-rollout", "This job sends no firmware.", "Choose one that does.")
	errFwBroken  = problem("fw-state-lost", "What was saved of this rollout cannot be gone on with.", "Start another one with the same file: devices keep what they have.")
)

// rolloutRecord is what survives of a rollout beside its job.
type rolloutRecord struct {
	Image   FirmwareImage        `cbor:"1,keyasint"`
	Bare    []byte               `cbor:"2,keyasint"` // the envelope as devices get it
	Options FirmwareOptions      `cbor:"3,keyasint"`
	Paused  bool                 `cbor:"4,keyasint,omitempty"`
	State   []byte               `cbor:"5,keyasint,omitempty"` // [rollout.State]; empty: not planned yet
	Rows    map[string]rolloutOf `cbor:"6,keyasint,omitempty"` // by device
	Again   bool                 `cbor:"7,keyasint,omitempty"` // what failed is to be tried again

	Canceled bool `cbor:"8,keyasint,omitempty"` // by a person: the devices are to be told
}

// rolloutOf is what a report says of one device beside the last view.
type rolloutOf struct {
	From  string       `cbor:"1,keyasint,omitempty"` // version that ran before
	State RolloutState `cbor:"2,keyasint,omitempty"`
	At    int64        `cbor:"3,keyasint,omitempty"` // since when
}

// fwRollout is a rollout at run time. All is guarded by site.mu.
type fwRollout struct {
	rec    rolloutRecord
	board  Rollout         // as it is shown
	sender *rollout.Sender // nil: not at work

	resting bool  // the group is paused
	saved   int64 // when the board was saved
	pace    boardPace
}

// loadRollouts reads the rollouts; the jobs are loaded.
func (s *site) loadRollouts(tx store.Tx) error {
	err := scan(tx, preRollout, func(id string, r *rolloutRecord) {
		if s.jobs[id] != nil {
			s.rollouts[id] = &fwRollout{rec: *r}
		}
	})
	return errors.Join(err, scan(tx, preBoard, func(id string, r *Rollout) {
		if s.rollouts[id] != nil {
			s.rollouts[id].board = *r
		}
	}))
}

// inUse reports whether a rollout that has not ended needs an image; s.mu is held.
func (s *site) inUse(digest string) bool {
	for id, r := range s.rollouts {
		if r.rec.Image.Digest == digest && !s.jobs[id].ended() {
			return true
		}
	}
	return false
}

// feeding reports whether a rollout is under way in a group; s.mu is held.
func (s *site) feeding(group, butJob string) bool {
	for id, j := range s.jobs {
		if id != butJob && j.rec.Kind == jobFirmware && j.rec.Group == group && !j.ended() {
			return true
		}
	}
	return false
}

// shared reports whether another rollout that is under way has some of these
// devices; s.mu is held.
func (s *site) shared(devices []string, butJob string) bool {
	for id, j := range s.jobs {
		if id == butJob || j.rec.Kind != jobFirmware || j.ended() {
			continue
		}
		if slices.ContainsFunc(devices, func(d string) bool { return slices.Contains(j.rec.Devices, d) }) {
			return true
		}
	}
	return false
}

// recipients are the devices that a rollout in a group is for.
func (s *site) recipients(g *group, ids []string) ([]*device, error) {
	if len(ids) > 0 {
		return s.chosen(ids)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*device
	for _, id := range slices.Sorted(maps.Keys(s.devices)) {
		if s.devices[id].rec.in(g.name) != nil {
			list = append(list, s.devices[id])
		}
	}
	if len(list) == 0 {
		return nil, errNobody
	}
	return list, nil
}

// rolloutOptions translates what a person chose.
func (o FirmwareOptions) forRollout() (rollout.Options, error) {
	name := o.Profile
	if name == "" {
		name = "wi-fi"
	}
	profile, ok := rollout.ProfileNamed(name)
	if !ok || o.MaxUnavailable < 0 || o.ConfirmWithin < 0 || o.Soak < 0 || o.Threshold < 0 || o.At < 0 {
		return rollout.Options{}, errFwOptions
	}
	out := rollout.Options{
		Profile: profile, Canary: max(o.Canary, 0), Percent: max(o.Percent, 0), MaxUnavailable: o.MaxUnavailable,
		ConfirmWithin: time.Duration(o.ConfirmWithin) * time.Second, Soak: time.Duration(o.Soak) * time.Second,
		Threshold: o.Threshold, Hold: o.Hold, TakeOver: o.TakeOver,
	}
	if o.Canary == 0 {
		out.Canary = 1
	}
	if o.Percent == 0 {
		out.Percent = 10
	}
	if o.At != 0 {
		out.At = time.UnixMilli(o.At)
	}
	return out, nil
}

// params is what a rollout of an image to devices of a group works with.
func (s *site) params(ctx context.Context, way *groupWay, rec *imageRecord, devices []*device, options FirmwareOptions) (rollout.Params, error) {
	chosen, err := options.forRollout()
	if err != nil {
		return rollout.Params{}, err
	}
	manifest, err := s.manifest(rec)
	if err != nil {
		return rollout.Params{}, err
	}
	image, err := s.imageBytes(ctx, rec)
	if err != nil {
		return rollout.Params{}, err
	}
	own := cose.Thumbprint(s.record().Cred)
	p := rollout.Params{
		Group: way, Clock: way.clock, Rand: s.e.cfg.Rand, Image: image, Envelope: rec.Bare, Manifest: manifest,
		Options: chosen, Feeder: own[:8], Parallel: s.e.cfg.Tuning.Follow, Probe: way.probe,
		Save: way.save, Progress: way.progress,
	}
	for _, d := range devices {
		p.Devices = append(p.Devices, s.lightOf(d))
	}
	return p, nil
}

// lightOf is a device as rollouts know it. Which are emergency lights their model or
// their place says.
func (s *site) lightOf(d *device) rollout.Device {
	r := s.of(d)
	about := strings.ToLower(r.Model + " " + r.Place + " " + r.Name)
	return rollout.Device{ID: d.id, Name: r.Name, Zone: r.Place, Emergency: strings.Contains(about, "emergency")}
}

// manifest is what rollouts need to know of an image. The signer is known when a
// device has said that it trusts the key.
func (s *site) manifest(rec *imageRecord) (m rollout.Manifest, err error) {
	envelope, err := suit.Parse(rec.Bare)
	if err != nil {
		return m, fromSUIT(err)
	}
	facts, err := envelope.Image()
	if err != nil {
		return m, fromSUIT(err)
	}
	m = rollout.Manifest{
		Digest: envelope.Digest[:], Image: facts.Digest, Size: int(facts.Size), Sequence: facts.Sequence,
		Vendor: facts.Vendor[:], Class: facts.Class[:], Version: rec.View.Version,
	}
	keys, own := s.anchors(rec.View.Vendor, rec.View.Class)
	key, err := envelope.Verify(keys...)
	switch {
	case err == nil:
		m.Signer = key.COSEKey()
	case !errors.Is(err, suit.ErrSigner):
		return m, fromSUIT(err)
	case own:
		m.Signer = []byte{0xa0} // nobody's: no device trusts it
	}
	return m, nil
}

// followMember tells the rollouts that are under way where a device is a member now,
// and where not any more. Those for chosen devices take in no others.
func (s *site) followMember(ctx context.Context, d *device) {
	var writes []write
	var tell []func()
	s.mu.Lock()
	for id, r := range s.rollouts {
		j := s.jobs[id]
		if j.ended() || j.canceled {
			continue
		}
		member := d.rec.in(j.rec.Group) != nil
		part := slices.Contains(j.rec.Devices, d.id)
		sender := r.sender
		switch {
		case member && !part && len(r.rec.Options.Devices) == 0:
			j.rec.Devices = append(slices.Clone(j.rec.Devices), d.id)
			j.items = append(slices.Clone(j.items), &item{dev: d, rec: itemRecord{State: itemTodo}})
			writes = append(writes, write{preJob + id, j.rec})
			if sender != nil {
				tell = append(tell, func() { sender.Add(s.lightOf(d)) })
			}
		case !member && part && sender != nil:
			tell = append(tell, func() { sender.Remove(d.id) })
		}
	}
	s.mu.Unlock()
	if len(writes) > 0 {
		if err := s.commit(ctx, writes...); err != nil {
			s.e.logProblem(d.id, "adding the device to an update that is under way", err)
		}
	}
	for _, t := range tell {
		t()
	}
}

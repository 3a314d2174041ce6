package commission

import (
	"cmp"
	"encoding/hex"
	"maps"
	"slices"
)

// fill puts the site's part into a snapshot.
func (s *site) fill(snap *Snapshot) {
	snap.Settings = s.changeViews()
	s.mu.Lock()
	defer s.mu.Unlock()
	snap.Site = s.view()
	for _, id := range slices.Sorted(maps.Keys(s.devices)) {
		snap.Devices = append(snap.Devices, s.devices[id].view(s.rec))
	}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		snap.Groups = append(snap.Groups, s.groupView(s.groups[name]))
	}
	up, _ := s.e.linkUp()
	for _, j := range s.newestJobs() {
		snap.Jobs = append(snap.Jobs, j.view(up))
	}
	snap.Rollouts = s.rolloutViews()
}

// view is the device as it is drawn; the site's mu is held, s is its record.
func (d *device) view(s *siteRecord) Device {
	r := d.rec
	v := Device{
		ID: d.id, Name: r.Name, Place: r.Place, Model: r.Model, Address: r.Address,
		State: d.state(), Step: r.Step, Found: r.Found, Claimed: r.claimed(), LabelKnown: r.labelKnown(),
		Groups: []Membership{}, Problem: r.Problem, LastSeen: r.LastSeen,
	}
	if s != nil {
		v.ListPending = s.listPending(r)
	}
	if d.working {
		v.Step, v.Problem = d.step, nil
	}
	for _, p := range r.Groups {
		v.Groups = append(v.Groups, Membership{
			Group: p.Group, SenderID: hex.EncodeToString(p.SenderID),
			Ended: p.Ended, Why: p.Why, Expires: int64(p.Expires) * 1000, Mute: p.Mute,
		})
	}
	return v
}

func (d *device) state() DeviceState {
	switch r := d.rec; {
	case d.working:
		return DeviceWorking
	case r.Problem != nil:
		return DeviceFailed
	case slices.ContainsFunc(r.Groups, func(p place) bool { return !p.Ended }):
		return DeviceJoined
	case r.claimed():
		return DeviceClaimed
	case r.Found:
		return DeviceFound
	}
	return DevicePlanned
}

func (s *site) touchDevice(d *device) {
	s.e.pub.touch("device/"+d.id, func() (Event, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.devices[d.id] != d {
			return Event{Type: "removed", Removed: d.id}, true
		}
		view := d.view(s.rec)
		return Event{Type: "device", Device: &view}, true
	})
	s.mu.Lock()
	places := d.rec.Groups
	s.mu.Unlock()
	for _, p := range places {
		s.touchGroup(p.Group)
	}
}

// groupView is the group as it is drawn; s.mu is held.
func (s *site) groupView(g *group) Group {
	v := Group{
		Name: g.name, Title: title(g), Joined: g.member != nil, KeysFrom: g.rec.KeysFrom,
		Members: []string{}, Light: g.rec.Light, RollCall: g.rec.RollCall,
		Manage: s.manage(g.name), Rekeying: g.rekeying, Paused: g.rec.Paused, Ended: g.rec.Ended, Told: g.told,
	}
	if g.current != nil {
		call := g.current.snapshot()
		v.RollCall = &call
	}
	if g.member != nil {
		v.Epoch = int(g.member.Num)
	}
	for id, d := range s.devices {
		if d.rec.in(g.name) != nil {
			v.Members = append(v.Members, id)
		}
	}
	slices.Sort(v.Members)
	return v
}

func title(g *group) string {
	if g.rec.Title != "" {
		return g.rec.Title
	}
	return humanTitle(g.name)
}

func (s *site) touchGroup(name string) {
	s.e.pub.touch("group/"+name, func() (Event, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		g := s.groups[name]
		if g == nil {
			return Event{}, false
		}
		view := s.groupView(g)
		return Event{Type: "group", Group: &view}, true
	})
}

// copy lets go of what a running roll call still changes.
func (r *RollCall) copy() *RollCall {
	if r == nil {
		return nil
	}
	c := *r
	c.Answers = slices.Clone(r.Answers)
	return &c
}

// view is the job as it is drawn; the job's site.mu is held. A running job
// without a link waits.
func (j *job) view(linkUp bool) Job {
	v := Job{
		ID: j.rec.ID, Kind: j.rec.Kind, Group: j.rec.Group, State: j.rec.State,
		Started: j.rec.Started, Ended: j.rec.Ended, Total: len(j.items), Items: []JobItem{},
	}
	waiting := true
	for _, it := range j.items {
		v.Items = append(v.Items, JobItem{Device: it.dev.id, State: it.rec.State, Step: it.rec.Step, Tries: it.rec.Tries, Problem: it.rec.Problem})
		switch it.rec.State {
		case itemDone:
			v.Done++
		case itemFailed:
			v.Failed++
		case itemWorking:
			waiting = false
		}
	}
	if v.State == JobRunning && (!linkUp || j.paused && (waiting || v.Kind == jobFirmware || v.Kind == jobSettings)) {
		v.State = JobWaiting
	}
	return v
}

func (s *site) touchJob(j *job) {
	s.mu.Lock()
	id := j.rec.ID
	s.mu.Unlock()
	s.e.pub.touch("job/"+id, func() (Event, bool) {
		up, _ := s.e.linkUp()
		s.mu.Lock()
		defer s.mu.Unlock()
		view := j.view(up)
		return Event{Type: "job", Job: &view}, true
	})
}

func (s *site) touchJobs() {
	s.mu.Lock()
	var open []*job
	for _, j := range s.jobs {
		if !j.ended() {
			open = append(open, j)
		}
	}
	s.mu.Unlock()
	for _, j := range open {
		s.touchJob(j)
	}
}

// newestJobs sorts the jobs; s.mu is held.
func (s *site) newestJobs() []*job {
	return slices.SortedFunc(maps.Values(s.jobs), func(a, b *job) int {
		return cmp.Or(cmp.Compare(b.rec.Started, a.rec.Started), cmp.Compare(b.rec.ID, a.rec.ID))
	})
}

package commission

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"lamplighter/internal/store"
)

// Kinds of jobs.
const (
	jobClaim   = "claim"
	jobJoin    = "join"
	jobLeave   = "leave"
	jobRelease = "release"

	jobCommissioners = "commissioners"
	jobCheck         = "check"
	jobRenew         = "renew"
	jobFirmware      = "firmware"
	jobSettings      = "settings"
	jobTestFunction  = "emergency-function" // tests of emergency lights
	jobTestDuration  = "emergency-duration"
)

// States of an item.
const (
	itemTodo    = "todo"
	itemWorking = "working"
	itemDone    = "done"
	itemFailed  = "failed"
)

// maxJobs is how many jobs are kept.
const maxJobs = 50

// job is a job at run time. All is guarded by site.mu.
type job struct {
	rec      jobRecord
	items    []*item
	paused   bool            // its items wait for something that they share
	canceled bool            // by a person
	stop     func()          // ends the work; nil: not at work
	done     chan struct{}   // closed when the work has ended
	groups   map[string]bool // whose keys the work changed
}

// item is one device's part.
type item struct {
	dev *device
	rec itemRecord

	// What the next try does first; guarded by the device's turn.
	relocate bool // look for the device again
	reclaim  bool // claim it by its label, though it seems claimed
	register bool // register it, though it seems registered
}

func (j *job) itemKey(device string) string { return preItem + j.rec.ID + "/" + device }

func (j *job) ended() bool { return j.rec.Ended != 0 }

func newJob(rec jobRecord) *job {
	return &job{rec: rec, done: closed(), groups: map[string]bool{}}
}

// loadJobs reads the jobs with their items; the devices are loaded.
func (s *site) loadJobs(tx store.Tx) error {
	err := scan(tx, preJob, func(id string, r *jobRecord) { s.jobs[id] = newJob(*r) })
	if err != nil {
		return err
	}
	items := map[string]*itemRecord{}
	if err := scan(tx, preItem, func(name string, r *itemRecord) { items[name] = r }); err != nil {
		return err
	}
	for id, j := range s.jobs {
		for _, dev := range j.rec.Devices {
			d, rec := s.devices[dev], items[id+"/"+dev]
			if d == nil {
				continue // forgotten
			}
			if rec == nil {
				rec = &itemRecord{State: itemTodo}
			}
			j.items = append(j.items, &item{dev: d, rec: *rec})
		}
	}
	return nil
}

// resumeJobs goes on with jobs that have not ended.
func (s *site) resumeJobs() {
	s.mu.Lock()
	var open []*job
	for _, j := range s.newestJobs() {
		if !j.ended() {
			open = append(open, j)
		}
	}
	s.mu.Unlock()
	for _, j := range slices.Backward(open) {
		s.run(j)
	}
}

// newJob makes a job that devices are to go through, which nobody knows yet.
func (s *site) newJob(kind, group string, devices []*device) (*job, error) {
	id, err := s.jobID()
	if err != nil {
		return nil, err
	}
	j := newJob(jobRecord{ID: id, Kind: kind, Group: group, State: JobRunning, Started: s.e.now()})
	for _, d := range devices {
		j.rec.Devices = append(j.rec.Devices, d.id)
		j.items = append(j.items, &item{dev: d, rec: itemRecord{State: itemTodo}})
	}
	return j, nil
}

// start makes a job, durably, and begins the work.
func (s *site) start(ctx context.Context, kind, group string, ids []string) (Job, error) {
	devices, err := s.chosen(ids)
	if err != nil {
		return Job{}, err
	}
	j, err := s.newJob(kind, group, devices)
	if err != nil {
		return Job{}, err
	}
	id := j.rec.ID
	// The items are written when they end; until then they are to do.
	if err := s.commit(ctx, append(s.oldest(), write{preJob + id, j.rec})...); err != nil {
		return Job{}, asProblem(err)
	}
	s.mu.Lock()
	s.jobs[id] = j
	s.mu.Unlock()
	s.run(j)
	return s.jobView(j), nil
}

// jobID makes an id that tells when the job began.
func (s *site) jobID() (string, error) {
	random := make([]byte, 4)
	if _, err := io.ReadFull(s.e.cfg.Rand, random); err != nil {
		return "", err
	}
	return time.UnixMilli(s.e.now()).UTC().Format("20060102-150405.000-") + hex.EncodeToString(random), nil
}

// oldest drops ended jobs beyond the limit.
func (s *site) oldest() []write {
	s.mu.Lock()
	defer s.mu.Unlock()
	var writes []write
	for i, j := range s.newestJobs() {
		if i < maxJobs-1 || !j.ended() {
			continue
		}
		if c := s.changes[j.rec.ID]; c != nil && i < 4*maxJobs && c.undoable(s.e.cfg.Now()) {
			continue
		}
		delete(s.jobs, j.rec.ID)
		writes = append(writes, write{preJob + j.rec.ID, nil})
		if s.rollouts[j.rec.ID] != nil {
			delete(s.rollouts, j.rec.ID)
			writes = append(writes, write{preRollout + j.rec.ID, nil}, write{preBoard + j.rec.ID, nil})
		}
		if s.changes[j.rec.ID] != nil {
			delete(s.changes, j.rec.ID)
			writes = append(writes, write{preChange + j.rec.ID, nil})
		}
		for _, dev := range j.rec.Devices {
			writes = append(writes, write{j.itemKey(dev), nil})
		}
	}
	return writes
}

func (s *site) jobView(j *job) Job {
	up, _ := s.e.linkUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	return j.view(up)
}

func (s *site) job(id string) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j != nil {
		return j, nil
	}
	return nil, errNoJob
}

// affected are the groups of the browser whose keys a job changed: those that its
// devices left.
func (s *site) affected(j *job) []*group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.rec.Kind == jobLeave {
		j.groups[j.rec.Group] = true
	}
	var list []*group
	for name := range j.groups {
		if g := s.groups[name]; g != nil && g.member != nil {
			list = append(list, g)
		}
	}
	return list
}

// outcome sums the items up; site.mu is held.
func (j *job) outcome() JobState {
	good, bad := 0, 0
	for _, it := range j.items {
		switch it.rec.State {
		case itemDone:
			good++
		case itemFailed:
			bad++
		}
	}
	switch {
	case j.canceled && good+bad < len(j.items):
		return JobCanceled
	case good == len(j.items):
		return JobDone
	case good == 0:
		return JobFailed
	}
	return JobPartial
}

func (s *site) summary(j *job) string {
	v := s.jobView(j)
	verb := map[string]string{jobClaim: "claimed", jobJoin: "joined to " + v.Group, jobLeave: "removed from " + v.Group, jobRelease: "released",
		jobCommissioners: "told who may manage them", jobCheck: "asked about their groups", jobRenew: "joined to " + v.Group + " anew", jobFirmware: "updated",
		jobSettings: "keep their new settings", jobTestFunction: "passed the function test", jobTestDuration: "passed the duration test"}[v.Kind]
	text := fmt.Sprintf("%d of %s %s", v.Done, plural(v.Total, "device", "devices"), verb)
	if v.Failed > 0 {
		text += fmt.Sprintf(", %d failed", v.Failed)
	}
	return text
}

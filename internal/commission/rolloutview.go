package commission

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lamplighter/internal/rollout"
)

const (
	rolloutPace  = 250 * time.Millisecond // between two events about one rollout
	endedShown   = 5                      // rollouts that have ended in a snapshot
	csvTimestamp = time.RFC3339

	reasonRunning = "fw-running" // of internal/rollout: what was wanted is so already
)

// feed takes a view of the sender over: onto the board, and into the job's items.
func (s *site) feed(j *job, r *fwRollout, v rollout.View) {
	now := s.e.now()
	s.mu.Lock()
	r.take(v, now)
	rows := r.rows()
	for _, it := range j.items {
		it.rec = rows[it.dev.id].item(it.rec)
	}
	j.paused = r.rec.Paused || r.resting || r.board.Waits
	s.mu.Unlock()
	s.touchJob(j)
	s.touchRollout(j.rec.ID)
}

// take brings the board up to date; site.mu is held.
func (r *fwRollout) take(v rollout.View, now int64) {
	b := &r.board
	b.Phase, b.Paused, b.Waits = RolloutPhase(v.Phase), v.Paused, v.Waits
	b.Ended = unixMilli(v.Ended)
	b.Blocks, b.BlockSize, b.Sent, b.Parity = v.Blocks, v.BlockSize, v.Sent-v.Parity, v.Parity
	b.Sweeps, b.Unicast, b.Bytes = v.Sweeps, v.Unicast, v.Bytes
	b.PredictedSeconds, b.UnicastSeconds, b.Left = v.Predicted.Seconds(), v.ByUnicast.Seconds(), v.Left.Seconds()
	b.Problem, b.ProblemDevice = reasonProblem(v.Problem), v.ProblemDevice
	b.Generations, b.Samples, b.Waves = []RolloutGeneration{}, []RolloutSample{}, []FirmwareWave{}
	for _, g := range v.Generations {
		b.Generations = append(b.Generations, RolloutGeneration(g))
	}
	for _, m := range v.Samples {
		b.Samples = append(b.Samples, RolloutSample{At: unixMilli(m.At), Loss: m.Loss, Worst: m.Worst, Rate: m.Rate})
	}
	for _, w := range v.Waves {
		b.Waves = append(b.Waves, FirmwareWave{Name: w.Name, Devices: append([]string{}, w.Devices...), State: WaveState(w.State), Done: w.Done, Failed: w.Failed})
	}
	r.takeDevices(v.Devices, now)
}

// takeDevices takes the rows over and notes since when each is as it is.
func (r *fwRollout) takeDevices(list []rollout.DeviceView, now int64) {
	rows := make([]RolloutDevice, 0, len(list))
	since := make(map[string]rolloutOf, len(list)) // records are never changed once they are shared
	for _, d := range list {
		row := RolloutDevice{
			Device: d.Device, State: RolloutState(d.State), Progress: d.Progress, Missing: d.Missing, Alone: d.Alone, Loss: d.Loss,
			Version: d.Version, Wave: d.Wave, Problem: reasonProblem(d.Problem),
		}
		rows = append(rows, row)
		kept := r.rec.Rows[d.Device]
		if kept.From == "" {
			kept.From = d.Version
		}
		if kept.State != row.State {
			kept.State, kept.At = row.State, now
		}
		since[d.Device] = kept
	}
	r.board.Devices, r.rec.Rows = rows, since
}

// rows finds the board's rows by device; site.mu is held.
func (r *fwRollout) rows() map[string]RolloutDevice {
	rows := map[string]RolloutDevice{}
	for _, row := range r.board.Devices {
		rows[row.Device] = row
	}
	return rows
}

// item is a device's part of the job as its row has it.
func (d RolloutDevice) item(it itemRecord) itemRecord {
	it.Problem = d.Problem
	switch d.State {
	case RolloutReceiving:
		it.State, it.Step = itemWorking, fmt.Sprintf("receiving, %.0f %%", 100*d.Progress)
	case RolloutVerified:
		it.State, it.Step = itemWorking, "has the image"
	case RolloutSwitching, RolloutTesting:
		it.State, it.Step = itemWorking, string(d.State)
	case RolloutConfirmed:
		it.State, it.Step, it.Problem = itemDone, "runs "+d.Version, nil
	case RolloutLeftOut:
		it.State, it.Step = itemFailed, "left out"
		if d.Problem != nil && d.Problem.ID == reasonRunning {
			it.State, it.Step, it.Problem = itemDone, "runs it already", nil
		}
	case RolloutReverted, RolloutFailed, RolloutSilent:
		it.State, it.Step = itemFailed, string(d.State)
	default:
		it.State, it.Step = itemTodo, ""
	}
	return it
}

// reasonProblem is why a device or a rollout failed, as a person reads it.
func reasonProblem(r *rollout.Reason) *Problem {
	if r == nil {
		return nil
	}
	return &Problem{ID: r.ID, Text: r.Text, Next: r.Next, Retry: passes(r.Next)}
}

// passes reports whether the next step is to try again as it is.
func passes(next string) bool { return strings.Contains(strings.ToLower(next), "try again") }

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// view is the rollout as it is drawn; site.mu is held.
func (r *fwRollout) view() Rollout {
	v := r.board
	v.Devices = slices.Clone(v.Devices)
	if !v.Phase.over() {
		if v.Paused = r.rec.Paused; v.Paused || r.resting {
			v.Phase = PhasePaused
		}
		if r.resting && v.Problem == nil {
			v.Problem = &errPaused.Problem
		}
	}
	return v
}

// touchRollout tells of a rollout, at most every rolloutPace.
func (s *site) touchRollout(id string) {
	s.mu.Lock()
	r := s.rollouts[id]
	if r != nil {
		r.pace.later(s.e.now(), func() { s.touchRolloutNow(id) })
	}
	s.mu.Unlock()
}

// boardPace is when a board was told of last. site.mu guards it.
type boardPace struct {
	told int64
	due  bool // it will be told of in a moment
}

// later has a board told of when rolloutPace has passed since the last time.
func (p *boardPace) later(now int64, tell func()) {
	if !p.due {
		p.due = true
		wait := rolloutPace - time.Duration(now-p.told)*time.Millisecond
		time.AfterFunc(max(min(wait, rolloutPace), 0), tell)
	}
}

// touchRolloutNow tells of a rollout with the next events.
func (s *site) touchRolloutNow(id string) {
	s.mu.Lock()
	if r := s.rollouts[id]; r != nil {
		r.pace = boardPace{told: s.e.now()}
	}
	s.mu.Unlock()
	s.e.pub.touch("rollout/"+id, func() (Event, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		r := s.rollouts[id]
		if r == nil {
			return Event{}, false
		}
		view := r.view()
		return Event{Type: "rollout", Rollout: &view}, true
	})
}

// rolloutViews are the rollouts of a snapshot, newest first: all that are under way
// and the latest that have ended; s.mu is held.
func (s *site) rolloutViews() []Rollout {
	list, ended := []Rollout{}, 0
	for _, j := range s.newestJobs() {
		r := s.rollouts[j.rec.ID]
		if r == nil {
			continue
		}
		if j.ended() {
			if ended++; ended > endedShown {
				continue
			}
		}
		list = append(list, r.view())
	}
	return list
}

// FirmwareReport is a rollout as a table. Before the table stands which image it was
// and who signed it.
func (e *Engine) FirmwareReport(_ context.Context, job string) (string, error) {
	s, _, r, err := e.rollout(job)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	v, kept := r.view(), r.rec.Rows
	rows := make([][]string, 0, len(v.Devices))
	for _, d := range v.Devices {
		rows = append(rows, s.reportRow(&v, d, kept[d.Device]))
	}
	s.mu.Unlock()
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write([]string{"image", plainCell(v.Image.Name), "version", plainCell(v.Image.Version), "sequence", strconv.FormatUint(v.Image.Sequence, 10)})
	w.Write([]string{"digest", v.Image.Digest, "signer", v.Image.Signer, "verified", strconv.FormatBool(v.Image.Signed)})
	w.Write([]string{"group", v.Group, "started", timeCell(v.Started), "ended", timeCell(v.Ended), "phase", string(v.Phase)})
	w.Write([]string{"device", "name", "place", "from_version", "to_version", "state", "blocks", "loss_percent", "since", "problem"})
	slices.SortFunc(rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	for _, row := range rows {
		w.Write(row)
	}
	w.Flush()
	return out.String(), w.Error()
}

// reportRow is one device's line; s.mu is held.
func (s *site) reportRow(v *Rollout, d RolloutDevice, kept rolloutOf) []string {
	row := []string{d.Device, "", "", plainCell(kept.From), plainCell(d.Version), string(d.State), "", "", timeCell(kept.At), ""}
	if dev := s.devices[d.Device]; dev != nil {
		row[1], row[2] = plainCell(dev.rec.Name), plainCell(dev.rec.Place)
	}
	if d.State != RolloutLeftOut {
		row[6], row[7] = strconv.Itoa(v.Blocks-d.Missing), strconv.FormatFloat(100*d.Loss, 'f', 1, 64)
	}
	if d.Problem != nil {
		row[9] = plainCell(d.Problem.Text)
	}
	return row
}

func timeCell(at int64) string {
	if at == 0 {
		return ""
	}
	return time.UnixMilli(at).UTC().Format(csvTimestamp)
}

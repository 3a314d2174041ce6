package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"lamplighter/internal/commission"
)

// Exit codes of a rollout besides 0 and 1.
const (
	exitPartial     = 3
	exitInterrupted = 130 // as a shell has it for Ctrl-C
)

func printImage(out io.Writer, i commission.FirmwareImage) {
	fmt.Fprintf(out, "%s %s, sequence %d, %s\n", i.Name, i.Version, i.Sequence, bytesText(i.Size))
	switch {
	case i.Signed:
		fmt.Fprintf(out, "signed by %s (%s), a key that devices of this site trust\n", i.Signer, i.Algorithm)
	case i.Signer != "":
		fmt.Fprintf(out, "signed by %s (%s)\n", i.Signer, i.Algorithm)
	default:
		fmt.Fprintf(out, "signed (%s) by a key that is not known here; each device says whether it trusts it\n", i.Algorithm)
	}
}

// printPlan prints what would happen, and for each device that is left out why.
func printPlan(out io.Writer, s commission.Snapshot, p commission.FirmwarePlan) {
	names := deviceNames(s)
	fmt.Fprintf(out, "\n%s: %d of %d devices can take it\n", p.Group, p.Fits, p.Fits+p.Left)
	if p.Image.Signed {
		fmt.Fprintln(out, "  they trust who signed it")
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, d := range p.Devices {
		if !d.Fits && d.Problem != nil {
			fmt.Fprintf(table, "  left out\t%s\t%s\t%s\n", names(d.Device), d.Problem.ID, sentence(d.Problem))
		}
	}
	table.Flush()
	if p.Fits == 0 {
		return
	}
	fmt.Fprintf(out, "  %d blocks of %d bytes, about %s on the air, %s to all at once (one by one: %s)\n",
		p.Blocks, p.BlockSize, bytesText(p.Bytes), seconds(p.Seconds), seconds(p.UnicastSeconds))
	var waves []string
	for _, w := range p.Waves {
		waves = append(waves, fmt.Sprintf("%s %d", w.Name, len(w.Devices)))
	}
	fmt.Fprintf(out, "  waves: %s\n", strings.Join(waves, ", then "))
	if p.Options.At > 0 {
		fmt.Fprintf(out, "  switches at %s\n", time.UnixMilli(p.Options.At).Format("2006-01-02 15:04:05"))
	}
}

func deviceNames(s commission.Snapshot) func(id string) string {
	names := map[string]string{}
	for _, d := range s.Devices {
		names[d.ID] = d.Name
	}
	return func(id string) string {
		if names[id] == "" {
			return id
		}
		return names[id]
	}
}

func bytesText(n int) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.0f KiB", float64(n)/1024)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func seconds(s float64) string {
	return (time.Duration(s*float64(time.Second)) + time.Second/2).Truncate(time.Second).String()
}

// rolloutWatch prints how a rollout goes on.
type rolloutWatch struct {
	out    io.Writer
	news   chan commission.Rollout // holds the latest
	log    func(commission.Event)
	last   string
	at     time.Time
	failed map[string]bool // devices whose failure was told
}

// printEvery is how often a line of progress comes at most.
const printEvery = time.Second

func newRolloutWatch(out io.Writer) *rolloutWatch {
	return &rolloutWatch{out: out, news: make(chan commission.Rollout, 1), log: printEvents(out), failed: map[string]bool{}}
}

// event takes an event of the engine; events come one at a time.
func (w *rolloutWatch) event(e commission.Event) {
	w.log(e)
	if e.Rollout == nil {
		return
	}
	select {
	case <-w.news:
	default:
	}
	w.news <- *e.Rollout
}

// follow prints until a job has ended, and makes its result an exit code.
func (w *rolloutWatch) follow(ctx context.Context, e firmwareEngine, job, again string) error {
	poll := time.NewTicker(5 * time.Second)
	defer poll.Stop()
	for {
		r, err := e.Firmware(ctx, job)
		if ctx.Err() != nil {
			return w.interrupted(again)
		}
		if err != nil {
			return err
		}
		w.progress(e.Snapshot(), r)
		if r.Ended != 0 {
			return w.result(e.Snapshot(), r)
		}
		select {
		case <-ctx.Done():
			return w.interrupted(again)
		case <-w.news:
		case <-poll.C:
		}
	}
}

func (w *rolloutWatch) interrupted(again string) error {
	return exitError{fmt.Errorf("interrupted; the devices keep what they have. To go on: %s", again), exitInterrupted}
}

// progress prints a line when there is something new, and each failure once.
func (w *rolloutWatch) progress(s commission.Snapshot, r commission.Rollout) {
	names := deviceNames(s)
	for _, d := range r.Devices {
		if d.Problem != nil && !w.failed[d.Device] && d.State != commission.RolloutLeftOut {
			w.failed[d.Device] = true
			fmt.Fprintf(w.out, "%s: %s: %s\n", names(d.Device), d.State, sentence(d.Problem))
		}
	}
	line := progressLine(r)
	if line == w.last || r.Ended == 0 && time.Since(w.at) < printEvery {
		return
	}
	w.last, w.at = line, time.Now()
	fmt.Fprintln(w.out, line)
}

// progressLine is where a rollout stands, in a line.
func progressLine(r commission.Rollout) string {
	states := map[commission.RolloutState]int{}
	var least float64 = 1
	for _, d := range r.Devices {
		states[d.State]++
		if d.State == commission.RolloutReceiving || d.State == commission.RolloutWaiting {
			least = min(least, d.Progress)
		}
	}
	parts := []string{string(r.Phase)}
	if r.Paused {
		parts = append(parts, "paused")
	}
	if r.Blocks > 0 && (r.Phase == commission.PhaseSending || r.Phase == commission.PhasePlanning) {
		parts = append(parts, fmt.Sprintf("%d of %d blocks and %d of parity", r.Sent, r.Blocks, r.Parity), fmt.Sprintf("the slowest device has %.0f %%", 100*least))
		if n := len(r.Samples); n > 0 {
			parts = append(parts, fmt.Sprintf("loss %.1f %%, worst %.1f %%", 100*r.Samples[n-1].Loss, 100*r.Samples[n-1].Worst))
		}
		if r.Left > 0 {
			parts = append(parts, seconds(r.Left)+" left")
		}
	}
	for _, wave := range r.Waves {
		if wave.State != commission.WaveWaiting && wave.State != commission.WaveDone {
			parts = append(parts, fmt.Sprintf("%s %s, %d of %d done", wave.Name, wave.State, wave.Done, len(wave.Devices)))
		}
	}
	if r.Waits {
		parts = append(parts, "waits for: lamplighter firmware advance "+r.Job)
	}
	parts = append(parts, fmt.Sprintf("%d verified, %d confirmed", states[commission.RolloutVerified], states[commission.RolloutConfirmed]))
	return strings.Join(parts, "; ")
}

// result prints the end and says by its error how good it is.
func (w *rolloutWatch) result(s commission.Snapshot, r commission.Rollout) error {
	names := deviceNames(s)
	good, rest := 0, 0
	table := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	for _, d := range r.Devices {
		already := d.State == commission.RolloutLeftOut && d.Problem != nil && d.Problem.ID == "fw-running"
		if d.State == commission.RolloutConfirmed || already {
			good++
			continue
		}
		rest++
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", names(d.Device), d.State, d.Version, sentence(d.Problem))
	}
	fmt.Fprintf(w.out, "%s: %d of %d devices run %s; %d blocks, %d of parity, %d to one device, %d sweeps, %s\n",
		r.Phase, good, good+rest, r.Image.Version, r.Sent, r.Parity, r.Unicast, r.Sweeps, bytesText(r.Bytes))
	table.Flush()
	switch {
	case rest == 0:
		return nil
	case good == 0 && r.Problem != nil:
		return told(r.Problem)
	case good == 0:
		return fmt.Errorf("no device runs %s", r.Image.Version)
	}
	return exitError{fmt.Errorf("%d of %d devices do not run %s", rest, good+rest, r.Image.Version), exitPartial}
}

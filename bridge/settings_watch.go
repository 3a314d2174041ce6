package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"lamplighter/internal/commission"
)

// tally counts the devices of a change.
type tally struct {
	good int // they run it
	todo int // they can, or try it
	bad  int
}

func (t *tally) add(o tally) {
	t.good += o.good
	t.todo += o.todo
	t.bad += o.bad
}

// err is nil when no device is left out; else it has the exit code.
func (t tally) err(what string) error {
	switch {
	case t.bad == 0:
		return nil
	case t.good+t.todo == 0:
		return fmt.Errorf("all %d devices %s", t.bad, what)
	}
	return exitError{fmt.Errorf("%d of %d devices %s", t.bad, t.good+t.todo+t.bad, what), exitPartial}
}

// count counts where the devices stand.
func count(r commission.SettingsRun) (t tally) {
	for _, row := range r.Rows {
		switch row.State {
		case commission.SettingsRowSame, commission.SettingsRowConfirmed:
			t.good++
		case commission.SettingsRowPlanned, commission.SettingsRowChecked, commission.SettingsRowStaged, commission.SettingsRowScheduled, commission.SettingsRowTrial:
			t.todo++
		default:
			t.bad++
		}
	}
	return t
}

// settingsWatch prints how a change goes on, and asks the person in front of it.
type settingsWatch struct {
	out   io.Writer
	lines chan string // what the person types; closed at the end
	flags engineFlags
	news  chan struct{}
	log   func(commission.Event)
	last  string
}

func newSettingsWatch(out io.Writer, answers io.Reader, flags engineFlags) *settingsWatch {
	w := &settingsWatch{out: out, lines: make(chan string), flags: flags, news: make(chan struct{}, 1), log: printEvents(out)}
	go func() {
		defer close(w.lines)
		for in := bufio.NewScanner(answers); in.Scan(); {
			w.lines <- in.Text()
		}
	}()
	return w
}

// event takes an event of the engine.
func (w *settingsWatch) event(e commission.Event) {
	w.log(e)
	if e.Settings != nil {
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}

// said is what a person answers: yes, no, or neither.
func said(line string) (yes, no bool) {
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, false
	case "n", "no":
		return false, true
	}
	return false, false
}

// ask waits for an answer.
func (w *settingsWatch) ask(ctx context.Context, question string) bool {
	fmt.Fprint(w.out, question)
	select {
	case line := <-w.lines:
		yes, _ := said(line)
		return yes
	case <-ctx.Done():
		return false
	}
}

// follow prints until a change has ended, or waits for a person who is not here. keep:
// it is confirmed when all that switched run it, else reverted.
func (w *settingsWatch) follow(ctx context.Context, e settingsEngine, job string, keep bool) (run commission.SettingsRun, err error) {
	poll := time.NewTicker(time.Second)
	defer poll.Stop()
	var lines <-chan string // while it is asked whether to keep it
	for {
		run, err = e.SettingsRun(ctx, job)
		if ctx.Err() != nil {
			return run, w.interrupted(job)
		}
		if err != nil {
			return run, err
		}
		w.progress(run)
		switch {
		case run.Ended != 0:
			printSettingsResult(w.out, e.Snapshot(), run)
			return run, nil
		case run.Phase == commission.SettingsTrying && keep:
			keep = false
			w.decide(ctx, e, run, allTry(run))
			continue
		case run.Phase == commission.SettingsTrying && lines == nil:
			fmt.Fprintf(w.out, "%s. They go back by themselves at %s. Keep it? [y/n] ", tried(run), timeOfDay(run.RevertAt))
			lines = w.lines
		}
		select {
		case <-ctx.Done():
			return run, w.interrupted(job)
		case line, ok := <-lines:
			if !ok {
				fmt.Fprintf(w.out, "\nNobody has confirmed it. To keep it: %s\n", w.again("confirm", job))
				return run, nil
			}
			if yes, no := said(line); yes || no {
				w.decide(ctx, e, run, yes)
			} else {
				fmt.Fprint(w.out, "Say y to keep it, or n to go back: ")
			}
		case <-w.news:
		case <-poll.C:
		}
	}
}

// decide confirms or reverts, and says what went wrong: then it can be tried again.
func (w *settingsWatch) decide(ctx context.Context, e settingsEngine, run commission.SettingsRun, keep bool) {
	do := e.RevertSettings
	if keep {
		do = e.ConfirmSettings
	}
	if _, err := do(ctx, run.Job); err != nil {
		fmt.Fprintln(w.out, err)
	}
}

// allTry says whether all that switched run what they should.
func allTry(run commission.SettingsRun) bool {
	tries := 0
	for _, row := range run.Rows {
		switch row.State {
		case commission.SettingsRowTrial:
			tries++
			if row.Is != row.Expected {
				return false
			}
		case commission.SettingsRowStaged, commission.SettingsRowScheduled, commission.SettingsRowReverted:
			return false
		case commission.SettingsRowSilent:
			if !silentBefore(row) {
				return false
			}
		}
	}
	return tries > 0
}

// silentBefore says whether a device was silent before the change began, and was left
// out.
func silentBefore(row commission.SettingsRow) bool {
	return row.State == commission.SettingsRowSilent && row.Expected == ""
}

func tried(run commission.SettingsRun) string {
	n := 0
	for _, row := range run.Rows {
		if row.State == commission.SettingsRowTrial {
			n++
		}
	}
	return fmt.Sprintf("%d of %d devices try the new settings", n, len(run.Rows))
}

func timeOfDay(ms int64) string { return time.UnixMilli(ms).Format("15:04:05") }

func (w *settingsWatch) again(what, job string) string {
	return fmt.Sprintf("lamplighter settings %s %s --link %s --data %s", what, job, linkForPrint(w.flags.Link), w.flags.Data)
}

func (w *settingsWatch) interrupted(job string) error {
	return exitError{errors.New("interrupted; devices that try new settings go back by themselves. To keep them: " + w.again("confirm", job)), exitInterrupted}
}

// progress prints a line when there is something new.
func (w *settingsWatch) progress(run commission.SettingsRun) {
	if line := settingsLine(run); line != w.last {
		w.last = line
		fmt.Fprintln(w.out, line)
	}
}

// settingsLine is where a change stands, in a line.
func settingsLine(run commission.SettingsRun) string {
	states := map[commission.SettingsRowState]int{}
	var order []commission.SettingsRowState
	for _, row := range run.Rows {
		if states[row.State] == 0 {
			order = append(order, row.State)
		}
		states[row.State]++
	}
	parts := []string{string(run.Phase)}
	for _, s := range order {
		parts = append(parts, fmt.Sprintf("%d %s", states[s], s))
	}
	if run.Phase == commission.SettingsScheduled && run.SwitchAt > 0 {
		parts = append(parts, "switch at "+timeOfDay(run.SwitchAt))
	}
	return strings.Join(parts, "; ")
}

// printSettingsResult prints the end, and each device that does not run it.
func printSettingsResult(out io.Writer, s commission.Snapshot, run commission.SettingsRun) {
	names := deviceNames(s)
	t := count(run)
	fmt.Fprintf(out, "%s: %d of %d devices run it; %d requests, %d of them to one device, %s\n",
		run.Phase, t.good, len(run.Rows), run.Requests, run.UnicastRequests, bytesText(run.Bytes))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range run.Rows {
		if row.State != commission.SettingsRowSame && row.State != commission.SettingsRowConfirmed {
			fmt.Fprintf(table, "  %s\t%s\t%s\n", names(row.Device), row.State, sentence(row.Problem))
		}
	}
	table.Flush()
	if run.Problem != nil {
		fmt.Fprintln(out, sentence(run.Problem))
	}
	if run.UndoUntil > 0 && run.Phase == commission.SettingsDone {
		fmt.Fprintf(out, "It can be undone until %s: lamplighter settings undo %s\n", time.UnixMilli(run.UndoUntil).Format("2006-01-02"), run.Job)
	}
}

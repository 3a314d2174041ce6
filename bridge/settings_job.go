package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"lamplighter/bridge/control"
	"lamplighter/internal/commission"
)

// settingsName is the control socket of a running change of settings.
const settingsName = "settings"

// settingsActs are what can be done with a change; each returns where it stands then.
func settingsActs(e settingsEngine) map[string]func(context.Context, string) (commission.SettingsRun, error) {
	return map[string]func(context.Context, string) (commission.SettingsRun, error){
		"status": e.SettingsRun, "confirm": e.ConfirmSettings, "revert": e.RevertSettings,
	}
}

// serveSettings lets other commands look at and steer the changes of an engine.
func serveSettings(data string, e settingsEngine, logger *slog.Logger) (stop func(), err error) {
	return serveJobs(data, settingsName, settingsActs(e), func(job string) (string, error) { return whichChange(e, job) }, logger)
}

// whichChange is the job that was named, or the latest change.
func whichChange(e settingsEngine, job string) (string, error) {
	if job != "" {
		return job, nil
	}
	if all := e.Snapshot().Settings; len(all) > 0 {
		return all[0].Job, nil
	}
	return "", control.Refuse("there is no change of settings; begin one with: lamplighter settings apply")
}

// whichUndo is the job that was named, or the latest change that can be undone.
func whichUndo(e settingsEngine, job string) (string, error) {
	for _, run := range e.Snapshot().Settings {
		if job == "" && run.UndoUntil > 0 {
			return run.Job, nil
		}
	}
	return whichChange(e, job)
}

// settingsStatusCmd says where a change stands.
type settingsStatusCmd struct {
	Job  string `arg:"" optional:"" help:"The job; default: the latest."`
	Data string `type:"path" required:"" help:"Folder of the engine's state, as settings apply has it."`
}

// Run asks the running apply, or reads what is stored.
func (c settingsStatusCmd) Run(ctx context.Context) error {
	run, err := control.Call[commission.SettingsRun](ctx, c.Data, settingsName, "POST", "/status", c.Job)
	if errors.Is(err, control.ErrNotRunning) {
		run, err = c.stored(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Printf("job %s: %s of %s\n%s\n", run.Job, run.Change.Model, run.Change.Group, settingsLine(run))
	fmt.Print(untilReverted(run, time.Now()))
	return nil
}

// untilReverted says when devices go back that try new settings, or that they did.
func untilReverted(run commission.SettingsRun, now time.Time) string {
	switch {
	case run.Phase != commission.SettingsTrying:
		return ""
	case now.Before(time.UnixMilli(run.RevertAt)):
		return fmt.Sprintf("devices go back by themselves at %s unless it is confirmed\n", timeOfDay(run.RevertAt))
	}
	return fmt.Sprintf("nobody confirmed it from here until %s: devices went back by themselves\n", timeOfDay(run.RevertAt))
}

func (c settingsStatusCmd) stored(ctx context.Context) (commission.SettingsRun, error) {
	return offline(ctx, c.Data, func(e *commission.Engine) (run commission.SettingsRun, err error) {
		job, err := whichChange(e, c.Job)
		if err != nil {
			return run, err
		}
		return e.SettingsRun(ctx, job)
	})
}

// changeJob is what the commands on a change have alike.
type changeJob struct {
	Job string `arg:"" optional:"" help:"The job; default: the latest."`
	engineFlags
}

// act has the running apply do something, or does it here with an engine of its own,
// and follows to the end.
func (j changeJob) act(ctx context.Context, logger *slog.Logger, name, want string) error {
	run, err := control.Call[commission.SettingsRun](ctx, j.Data, settingsName, "POST", "/"+name, j.Job)
	if !errors.Is(err, control.ErrNotRunning) {
		if err != nil {
			return err
		}
		fmt.Println(settingsLine(run))
		return nil
	}
	return j.withSettings(ctx, logger, func(e *commission.Engine, watch *settingsWatch) error {
		job, err := whichChange(e, j.Job)
		if err != nil {
			return err
		}
		if _, err := settingsActs(e)[name](ctx, job); err != nil {
			return err
		}
		run, err := watch.follow(ctx, e, job, false)
		if err != nil {
			return err
		}
		return outcome(run, want)
	})
}

// outcome is nil when a change ended as it should have.
func outcome(run commission.SettingsRun, want string) error {
	if want != "reverted" {
		return count(run).err("do not run it")
	}
	var t tally
	for _, row := range run.Rows {
		switch row.State {
		case commission.SettingsRowConfirmed, commission.SettingsRowTrial, commission.SettingsRowSilent:
			if !silentBefore(row) {
				t.bad++
			}
		default:
			t.good++
		}
	}
	return t.err("may run the new settings")
}

// settingsConfirmCmd keeps what devices try.
type settingsConfirmCmd struct{ changeJob }

// Run confirms.
func (c settingsConfirmCmd) Run(ctx context.Context, logger *slog.Logger) error {
	return c.act(ctx, logger, "confirm", "confirmed")
}

// settingsRevertCmd takes a change back.
type settingsRevertCmd struct{ changeJob }

// Run reverts.
func (c settingsRevertCmd) Run(ctx context.Context, logger *slog.Logger) error {
	return c.act(ctx, logger, "revert", "reverted")
}

// settingsUndoCmd goes back to the settings before a change.
type settingsUndoCmd struct {
	changeJob
	timing
	applyFlags
}

// Run undoes: that is a change of its own.
func (c settingsUndoCmd) Run(ctx context.Context, logger *slog.Logger) error {
	if f := c.flaw(); f != "" {
		return errors.New(f)
	}
	return c.withSettings(ctx, logger, func(e *commission.Engine, watch *settingsWatch) error {
		job, err := whichUndo(e, c.Job)
		if err != nil {
			return err
		}
		change, err := e.UndoSettings(ctx, job)
		if err != nil {
			return err
		}
		c.put(&change)
		return c.apply(ctx, e, watch, []commission.SettingsChange{change})
	})
}

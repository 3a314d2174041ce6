package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"lamplighter/bridge/control"
	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
)

// firmwareName is the control socket of a running push.
const firmwareName = "firmware"

// serveFirmware lets other commands look at and steer the rollouts of an engine.
func serveFirmware(data string, e firmwareEngine, logger *slog.Logger) (stop func(), err error) {
	return serveJobs(data, firmwareName, firmwareActs(e), func(job string) (string, error) { return whichJob(e, job) }, logger)
}

// firmwareActs are what can be done with a rollout; each returns what to print.
func firmwareActs(e firmwareEngine) map[string]func(ctx context.Context, job string) (string, error) {
	steer := func(do func(context.Context, string) (commission.Job, error), done string) func(context.Context, string) (string, error) {
		return func(ctx context.Context, job string) (string, error) {
			if _, err := do(ctx, job); err != nil {
				return "", err
			}
			return done + "\n", nil
		}
	}
	return map[string]func(context.Context, string) (string, error){
		"status": func(ctx context.Context, job string) (string, error) {
			r, err := e.Firmware(ctx, job)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("job %s: %s %s to %s\n%s\n", r.Job, r.Image.Name, r.Image.Version, r.Group, progressLine(r)), nil
		},
		"report":  e.FirmwareReport,
		"pause":   steer(e.PauseFirmware, "paused; nothing more is sent"),
		"resume":  steer(e.ResumeFirmware, "it goes on"),
		"advance": steer(e.AdvanceFirmware, "the next wave begins"),
		"abort":   steer(e.CancelJob, "stopped; devices that have switched stay as they are"),
	}
}

// whichJob is the job that was named, or the latest rollout.
func whichJob(e firmwareEngine, job string) (string, error) {
	if job != "" {
		return job, nil
	}
	if all := e.Snapshot().Rollouts; len(all) > 0 {
		return all[0].Job, nil
	}
	return "", control.Refuse("there is no rollout; start one with: lamplighter firmware push")
}

// firmwareJob is what the commands on a rollout have alike.
type firmwareJob struct {
	Job  string `arg:"" optional:"" help:"The job; default: the latest."`
	Data string `type:"path" required:"" help:"Folder of the engine's state, as firmware push has it."`
}

// act has the running push do something, or else an engine that does not reach the
// network: it reads and writes the stored job only.
func (j firmwareJob) act(ctx context.Context, name string) error {
	text, err := control.Call[string](ctx, j.Data, firmwareName, "POST", "/"+name, j.Job)
	if errors.Is(err, control.ErrNotRunning) {
		text, err = j.offline(ctx, name)
	}
	if err != nil {
		return err
	}
	fmt.Print(text)
	return nil
}

func (j firmwareJob) offline(ctx context.Context, name string) (string, error) {
	return offline(ctx, j.Data, func(e *commission.Engine) (string, error) {
		job, err := whichJob(e, j.Job)
		if err != nil {
			return "", err
		}
		return firmwareActs(e)[name](ctx, job)
	})
}

// nowhere is the network of a command that must not use it.
type nowhere struct{}

// Exchange implements [coap.Exchanger].
func (nowhere) Exchange(context.Context, netip.AddrPort, *coap.Message) (*coap.Message, error) {
	return nil, coap.ErrLink
}

// Multicast implements [coap.Exchanger].
func (nowhere) Multicast(context.Context, netip.AddrPort, *coap.Message, time.Duration, func(*coap.Message, netip.AddrPort)) error {
	return coap.ErrLink
}

// firmwareStatusCmd says where a rollout stands.
type firmwareStatusCmd struct{ firmwareJob }

// Run asks.
func (c firmwareStatusCmd) Run(ctx context.Context) error { return c.act(ctx, "status") }

// firmwareReportCmd prints the result as CSV.
type firmwareReportCmd struct{ firmwareJob }

// Run asks.
func (c firmwareReportCmd) Run(ctx context.Context) error { return c.act(ctx, "report") }

// firmwarePauseCmd stops sending and switching for a while.
type firmwarePauseCmd struct{ firmwareJob }

// Run pauses.
func (c firmwarePauseCmd) Run(ctx context.Context) error { return c.act(ctx, "pause") }

// firmwareAdvanceCmd begins the next wave of a rollout that holds.
type firmwareAdvanceCmd struct{ firmwareJob }

// Run advances.
func (c firmwareAdvanceCmd) Run(ctx context.Context) error { return c.act(ctx, "advance") }

// firmwareResumeCmd goes on with a rollout: in the push that still runs, or here.
type firmwareResumeCmd struct {
	Job string `arg:"" optional:"" help:"The job; default: the latest."`
	engineFlags
}

// Run resumes and follows.
func (c firmwareResumeCmd) Run(ctx context.Context, logger *slog.Logger) error {
	return throughRunning(ctx, logger, c.engineFlags, c.Job, "resume", func(e *commission.Engine, watch *rolloutWatch, job string) error {
		r, err := e.Firmware(ctx, job)
		switch {
		case err != nil:
			return err
		case r.Ended != 0:
			return watch.result(e.Snapshot(), r)
		case r.Paused:
			if _, err := e.ResumeFirmware(ctx, job); err != nil {
				return err
			}
		}
		return watch.follow(ctx, e, job, c.again(job))
	})
}

// firmwareAbortCmd ends a rollout and tells the devices to drop what they have.
type firmwareAbortCmd struct {
	Job string `arg:"" optional:"" help:"The job; default: the latest."`
	engineFlags
}

// Run aborts.
func (c firmwareAbortCmd) Run(ctx context.Context, logger *slog.Logger) error {
	return throughRunning(ctx, logger, c.engineFlags, c.Job, "abort", func(e *commission.Engine, watch *rolloutWatch, job string) error {
		text, err := firmwareActs(e)["abort"](ctx, job)
		fmt.Fprint(watch.out, text)
		return err
	})
}

// throughRunning has the running push do something, or does it here with an engine
// of its own.
func throughRunning(ctx context.Context, logger *slog.Logger, f engineFlags, job, name string, here func(*commission.Engine, *rolloutWatch, string) error) error {
	text, err := control.Call[string](ctx, f.Data, firmwareName, "POST", "/"+name, job)
	if !errors.Is(err, control.ErrNotRunning) {
		fmt.Print(text)
		return err
	}
	watch := newRolloutWatch(os.Stdout)
	e, done, err := f.open(ctx, logger, watch.event)
	if err != nil {
		return err
	}
	defer done()
	if job, err = whichJob(e, job); err != nil {
		return err
	}
	stop, err := serveFirmware(f.Data, e, logger)
	if err != nil {
		return err
	}
	defer stop()
	return here(e, watch, job)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"lamplighter/internal/commission"
)

// groupFlags name a group for a command that does one thing with it.
type groupFlags struct {
	engineFlags
	Group string `default:"hall-ceiling" help:"The group."`
}

// call makes a roll call of what a group is told.
func (f groupFlags) call(ctx context.Context, logger *slog.Logger, do func(*commission.Engine) (commission.RollCall, error)) error {
	engine, done, err := f.open(ctx, logger, printEvents(os.Stdout))
	if err != nil {
		return err
	}
	defer done()
	call, err := do(engine)
	if err != nil {
		return err
	}
	return printRollCall(os.Stdout, engine.Snapshot(), call)
}

// sceneRecallCmd recalls a scene.
type sceneRecallCmd struct {
	Scene int `arg:"" help:"Number of the scene, 0 to 15."`
	groupFlags
	Fade time.Duration `default:"0s" help:"How long the lamps take to it. Default: as they have stored."`
}

// Run recalls.
func (c sceneRecallCmd) Run(ctx context.Context, logger *slog.Logger) error {
	if c.Scene < 0 || c.Scene > 15 {
		return errors.New("scenes are numbered 0 to 15")
	}
	if c.Fade < 0 || c.Fade > time.Hour {
		return errors.New("--fade is from 0s to 1h")
	}
	return c.call(ctx, logger, func(e *commission.Engine) (commission.RollCall, error) {
		return e.RecallScene(ctx, c.Group, c.Scene, int(c.Fade.Milliseconds()))
	})
}

// emergencyOnCmd has all lamps shine.
type emergencyOnCmd struct{ groupFlags }

// Run begins it.
func (c emergencyOnCmd) Run(ctx context.Context, logger *slog.Logger) error {
	return c.call(ctx, logger, func(e *commission.Engine) (commission.RollCall, error) { return e.Emergency(ctx, c.Group, true) })
}

// emergencyOffCmd ends an emergency.
type emergencyOffCmd struct{ groupFlags }

// Run ends it.
func (c emergencyOffCmd) Run(ctx context.Context, logger *slog.Logger) error {
	return c.call(ctx, logger, func(e *commission.Engine) (commission.RollCall, error) { return e.Emergency(ctx, c.Group, false) })
}

// emergencyTestCmd has emergency lights test themselves.
type emergencyTestCmd struct {
	Kind string `arg:"" enum:"function,duration" help:"function, which takes a moment, or duration, which empties the battery."`
	groupFlags
	Devices []string `name:"device" help:"Only these devices, by id. Default: all emergency lights of the group."`
}

// Help is what `lamplighter emergency test --help` adds.
func (emergencyTestCmd) Help() string {
	return "The results stand in the log: lamplighter emergency log. Exit codes: 0 all tested and none failed, 3 some, 1 none."
}

// Run tests, and waits for the results.
func (c emergencyTestCmd) Run(ctx context.Context, logger *slog.Logger) error {
	engine, done, err := c.open(ctx, logger, printEvents(os.Stdout))
	if err != nil {
		return err
	}
	defer done()
	devices := c.Devices
	if len(devices) == 0 {
		devices = emergencyLights(engine.Snapshot(), c.Group)
	}
	job, err := engine.EmergencyTest(ctx, c.Group, c.Kind, devices)
	if err != nil {
		return err
	}
	if job, err = engine.WaitJob(ctx, job.ID); err != nil {
		return err
	}
	names := deviceNames(engine.Snapshot())
	for _, i := range job.Items {
		if i.Problem != nil {
			fmt.Printf("  %s: %s\n", names(i.Device), sentence(i.Problem))
		}
	}
	fmt.Printf("%d of %d tested\n", job.Done, job.Total)
	return tally{good: job.Done, bad: job.Total - job.Done}.err("were not tested, or failed")
}

// emergencyLights are the devices of a group whose model says so; none: who knows.
func emergencyLights(s commission.Snapshot, group string) (ids []string) {
	models := map[string]string{}
	for _, d := range s.Devices {
		models[d.ID] = d.Model
	}
	for _, g := range s.Groups {
		for _, id := range g.Members {
			if g.Name == group && strings.Contains(models[id], "emergency") {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// emergencyLogCmd prints the log.
type emergencyLogCmd struct {
	groupFlags
	CSV bool `name:"csv" help:"As CSV, for the inspection book."`
}

// Run prints.
func (c emergencyLogCmd) Run(ctx context.Context, logger *slog.Logger) error {
	engine, done, err := c.open(ctx, logger, printEvents(os.Stderr))
	if err != nil {
		return err
	}
	defer done()
	if c.CSV {
		text, err := engine.EmergencyLogCSV(ctx, c.Group)
		if err == nil {
			fmt.Print(text)
		}
		return err
	}
	entries, err := engine.EmergencyLog(ctx, c.Group)
	if err != nil {
		return err
	}
	names := deviceNames(engine.Snapshot())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TIME\tDEVICE\tWHAT\tRESULT\tBATTERY\t")
	for _, e := range entries {
		battery := ""
		if e.Battery >= 0 {
			battery = fmt.Sprintf("%d %%", e.Battery)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", time.UnixMilli(e.At).Format("2006-01-02 15:04:05"), names(e.Device), e.Kind, e.Result, battery, e.Text)
	}
	return table.Flush()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"lamplighter/internal/commission"
)

type commissionCmd struct {
	engineFlags
	Labels string `type:"existingfile" help:"Table of labels (CSV) to import first."`
	Group  string `default:"hall-ceiling" help:"The group to join."`
	Limit  int    `help:"Join at most this many devices; 0: all that were found."`
	On     bool   `help:"Switch the group on before the roll call."`
}

// Help is what `lamplighter commission --help` adds.
func (commissionCmd) Help() string {
	return "Accepts the invitation, imports the labels, discovers devices, claims and joins them, and calls the roll.\n" +
		"Every step can be repeated: what is done already is not done twice. The exit code is 1 when a device did not answer."
}

func (c commissionCmd) Run(ctx context.Context, logger *slog.Logger) error {
	engine, done, err := c.open(ctx, logger, printEvents(os.Stdout))
	if err != nil {
		return err
	}
	defer done()
	return c.journey(ctx, engine)
}

func (c commissionCmd) journey(ctx context.Context, e *commission.Engine) error {
	if c.Labels != "" {
		text, err := os.ReadFile(c.Labels)
		if err != nil {
			return err
		}
		report, err := e.ImportLabels(ctx, string(text))
		if err != nil {
			return err
		}
		fmt.Printf("labels: %d new, %d as before, %d refused\n", report.Added, report.Same+report.Updated, len(report.Rejected))
		for _, line := range report.Rejected {
			fmt.Printf("  line %d: %s\n", line.Line, line.Reason)
		}
	}
	if _, err := e.Discover(ctx); err != nil {
		return err
	}
	if err := c.join(ctx, e); err != nil {
		return err
	}
	if c.On {
		on := true
		if _, err := e.SetLight(ctx, c.Group, commission.Light{On: &on}); err != nil {
			return err
		}
	}
	call, err := e.RollCall(ctx, c.Group)
	if err != nil {
		return err
	}
	return printRollCall(os.Stdout, e.Snapshot(), call)
}

func (c commissionCmd) join(ctx context.Context, e *commission.Engine) error {
	var ids []string
	for _, d := range e.Snapshot().Devices {
		if d.Found && d.LabelKnown && (c.Limit == 0 || len(ids) < c.Limit) {
			ids = append(ids, d.ID)
		}
	}
	if len(ids) == 0 {
		return errors.New("no device of these labels was found; are they powered, and is the multicast interface right?")
	}
	started := time.Now()
	job, err := e.Join(ctx, c.Group, ids)
	if err != nil {
		return err
	}
	if job, err = e.WaitJob(ctx, job.ID); err != nil {
		return err
	}
	fmt.Printf("joined %d of %d to %s in %.1f s\n", job.Done, job.Total, c.Group, time.Since(started).Seconds())
	return nil
}

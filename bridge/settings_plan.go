package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"lamplighter/internal/commission"
)

// settingsPlanCmd says what a change would do.
type settingsPlanCmd struct {
	engineFlags
	changeFlags
	Check bool `help:"Have the devices check it, too: a dry run, of which they keep nothing."`
}

// Help is what `lamplighter settings plan --help` adds.
func (settingsPlanCmd) Help() string {
	return "Exit codes: 0 all devices can take it or have it already, 3 some can, 1 none can or it could not be planned."
}

// Run plans.
func (c settingsPlanCmd) Run(ctx context.Context, logger *slog.Logger) error {
	if _, err := c.wants(); err != nil {
		return err
	}
	engine, done, err := c.open(ctx, logger, printEvents(os.Stdout))
	if err != nil {
		return err
	}
	defer done()
	return c.plan(ctx, engine, os.Stdout)
}

func (c settingsPlanCmd) plan(ctx context.Context, e settingsEngine, out io.Writer) error {
	changes, err := c.changes(ctx, e)
	if err != nil {
		return err
	}
	var all tally
	for _, change := range changes {
		_, t, err := planned(ctx, e, out, change, c.Check)
		if err != nil {
			return err
		}
		all.add(t)
	}
	return all.err("cannot take it; the reasons stand above")
}

// planned plans one change, and prints it.
func planned(ctx context.Context, e settingsEngine, out io.Writer, c commission.SettingsChange, check bool) (commission.SettingsRun, tally, error) {
	run, err := e.PlanSettings(ctx, c)
	if err == nil && check && run.Problem == nil {
		run, err = e.CheckSettings(ctx, c)
	}
	if err != nil {
		return run, tally{}, err
	}
	defs, err := defsOf(ctx, e, c)
	if err != nil {
		return run, tally{}, err
	}
	printSettingsPlan(out, e.Snapshot(), defs, run)
	if run.Problem != nil {
		return run, tally{}, told(run.Problem)
	}
	return run, count(run), nil
}

// defsOf are the settings that a change is made of.
func defsOf(ctx context.Context, e settingsEngine, c commission.SettingsChange) ([]commission.SettingDef, error) {
	schemas, err := e.SettingsSchemas(ctx, c.Group)
	if err != nil {
		return nil, err
	}
	s, err := schemaOf(schemas, c.Model)
	return s.Defs, err
}

// settingsApplyCmd changes settings.
type settingsApplyCmd struct {
	engineFlags
	changeFlags
	timing
	applyFlags
}

// applyFlags say what is done without asking.
type applyFlags struct {
	Check bool `help:"Have the devices check it first: a dry run."`
	Yes   bool `short:"y" help:"Start without asking."`
	Keep  bool `help:"Confirm without asking when all devices that switched run the new settings, else revert."`
}

// Help is what `lamplighter settings apply --help` adds.
func (settingsApplyCmd) Help() string {
	return "Prints the difference, asks, stages it at all devices and has them switch together; then asks whether to keep it.\n" +
		"Who does not confirm, from here or with lamplighter settings confirm, has the devices go back by themselves.\n" +
		"Exit codes: 0 all devices run it, 3 some do, 1 none does or it could not start, 130 interrupted."
}

// Run applies.
func (c settingsApplyCmd) Run(ctx context.Context, logger *slog.Logger) error {
	if f := c.flaw(); f != "" {
		return errors.New(f)
	}
	if _, err := c.wants(); err != nil {
		return err
	}
	return c.engineFlags.withSettings(ctx, logger, func(e *commission.Engine, watch *settingsWatch) error {
		changes, err := c.changes(ctx, e)
		if err != nil {
			return err
		}
		for i := range changes {
			c.put(&changes[i])
		}
		return c.apply(ctx, e, watch, changes)
	})
}

// withSettings opens the engine, and lets other commands steer what it does with it.
func (f engineFlags) withSettings(ctx context.Context, logger *slog.Logger, do func(*commission.Engine, *settingsWatch) error) error {
	watch := newSettingsWatch(os.Stdout, os.Stdin, f)
	engine, done, err := f.open(ctx, logger, watch.event)
	if err != nil {
		return err
	}
	defer done()
	stop, err := serveSettings(f.Data, engine, logger)
	if err != nil {
		return err
	}
	defer stop()
	return do(engine, watch)
}

// apply plans all changes, asks once, and carries them out one after the other.
func (f applyFlags) apply(ctx context.Context, e settingsEngine, watch *settingsWatch, changes []commission.SettingsChange) error {
	var plan, result tally
	var todo []commission.SettingsChange
	for _, c := range changes {
		_, t, err := planned(ctx, e, watch.out, c, f.Check)
		if err != nil {
			return err
		}
		plan.add(t)
		if t.todo > 0 {
			c.Quorum = cmp.Or(c.Quorum, t.todo) // those that were shown go together, or nobody does
			todo = append(todo, c)
		} else {
			result.add(t)
		}
	}
	switch {
	case len(todo) == 0 && plan.bad == 0:
		fmt.Fprintln(watch.out, "All run it already.")
		return nil
	case len(todo) == 0:
		return plan.err("cannot take it; the reasons stand above")
	case !f.Yes && !watch.ask(ctx, "Start? [y/N] "):
		return errors.New("not started; answer y, or give --yes")
	}
	for _, c := range todo {
		job, err := e.ApplySettings(ctx, c)
		if err != nil {
			return err
		}
		run, err := watch.follow(ctx, e, job.ID, f.Keep)
		if err != nil {
			return err
		}
		result.add(count(run))
	}
	return result.err("do not run it")
}

// printSettingsPlan prints what would be different, equal devices together.
func printSettingsPlan(out io.Writer, s commission.Snapshot, defs []commission.SettingDef, run commission.SettingsRun) {
	names := deviceNames(s)
	t := count(run)
	fmt.Fprintf(out, "%s, %s: %d to change, %d run it already, %d left out\n", run.Change.Group, run.Change.Model, t.todo, t.good, t.bad)
	if run.Network {
		fmt.Fprintln(out, "  It may cut devices off: they go back unless the confirmation reaches them over the new settings.")
	}
	var texts []string
	like := map[string][]string{}
	for _, row := range run.Rows {
		text := rowText(defs, row)
		if text == "" {
			continue
		}
		if like[text] == nil {
			texts = append(texts, text)
		}
		like[text] = append(like[text], names(row.Device))
	}
	for _, text := range texts {
		who := like[text]
		if len(who) > 6 {
			who = append(append([]string{}, who[:5]...), fmt.Sprintf("and %d more", len(who)-5))
		}
		fmt.Fprintf(out, "  %s\n%s", strings.Join(who, ", "), text)
	}
}

// rowText says of a device what would be different or why it is left out; empty: there
// is nothing to say.
func rowText(defs []commission.SettingDef, row commission.SettingsRow) string {
	var b strings.Builder
	if row.State != commission.SettingsRowPlanned && row.State != commission.SettingsRowChecked && row.State != commission.SettingsRowSame || row.Problem != nil {
		fmt.Fprintf(&b, "    %s: %s\n", row.State, sentence(row.Problem))
	}
	for _, c := range row.Changes {
		var d *commission.SettingDef
		for i := range defs {
			if defs[i].Key == c.Key {
				d = &defs[i]
			}
		}
		fmt.Fprintf(&b, "    %s: %s -> %s", c.Name, shown(d, c.Old), shown(d, c.New))
		if row.State == commission.SettingsRowDrifted && shown(d, c.Known) != shown(d, c.Old) {
			fmt.Fprintf(&b, " (confirmed was %s)", shown(d, c.Known))
		}
		b.WriteString("\n")
	}
	return b.String()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"lamplighter/internal/commission"
)

// settingsReadCmd asks what devices run.
type settingsReadCmd struct {
	engineFlags
	Group string `default:"hall-ceiling" help:"The group whose devices are asked."`
}

// Help is what `lamplighter settings read --help` adds.
func (settingsReadCmd) Help() string {
	return "Exit codes: 0 all run what this site confirmed last, 3 some have drifted or are silent, 1 none answered."
}

// Run reads.
func (c settingsReadCmd) Run(ctx context.Context, logger *slog.Logger) error {
	engine, done, err := c.open(ctx, logger, printEvents(os.Stdout))
	if err != nil {
		return err
	}
	defer done()
	devices, err := engine.ReadSettings(ctx, c.Group)
	if err != nil {
		return err
	}
	schemas, err := engine.SettingsSchemas(ctx, c.Group)
	if err != nil {
		return err
	}
	return printSettingsDevices(os.Stdout, engine.Snapshot(), schemas, devices)
}

func printSettingsDevices(out io.Writer, s commission.Snapshot, schemas []commission.SettingsSchema, devices []commission.SettingsDevice) error {
	names := deviceNames(s)
	var t tally
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DEVICE\tNAME\tMODEL\tSTATE\tRUNS\t")
	for _, d := range devices {
		switch d.State {
		case commission.SettingsOK:
			t.good++
		case commission.SettingsTrial:
			t.todo++
		default:
			t.bad++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Device, names(d.Device), printable(d.Model), d.State, d.Digest, driftText(schemas, d))
	}
	table.Flush()
	return t.err("have drifted, or did not answer")
}

// driftText says what is other than this site confirmed last.
func driftText(schemas []commission.SettingsSchema, d commission.SettingsDevice) string {
	if d.Problem != nil {
		return sentence(d.Problem)
	}
	schema, err := schemaOf(schemas, d.Model)
	var parts []string
	for _, key := range d.Drift {
		name := fmt.Sprint(key)
		def := named(schema.Defs, name)
		if err == nil && def != nil {
			name = def.Name
		}
		parts = append(parts, name+": "+shown(def, d.Values[fmt.Sprint(key)]))
	}
	return strings.Join(parts, ", ")
}

// settingsExportCmd prints what devices run.
type settingsExportCmd struct {
	engineFlags
	Group  string `default:"hall-ceiling" help:"The group whose devices are asked."`
	Format string `default:"senml" enum:"senml,csv" help:"senml (RFC 8428) or csv."`
	Out    string `short:"o" type:"path" placeholder:"FILE" help:"File to write. Default: standard output."`
}

// Run exports.
func (c settingsExportCmd) Run(ctx context.Context, logger *slog.Logger) error {
	engine, done, err := c.open(ctx, logger, printEvents(os.Stderr))
	if err != nil {
		return err
	}
	defer done()
	text, err := engine.ExportSettings(ctx, c.Group, c.Format)
	if err != nil {
		return err
	}
	if c.Out != "" {
		return replaceFile(c.Out, []byte(text), 0o644)
	}
	fmt.Print(text)
	return nil
}

// settingsImportCmd changes settings to what a file has.
type settingsImportCmd struct {
	File string `arg:"" type:"existingfile" help:"SenML or CSV, as export writes it."`
	engineFlags
	Group string `default:"hall-ceiling" help:"The group that reaches the devices."`
	Mend  bool   `help:"Take devices that have drifted, too."`
	timing
	applyFlags
}

// Help is what `lamplighter settings import --help` adds.
func (settingsImportCmd) Help() string { return settingsApplyCmd{}.Help() }

// Run imports.
func (c settingsImportCmd) Run(ctx context.Context, logger *slog.Logger) error {
	if f := c.flaw(); f != "" {
		return errors.New(f)
	}
	text, err := readBounded(c.File, maxSettingsFile)
	if err != nil {
		return err
	}
	return c.withSettings(ctx, logger, func(e *commission.Engine, watch *settingsWatch) error {
		changes, err := e.ImportModels(ctx, c.Group, string(text))
		if err != nil {
			return err
		}
		for i := range changes {
			c.put(&changes[i])
			changes[i].Mend = c.Mend
		}
		return c.apply(ctx, e, watch, changes)
	})
}

// maxSettingsFile bounds a file of settings, in bytes.
const maxSettingsFile = 16 << 20

// settingsTemplatesCmd is the library of templates.
type settingsTemplatesCmd struct {
	engineFlags
	Group  string `default:"hall-ceiling" help:"A group with devices of the template's model, for --save."`
	Save   string `type:"existingfile" placeholder:"FILE" help:"Template to keep (YAML, docs/settings.md), in place of one of that name."`
	Delete string `placeholder:"ID" help:"Template to drop, by its id or name."`
}

// templateFile is a template as people write it.
type templateFile struct {
	Name      string             `yaml:"name"`
	Model     string             `yaml:"model"`
	Values    tree               `yaml:"values"`
	Variables []templateVariable `yaml:"variables"`
}

type templateVariable struct {
	Name    string `yaml:"name"`
	Title   string `yaml:"title"`
	Default any    `yaml:"default"`
}

// Run lists, saves or deletes.
func (c settingsTemplatesCmd) Run(ctx context.Context, logger *slog.Logger) error {
	engine, done, err := c.open(ctx, logger, printEvents(os.Stdout))
	if err != nil {
		return err
	}
	defer done()
	if c.Save != "" {
		if err := c.save(ctx, engine); err != nil {
			return err
		}
	}
	all, err := engine.SettingsTemplates(ctx)
	if err != nil {
		return err
	}
	if c.Delete != "" {
		t, err := findTemplate(all, "", c.Delete)
		if err != nil {
			return err
		}
		return engine.DeleteTemplate(ctx, t.ID)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tMODEL\tVARIABLES\tSAVED")
	for _, t := range all {
		var names []string
		for _, v := range t.Variables {
			names = append(names, v.Name)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", t.ID, printable(t.Name), t.Model, strings.Join(names, ", "), time.UnixMilli(t.At).Format("2006-01-02 15:04"))
	}
	return table.Flush()
}

func (c settingsTemplatesCmd) save(ctx context.Context, e *commission.Engine) error {
	text, err := readBounded(c.Save, maxConfig)
	if err != nil {
		return err
	}
	var file templateFile
	if err := readYAML(text, &file); err != nil {
		return fmt.Errorf("%s: %w", c.Save, err)
	}
	schemas, err := e.SettingsSchemas(ctx, c.Group)
	if err != nil {
		return err
	}
	schema, err := schemaOf(schemas, file.Model)
	if err != nil {
		return err
	}
	t := commission.SettingsTemplate{Name: file.Name, Model: schema.Model, Variables: []commission.SettingsVariable{}}
	if t.Values, err = byKeys(schema.Defs, file.Values); err != nil {
		return fmt.Errorf("%s: %w", c.Save, err)
	}
	for _, v := range file.Variables {
		t.Variables = append(t.Variables, commission.SettingsVariable(v))
	}
	all, err := e.SettingsTemplates(ctx)
	if err != nil {
		return err
	}
	for _, old := range all {
		if old.Name == t.Name && old.Model == t.Model {
			t.ID = old.ID
		}
	}
	_, err = e.SaveTemplate(ctx, t)
	return err
}

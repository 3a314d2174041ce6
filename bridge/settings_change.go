package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"lamplighter/internal/commission"
	"lamplighter/internal/label"
)

// settingsEngine is the part of the engine that changes settings.
type settingsEngine interface {
	Snapshot() commission.Snapshot
	SettingsSchemas(ctx context.Context, group string) ([]commission.SettingsSchema, error)
	SettingsTemplates(ctx context.Context) ([]commission.SettingsTemplate, error)
	PlanSettings(ctx context.Context, c commission.SettingsChange) (commission.SettingsRun, error)
	CheckSettings(ctx context.Context, c commission.SettingsChange) (commission.SettingsRun, error)
	ApplySettings(ctx context.Context, c commission.SettingsChange) (commission.Job, error)
	ConfirmSettings(ctx context.Context, job string) (commission.SettingsRun, error)
	RevertSettings(ctx context.Context, job string) (commission.SettingsRun, error)
	UndoSettings(ctx context.Context, job string) (commission.SettingsChange, error)
	SettingsRun(ctx context.Context, job string) (commission.SettingsRun, error)
}

// wish is the settings that a group's devices of one model shall have, by names.
type wish struct {
	Group     string          `yaml:"group"`
	Model     string          `yaml:"model"`
	Template  string          `yaml:"template"` // id or name
	Variables tree            `yaml:"variables"`
	Values    tree            `yaml:"values"`
	Devices   map[string]tree `yaml:"devices"` // what each has for itself

	spoken bool // on a command line, where all is text
}

// changeFlags say what is to change: on the command line, or in a site file.
type changeFlags struct {
	Site      string   `type:"existingfile" placeholder:"FILE" help:"Site file (YAML, docs/settings.md) whose settings are wanted."`
	Group     string   `default:"hall-ceiling" help:"The group whose devices are meant."`
	Model     string   `help:"Model of the devices. Default: the one that the group has."`
	Set       []string `sep:"none" placeholder:"NAME=VALUE" help:"A setting for all, such as min-level=5 or scenes/3/level=40. May be given several times."`
	Unset     []string `placeholder:"NAME" help:"A setting or an entry to delete, such as scenes/3."`
	SetDevice []string `sep:"none" placeholder:"ID/NAME=VALUE" help:"A setting for one device, such as 000b57fffe000001/label=Door."`
	Template  string   `help:"Template to apply: its id or its name."`
	Var       []string `sep:"none" placeholder:"NAME=VALUE" help:"A variable of the template."`
	Devices   []string `name:"device" help:"Only these devices, by id. Default: all of the model."`
	Mend      bool     `help:"Take devices that have drifted, too: back to what was confirmed, with the change in it."`
}

// timing says when devices switch, and when they go back by themselves.
type timing struct {
	In            time.Duration `default:"3s" help:"From the commit to the switch."`
	At            switchTime    `placeholder:"TIME" help:"When to switch, such as 02:30 or 2027-01-31T02:30:00+01:00, for devices that have a clock."`
	ConfirmWithin time.Duration `default:"10m" help:"Devices that nobody confirms in this time go back to the settings before."`
}

func (t timing) flaw() string {
	switch {
	case t.In < 0 || t.In%time.Second != 0:
		return "--in counts whole seconds, and is not negative"
	case t.ConfirmWithin < time.Second || t.ConfirmWithin%time.Second != 0:
		return "--confirm-within counts whole seconds, from 1s"
	}
	return ""
}

func (t timing) put(c *commission.SettingsChange) {
	c.In, c.ConfirmWithin = int(t.In.Seconds()), int(t.ConfirmWithin.Seconds())
	if at := time.Time(t.At); !at.IsZero() {
		c.At, c.In = at.UnixMilli(), 0
	}
}

// wants are what the flags or the site file ask for.
func (f changeFlags) wants() ([]wish, error) {
	if f.Site != "" {
		if len(f.Set)+len(f.Unset)+len(f.SetDevice)+len(f.Var) > 0 || f.Template != "" {
			return nil, errors.New("give either --site or settings, not both")
		}
		text, err := readBounded(f.Site, maxConfig)
		if err != nil {
			return nil, err
		}
		list, err := readSite(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Site, err)
		}
		return list, nil
	}
	w := wish{Group: f.Group, Model: f.Model, Template: f.Template, Variables: tree{}, Values: tree{}, Devices: map[string]tree{}, spoken: true}
	err := errors.Join(assign(w.Values, f.Set), assign(w.Variables, f.Var))
	for _, name := range f.Unset {
		err = errors.Join(err, put(w.Values, name, nil))
	}
	for _, text := range f.SetDevice {
		device, pair, ok := strings.Cut(text, "/")
		if !ok {
			err = errors.Join(err, fmt.Errorf("%q is not ID/NAME=VALUE", text))
			continue
		}
		if w.Devices[device] == nil {
			w.Devices[device] = tree{}
		}
		err = errors.Join(err, assign(w.Devices[device], []string{pair}))
	}
	if len(f.Set)+len(f.Unset)+len(f.SetDevice) == 0 && f.Template == "" && !f.Mend {
		return nil, errors.New("nothing to change: give --set, --unset, --set-device, --template, --mend or --site")
	}
	return []wish{w}, err
}

// changes are what to have the engine do.
func (f changeFlags) changes(ctx context.Context, e settingsEngine) ([]commission.SettingsChange, error) {
	wants, err := f.wants()
	if err != nil {
		return nil, err
	}
	var list []commission.SettingsChange
	schemas := map[string][]commission.SettingsSchema{}
	for _, w := range wants {
		if schemas[w.Group] == nil {
			if schemas[w.Group], err = e.SettingsSchemas(ctx, w.Group); err != nil {
				return nil, err
			}
		}
		c, err := w.change(ctx, e, schemas[w.Group])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSuffix(w.Group+", "+w.Model, ", "), err)
		}
		for _, id := range f.Devices {
			if id, err = deviceID(id); err != nil {
				return nil, err
			}
			c.Devices = append(c.Devices, id)
		}
		c.Mend = f.Mend
		list = append(list, c)
	}
	return list, nil
}

// change turns names into keys.
func (w wish) change(ctx context.Context, e settingsEngine, schemas []commission.SettingsSchema) (c commission.SettingsChange, err error) {
	schema, err := schemaOf(schemas, w.Model)
	if err != nil {
		return c, err
	}
	c = commission.SettingsChange{Group: w.Group, Model: schema.Model, Variables: tree{}, PerDevice: map[string]map[string]any{}}
	if w.Template != "" {
		all, err := e.SettingsTemplates(ctx)
		if err != nil {
			return c, err
		}
		t, err := findTemplate(all, schema.Model, w.Template)
		if err != nil {
			return c, err
		}
		c.Template, c.Variables = t.ID, w.variables(t)
	} else if len(w.Variables) > 0 {
		return c, errors.New("variables are a template's: say which")
	}
	if c.Values, err = byKeys(schema.Defs, w.Values); err != nil {
		return c, err
	}
	for _, text := range slices.Sorted(maps.Keys(w.Devices)) {
		id, err := deviceID(text)
		if err != nil {
			return c, err
		}
		if c.PerDevice[id] != nil {
			return c, fmt.Errorf("the device %s is there twice", id)
		}
		if c.PerDevice[id], err = byKeys(schema.Defs, w.Devices[text]); err != nil {
			return c, fmt.Errorf("%s: %w", text, err)
		}
	}
	return c, nil
}

// variables are those of a template with the type that it gives them: on a command
// line all is text.
func (w wish) variables(t commission.SettingsTemplate) tree {
	out := tree{}
	for name, v := range w.Variables {
		out[name] = v
		text, isText := v.(string)
		if !w.spoken || !isText {
			continue
		}
		var usual any = text
		if i := slices.IndexFunc(t.Variables, func(v commission.SettingsVariable) bool { return v.Name == name }); i >= 0 {
			usual = t.Variables[i].Default
		}
		if _, textual := usual.(string); textual {
			continue
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
			out[name] = n
		} else if text == "true" || text == "false" {
			out[name] = text == "true"
		}
	}
	return out
}

// deviceID is the id of a device as the engine has it.
func deviceID(text string) (string, error) {
	id, err := label.ParseID(text)
	if err != nil {
		return "", fmt.Errorf("%q is no id of a device: 16 hexadecimal digits, in quotes where they are all decimal", text)
	}
	return hex.EncodeToString(id[:]), nil
}

// schemaOf is the schema of a model, or the only one that there is.
func schemaOf(schemas []commission.SettingsSchema, model string) (commission.SettingsSchema, error) {
	var models []string
	for _, s := range schemas {
		if s.Model == model || model == "" && len(schemas) == 1 {
			if s.Problem != nil {
				return s, told(s.Problem)
			}
			return s, nil
		}
		models = append(models, s.Model)
	}
	switch {
	case len(models) == 0:
		return commission.SettingsSchema{}, errors.New("no device of the group told its schema; are they powered, and do they have settings?")
	case model == "":
		return commission.SettingsSchema{}, fmt.Errorf("the group has several models: %s; say which with --model", strings.Join(models, ", "))
	}
	return commission.SettingsSchema{}, fmt.Errorf("the group has no device of the model %q; it has %s", model, strings.Join(models, ", "))
}

// findTemplate finds a template by its id or its name; model "": of any model.
func findTemplate(all []commission.SettingsTemplate, model, name string) (commission.SettingsTemplate, error) {
	var found []commission.SettingsTemplate
	var ids []string
	for _, t := range all {
		if t.ID == name {
			return t, nil
		}
		if (t.Model == model || model == "") && strings.EqualFold(t.Name, name) {
			found, ids = append(found, t), append(ids, t.ID)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return commission.SettingsTemplate{}, fmt.Errorf("several templates are called %q; give the id of one: %s", name, strings.Join(ids, ", "))
	case model == "":
		return commission.SettingsTemplate{}, fmt.Errorf("there is no template %q; lamplighter settings templates lists them", name)
	}
	return commission.SettingsTemplate{}, fmt.Errorf("there is no template %q for %s; lamplighter settings templates lists them", name, model)
}

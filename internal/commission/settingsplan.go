package commission

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/settings/exchange"
	"lamplighter/internal/settings/template"
)

// whole is a change without nulls in place of lists and objects.
func (c SettingsChange) whole() SettingsChange {
	c.Values, c.Variables, c.PerDevice = some(c.Values), some(c.Variables), some(c.PerDevice)
	c.Devices = append([]string{}, c.Devices...)
	return c
}

// cfgTimes are the options of a change in a group whatever a person chose.
func (s *site) cfgTimes(g *group) change.Options {
	return change.Options{Rate: 50_000, Leisure: s.e.cfg.Tuning.Leisure, Alone: !g.algorithms().HasGroupMode()}
}

// options translates what a person chose.
func (s *site) options(g *group, c *SettingsChange) (change.Options, error) {
	o := s.cfgTimes(g)
	now := s.e.cfg.Now()
	if c.In < 0 || c.In > settings.MaxAhead || c.ConfirmWithin < 0 || c.ConfirmWithin > settings.MaxConfirm || c.Quorum < 0 ||
		c.At < 0 || c.At > 0 && (c.At < now.UnixMilli() || c.At > now.Add(settings.MaxAhead*time.Second).UnixMilli()) {
		return o, errCfgOptions
	}
	o.In, o.Within, o.Quorum = time.Duration(c.In)*time.Second, time.Duration(c.ConfirmWithin)*time.Second, c.Quorum
	if c.At > 0 {
		o.At = time.UnixMilli(c.At)
	}
	return o, nil
}

// cfgParams is what a change in a group works with, but for the change.
func (s *site) cfgParams(way *groupWay) change.Params {
	p := change.Params{
		Group: way, Clock: way.clock, Rand: s.e.cfg.Rand, Parallel: s.e.cfg.Tuning.Follow,
		Sender: func(id string) []byte {
			d, err := s.device(id)
			if err != nil {
				return nil
			}
			if p := s.of(d).in(way.g.name); p != nil {
				return p.SenderID
			}
			return nil
		},
	}
	for _, d := range s.membersOf(way.g) {
		r := s.settingsOf(d.id)
		p.Devices = append(p.Devices, change.Device{ID: d.id, Confirmed: r.Confirmed, Schema: r.Schema})
	}
	return p
}

// usual is the schema that most of a group's devices of a model have, of as many the
// newest.
func (s *site) usual(g *group, model string) (best *schema, err error) {
	count := map[string]int{}
	for _, d := range s.membersOf(g) {
		if r := s.settingsOf(d.id); r.Schema != nil && r.Schema.Model == model {
			count[refDigest(r.Schema)]++
		}
	}
	most := 0
	for _, digest := range slices.Sorted(maps.Keys(count)) {
		c, n := s.schema(digest), count[digest]
		if c != nil && c.what != nil && (n > most || n == most && c.ref.Version > best.ref.Version) {
			best, most = c, n
		}
	}
	if best == nil {
		return nil, errCfgSchema
	}
	if _, _, bad := s.verify(best); bad != nil {
		return nil, bad
	}
	return best, nil
}

// meant are the devices that a change may be for, in the order of their ids, in which
// templates count them.
func (s *site) meant(g *group, c *SettingsChange) (list []*device, err error) {
	if len(c.Devices) > 0 {
		return s.chosen(slices.Sorted(slices.Values(c.Devices)))
	}
	members := s.membersOf(g)
	named := slices.ContainsFunc(members, func(d *device) bool { // labels name models as schemas do
		ref := s.settingsOf(d.id).Schema
		return ref != nil && ref.Model == c.Model && s.of(d).Model == c.Model
	})
	for _, d := range members {
		ref := s.settingsOf(d.id).Schema
		if ref == nil && (!named || s.of(d).Model == c.Model) || ref != nil && ref.Model == c.Model {
			list = append(list, d)
		}
	}
	return list, nil
}

// strangers are those that a change has values of their own for, and which are not
// among its devices, nor others of the group where it is for a few.
func (s *site) strangers(g *group, c *SettingsChange, devices []*device) (ids []string) {
	if len(c.Devices) > 0 {
		devices = append(s.membersOf(g), devices...)
	}
	for _, id := range slices.Sorted(maps.Keys(c.PerDevice)) {
		if !slices.ContainsFunc(devices, func(d *device) bool { return d.id == id }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// forChange translates what a person wants: templates are expanded, and what is the
// same for all parted from what each device has for itself.
func (s *site) forChange(ctx context.Context, g *group, c *SettingsChange, what *settings.Schema) (out change.Change, err error) {
	devices, err := s.meant(g, c)
	if err != nil {
		return out, err
	}
	if others := s.strangers(g, c, devices); len(others) > 0 {
		return out, cfgProblem(fmt.Errorf("the group has no %s %s", c.Model, strings.Join(others, ", ")))
	}
	values, variables, err := s.templateOf(ctx, c, what)
	if err != nil {
		return out, err
	}
	each := map[string]settings.Map{}
	for i, d := range devices {
		r := s.of(d)
		m, err := template.Expand(values, variables, template.Device{ID: d.id, Name: r.Name, Place: r.Place, Index: i})
		if err != nil {
			return out, cfgProblem(err)
		}
		if m, err = what.FromJSON(m.JSON()); err != nil { // a variable has bytes as JSON has them
			return out, cfgProblem(err)
		}
		own, err := what.FromJSON(c.PerDevice[d.id])
		if err != nil {
			return out, cfgProblem(err)
		}
		each[d.id] = settings.Overlay(m, own)
	}
	out = change.Change{Mend: c.Mend}
	for _, d := range devices {
		if len(c.Devices) > 0 {
			out.Only = append(out.Only, d.id)
		}
	}
	out.Values, out.Own = parted(each, what)
	return out, refuse(out, what)
}

// parted takes apart what is the same for all devices.
func parted(each map[string]settings.Map, what *settings.Schema) (shared settings.Map, own map[string]settings.Map) {
	var list []exchange.Device
	for _, id := range slices.Sorted(maps.Keys(each)) {
		list = append(list, exchange.Device{ID: id, Values: each[id]})
	}
	return exchange.Fold(list, what)
}

// refuse says what no device of the schema would take.
func refuse(c change.Change, what *settings.Schema) error {
	for _, m := range append([]settings.Map{c.Values}, slices.Collect(maps.Values(c.Own))...) {
		if bad := what.Refuse(m, true); bad != nil {
			return cfgProblem(bad)
		}
	}
	return nil
}

// templateOf are the values of a change with those of its template below them, and
// its variables.
func (s *site) templateOf(ctx context.Context, c *SettingsChange, what *settings.Schema) (settings.Map, template.Variables, error) {
	values, err := what.FromJSON(c.Values)
	if err != nil {
		return nil, nil, cfgProblem(err)
	}
	if c.Template == "" {
		return values, nil, nil
	}
	all, err := s.templates(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, ok := all[c.Template]
	if !ok {
		return nil, nil, errCfgTemplate
	}
	below, err := what.FromJSON(t.Values)
	if err != nil {
		return nil, nil, cfgProblem(err)
	}
	var declared []template.Variable
	for _, v := range t.Variables {
		declared = append(declared, template.Variable{Name: v.Name, Title: v.Title, Default: v.Default})
	}
	variables, err := template.Bind(declared, c.Variables)
	if err != nil {
		return nil, nil, cfgProblem(err)
	}
	return settings.Overlay(below, values), variables, nil
}

// planOf reads what devices run and computes what a change makes of it.
func (s *site) planOf(ctx context.Context, way *groupWay, c *SettingsChange, edit func(*change.Params)) (*change.Run, *schema, error) {
	if err := s.findLost(ctx, s.membersOf(way.g)); err != nil {
		return nil, nil, err
	}
	kind, err := s.usual(way.g, c.Model)
	if errors.Is(err, errCfgSchema) {
		if err = s.readSettings(ctx, way.g); err == nil {
			kind, err = s.usual(way.g, c.Model)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	p := s.cfgParams(way)
	p.Schema, p.Ref = kind.what, kind.ref
	if p.Options, err = s.options(way.g, c); err != nil {
		return nil, nil, err
	}
	if p.Change, err = s.forChange(ctx, way.g, c, kind.what); err != nil {
		return nil, nil, err
	}
	if edit != nil {
		edit(&p)
	}
	run, err := change.NewPlan(ctx, p)
	return run, kind, err
}

// PlanSettings computes what a change makes of each device.
func (e *Engine) PlanSettings(ctx context.Context, c SettingsChange) (SettingsRun, error) {
	return e.dry(ctx, c, func(*change.Run, *planning) error { return nil })
}

// CheckSettings has the devices check a change.
func (e *Engine) CheckSettings(ctx context.Context, c SettingsChange) (SettingsRun, error) {
	return e.dry(ctx, c, func(r *change.Run, told *planning) error {
		var ids []string
		for _, row := range r.State().Rows {
			if row.Part {
				ids = append(ids, row.Device)
			}
		}
		told.begin(ids)
		err := r.Check(ctx)
		var why *change.Reason
		if errors.As(err, &why) { // there is nobody to check it: the plan says why
			return nil
		}
		return err
	})
}

func (e *Engine) dry(ctx context.Context, c SettingsChange, then func(*change.Run, *planning) error) (SettingsRun, error) {
	c = c.whole()
	s, g, err := e.siteAndGroup(c.Group)
	if err != nil {
		return SettingsRun{}, err
	}
	if err := s.ensureMember(ctx, g); err != nil {
		return SettingsRun{}, asProblem(err)
	}
	if s.rests(ctx, g) {
		return SettingsRun{}, errPaused
	}
	told := &planning{s: s, group: g.name}
	run, kind, err := s.planOf(ctx, s.wayTo(g), &c, func(p *change.Params) {
		told.begin(idsOf(s.membersOf(g)))
		p.Asked = told.asked
	})
	if err == nil {
		err = then(run, told)
	}
	if err != nil {
		return SettingsRun{}, cfgError(err)
	}
	st := run.State()
	v := s.runView("", &c, kind.what, &st)
	s.mu.Lock()
	busy := s.changing(g.name, c.Devices, "")
	s.mu.Unlock()
	if v.Problem == nil && busy {
		v.Problem = &errCfgOne.Problem
	}
	return v, nil
}

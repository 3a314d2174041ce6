package commission

import (
	"context"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/exchange"
)

// ExportSettings writes what the devices of a group run, as they said last.
func (e *Engine) ExportSettings(ctx context.Context, group, format string) (string, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return "", err
	}
	write := map[string]func([]exchange.Device, exchange.Schemas) ([]byte, error){"senml": exchange.SenML, "csv": exchange.CSV}[format]
	if write == nil {
		return "", errCfgFormat
	}
	if err := s.knowSettings(ctx, g); err != nil {
		return "", cfgError(err)
	}
	var list []exchange.Device
	for _, d := range s.membersOf(g) {
		if r := s.settingsOf(d.id); r.Values != nil && s.schemaOf(d.id) != nil {
			list = append(list, exchange.Device{ID: d.id, Name: s.of(d).Name, Values: r.Values})
		}
	}
	text, err := write(list, s.schemaOf)
	if err != nil {
		return "", cfgProblem(err)
	}
	return string(text), nil
}

// ImportSettings makes a change of a file, which changes devices of one model.
func (e *Engine) ImportSettings(ctx context.Context, group, text string) (SettingsChange, error) {
	list, err := e.imports(ctx, group, text, true)
	switch {
	case err != nil:
		return SettingsChange{}, err
	case len(list) > 1:
		return SettingsChange{}, errCfgModels
	}
	return list[0], nil
}

// ImportModels makes a change for each model of a file, in the order of its devices.
func (e *Engine) ImportModels(ctx context.Context, group, text string) ([]SettingsChange, error) {
	return e.imports(ctx, group, text, false)
}

// imports makes a change for each model of a file; narrow: without devices that it does
// not change, where it has several models.
func (e *Engine) imports(ctx context.Context, group, text string, narrow bool) ([]SettingsChange, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return nil, err
	}
	if err := s.knowSettings(ctx, g); err != nil {
		return nil, cfgError(err)
	}
	list, err := exchange.Parse([]byte(text), func(id string) *settings.Schema {
		if d, err := s.device(id); err == nil && s.of(d).in(g.name) != nil {
			return s.schemaOf(id)
		}
		return nil
	})
	if err != nil {
		return nil, cfgProblem(err)
	}
	if len(list) == 0 {
		return nil, errCfgEmpty
	}
	if narrow {
		list = s.changedBy(list)
	}
	var models []string
	of := map[string][]exchange.Device{}
	for _, d := range list {
		model := s.schemaOf(d.ID).Model
		if of[model] == nil {
			models = append(models, model)
		}
		of[model] = append(of[model], d)
	}
	var changes []SettingsChange
	for _, model := range models {
		changes = append(changes, imported(g.name, s.schemaOf(of[model][0].ID), of[model]))
	}
	return changes, nil
}

// imported is the change that devices of one model get from a file.
func imported(group string, what *settings.Schema, devices []exchange.Device) SettingsChange {
	c := SettingsChange{Group: group, Model: what.Model}.whole()
	for _, d := range devices {
		c.Devices = append(c.Devices, d.ID)
	}
	shared, own := exchange.Fold(devices, what)
	c.Values = escaped(shared).JSON()
	for id, m := range own {
		c.PerDevice[id] = m.JSON()
	}
	return c
}

// changedBy leaves devices out that a file of several models does not change: what
// was exported whole can be changed for one model. A file that changes nothing stands
// for its first model.
func (s *site) changedBy(list []exchange.Device) []exchange.Device {
	var changed, first []exchange.Device
	model := s.schemaOf(list[0].ID).Model
	for _, d := range list {
		now := s.settingsOf(d.ID).Values
		if len(settings.Diff(now, settings.Merge(now, d.Values))) > 0 {
			changed = append(changed, d)
		}
		if s.schemaOf(d.ID).Model == model {
			first = append(first, d)
		}
	}
	switch {
	case len(first) == len(list):
		return list
	case len(changed) == 0:
		return first
	}
	return changed
}

package commission

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"

	"lamplighter/internal/settings/template"
	"lamplighter/internal/store"
)

// templates reads the templates from the store.
func (s *site) templates(ctx context.Context) (map[string]SettingsTemplate, error) {
	all := map[string]SettingsTemplate{}
	err := s.db.View(ctx, func(tx store.Tx) error {
		return scan(tx, preTemplate, func(id string, text *[]byte) {
			var t SettingsTemplate
			if json.Unmarshal(*text, &t) == nil {
				all[id] = t.whole()
			}
		})
	})
	return all, err
}

// whole is a template without nulls in place of lists and objects.
func (t SettingsTemplate) whole() SettingsTemplate {
	t.Values = some(t.Values)
	t.Variables = append([]SettingsVariable{}, t.Variables...)
	return t
}

func some[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// SettingsTemplates lists the templates by name.
func (e *Engine) SettingsTemplates(ctx context.Context) ([]SettingsTemplate, error) {
	s, err := e.site()
	if err != nil {
		return nil, err
	}
	all, err := s.templates(ctx)
	if err != nil {
		return nil, asProblem(err)
	}
	list := []SettingsTemplate{}
	for _, t := range all {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b SettingsTemplate) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// SaveTemplate keeps a template.
func (e *Engine) SaveTemplate(ctx context.Context, t SettingsTemplate) (SettingsTemplate, error) {
	s, err := e.site()
	if err != nil {
		return t, err
	}
	all, err := s.templates(ctx)
	if err != nil {
		return t, asProblem(err)
	}
	if t.Name == "" || t.Model == "" {
		return t, errCfgNameless
	}
	var declared []template.Variable
	for _, v := range t.Variables {
		declared = append(declared, template.Variable{Name: v.Name, Title: v.Title, Default: cmp.Or[any](v.Default, "")})
	}
	if _, err := template.Bind(declared, nil); err != nil {
		return t, cfgProblem(err)
	}
	if _, known := all[t.ID]; !known {
		random := make([]byte, 8)
		if _, err := io.ReadFull(s.e.cfg.Rand, random); err != nil {
			return t, asProblem(err)
		}
		t.ID = hex.EncodeToString(random)
	}
	t.At = e.now()
	t = t.whole()
	text, err := json.Marshal(t)
	if _, known := all[t.ID]; err != nil || len(text) > maxTemplate || !known && len(all) >= maxTemplates {
		return t, errCfgRoom
	}
	return t, asError(s.commit(ctx, write{preTemplate + t.ID, text}))
}

// DeleteTemplate drops a template.
func (e *Engine) DeleteTemplate(ctx context.Context, id string) error {
	s, err := e.site()
	if err != nil {
		return err
	}
	return asError(s.commit(ctx, write{preTemplate + id, nil}))
}

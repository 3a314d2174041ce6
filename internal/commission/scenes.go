package commission

import (
	"context"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
)

const (
	maxScene = 15

	nameScenes  = "scenes" // of settings that make a model one with scenes, or that can be linked
	nameButtons = "buttons"
	nameLink    = "link"
	nameGroup   = "group"
)

// RecallScene has a group show a scene. A newer command ends the repetition of an
// older one, as with the light. DESIGN S5.
func (e *Engine) RecallScene(ctx context.Context, group string, scene, fade int) (RollCall, error) {
	if scene < 0 || scene > maxScene || fade < 0 || fade > settings.MaxFade {
		return RollCall{}, errCfgScene
	}
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return RollCall{}, err
	}
	r := settings.Recall{Scene: uint(scene), Fade: uint(fade)}
	req := coap.NewRequest(coap.POST, settings.PathRecall, r.Append(nil))
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	call, err := s.ask(ctx, g, kindScene, req)
	e.pub.flush()
	return call, err
}

// StoreScene is the change that stores a scene at the lamps of a group.
func (e *Engine) StoreScene(ctx context.Context, group string, scene int, values map[string]any) (SettingsChange, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return SettingsChange{}, err
	}
	if err := s.knowSettings(ctx, g); err != nil {
		return SettingsChange{}, cfgError(err)
	}
	c, err := s.changeWith(g, func(what *settings.Schema) any {
		d := what.Named(nameScenes)
		if d == nil || d.IDs == nil {
			return nil
		}
		return d
	})
	if err != nil {
		return SettingsChange{}, errCfgNoScenes
	}
	kind, err := s.usual(g, c.Model)
	if err != nil {
		return SettingsChange{}, cfgError(err)
	}
	d := kind.what.Named(nameScenes)
	if scene < 0 || uint64(scene) < d.IDs.Min || uint64(scene) > d.IDs.Max {
		return SettingsChange{}, errCfgScene
	}
	var one any
	if values != nil {
		one = values
	}
	c.Values[number(d.Key)] = map[string]any{number(uint64(scene)): one}
	return c, nil
}

// changeWith is an empty change for the model in a group that has something; has says
// nil where it does not.
func (s *site) changeWith(g *group, has func(*settings.Schema) any) (SettingsChange, error) {
	for _, d := range s.membersOf(g) {
		if what := s.schemaOf(d.id); what != nil && has(what) != nil {
			return SettingsChange{Group: g.name, Model: what.Model}.whole(), nil
		}
	}
	return SettingsChange{}, errCfgSchema
}

// LinkSettings is the change that links buttons of switches, or sensors, with a group.
func (e *Engine) LinkSettings(ctx context.Context, devices []string, group string, to SettingsLink) (SettingsChange, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return SettingsChange{}, err
	}
	list, err := s.chosen(devices)
	if err != nil {
		return SettingsChange{}, err
	}
	if _, err := s.knownGroup(to.Group); err != nil {
		return SettingsChange{}, err
	}
	if err := s.knowSettings(ctx, g); err != nil {
		return SettingsChange{}, cfgError(err)
	}
	c := SettingsChange{Group: g.name}.whole()
	for _, d := range list {
		what := s.schemaOf(d.id)
		switch {
		case what == nil:
			return SettingsChange{}, errCfgUnread
		case s.of(d).mute(to.Group):
			return SettingsChange{}, errMute
		}
		if c.Model != "" && c.Model != what.Model {
			return SettingsChange{}, errCfgModels
		}
		c.Model, c.Devices = what.Model, append(c.Devices, d.id)
		if c.Values = linked(what, to); c.Values == nil {
			return SettingsChange{}, errCfgLink
		}
	}
	return c, nil
}

// linked are the settings of a link, nil where the model has none.
func linked(what *settings.Schema, to SettingsLink) map[string]any {
	out := map[string]any{}
	if buttons := what.Named(nameButtons); buttons != nil && to.Button >= 0 {
		button := map[string]any{}
		for name, v := range map[string]any{nameGroup: to.Group, "action": float64(to.Action), "scene": float64(to.Scene)} {
			if m := buttons.MemberNamed(name); m != nil {
				button[number(m.Key)] = v
			}
		}
		out[number(buttons.Key)] = map[string]any{number(uint64(to.Button)): button}
		return out
	}
	link, to2 := what.Named(nameLink), what.Named(nameGroup)
	if link == nil || to2 == nil {
		return nil
	}
	out[number(link.Key)], out[number(to2.Key)] = float64(to.Number), to.Group
	return out
}

package commission

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
)

// ReadSettings asks the devices of a group what they run.
func (e *Engine) ReadSettings(ctx context.Context, group string) ([]SettingsDevice, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return nil, err
	}
	if err := s.readSettings(ctx, g); err != nil {
		return nil, cfgError(err)
	}
	return s.settingsViews(g), nil
}

// KeepSettings takes what devices run, as they said last, for what this site has
// confirmed: they have not drifted any more.
func (e *Engine) KeepSettings(ctx context.Context, group string, devices []string) ([]SettingsDevice, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return nil, err
	}
	list, err := s.chosen(devices)
	if err != nil {
		return nil, err
	}
	s.settingsLock.Lock()
	defer s.settingsLock.Unlock()
	next := map[string]*settingsRecord{}
	for _, d := range list {
		r := s.settingsOf(d.id)
		switch {
		case r.Values == nil:
			return nil, errCfgUnread
		case r.State == settings.Trial: // it may be about to go back
			return nil, errCfgOne
		}
		r.Confirmed = r.Values
		next[d.id] = &r
	}
	if err := s.setSettings(ctx, next); err != nil {
		return nil, asProblem(err)
	}
	return s.settingsViews(g), nil
}

func (s *site) settingsViews(g *group) []SettingsDevice {
	list := []SettingsDevice{}
	for _, d := range s.membersOf(g) {
		list = append(list, s.settingsView(d))
	}
	return list
}

// setSettings replaces records, durably; s.settingsLock is held where they were made
// of what was there before.
func (s *site) setSettings(ctx context.Context, next map[string]*settingsRecord) error {
	var writes []write
	for _, id := range slices.Sorted(maps.Keys(next)) {
		writes = append(writes, write{preSettings + id, next[id]})
	}
	if len(writes) == 0 {
		return nil
	}
	if err := s.commit(ctx, writes...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.settings, next)
	return nil
}

// knowSettings reads a group's settings if one of its devices was never heard of.
func (s *site) knowSettings(ctx context.Context, g *group) error {
	for _, d := range s.membersOf(g) {
		if r := s.settingsOf(d.id); r.Schema == nil && r.Reason == nil || r.Schema != nil && s.schema(refDigest(r.Schema)) == nil {
			return s.readSettings(ctx, g)
		}
	}
	return nil
}

// readSettings asks all devices of a group, and reads schemas that are not kept here.
func (s *site) readSettings(ctx context.Context, g *group) error {
	devices := s.membersOf(g)
	if len(devices) == 0 {
		return errNobody
	}
	if err := s.ensureMember(ctx, g); err != nil {
		return err
	}
	if s.rests(ctx, g) {
		return errPaused
	}
	if err := s.findLost(ctx, devices); err != nil {
		return err
	}
	way := s.wayTo(g)
	p := s.cfgParams(way)
	p.Options = s.cfgTimes(g)
	got, err := change.Read(ctx, p)
	if err != nil {
		return err
	}
	if err := s.noteReadings(ctx, got); err != nil {
		return err
	}
	return s.fetchSchemas(ctx, way, got)
}

// findLost searches for devices whose address is not known.
func (s *site) findLost(ctx context.Context, devices []*device) error {
	if !slices.ContainsFunc(devices, func(d *device) bool { return !s.of(d).address().IsValid() }) {
		return nil
	}
	all, err := s.search(ctx, "", nil)
	if err != nil {
		return nil // those that are lost are silent
	}
	return s.noteFound(ctx, all)
}

// noteReadings keeps what devices told. One that is silent keeps what it told before.
func (s *site) noteReadings(ctx context.Context, got map[string]change.Reading) error {
	s.settingsLock.Lock()
	defer s.settingsLock.Unlock()
	next := map[string]*settingsRecord{}
	for id, a := range got {
		r := s.settingsOf(id)
		r.Reason = a.Reason
		if a.Reason == nil {
			r.Values, r.Schema, r.Digest, r.State, r.At = a.Values, a.Schema, a.Status.Running, a.Status.State, s.e.now()
		}
		next[id] = &r
	}
	return s.setSettings(ctx, next)
}

// fetchSchemas reads the schemas that are not kept here, each from the first device
// that gives it.
func (s *site) fetchSchemas(ctx context.Context, way *groupWay, got map[string]change.Reading) error {
	for _, id := range slices.Sorted(maps.Keys(got)) {
		ref := got[id].Schema
		if ref == nil || s.schema(refDigest(ref)) != nil {
			continue
		}
		if err := s.fetchSchema(ctx, way, id, ref); ctx.Err() != nil || errors.Is(err, errStore) {
			return err
		} else if err != nil {
			s.e.logProblem(id, "reading what its settings mean", err)
		}
	}
	return nil
}

// settingsView is a device's settings as they are shown.
func (s *site) settingsView(d *device) SettingsDevice {
	r := s.settingsOf(d.id)
	v := SettingsDevice{
		Device: d.id, Model: s.of(d).Model, Schema: refDigest(r.Schema), At: r.At, Digest: hex.EncodeToString(r.Digest),
		Values: r.Values.JSON(), Drift: []int{}, State: SettingsOK, Problem: cfgReason(r.Reason),
	}
	if r.Schema != nil {
		v.Model = r.Schema.Model
	}
	if r.Confirmed != nil {
		v.Expected = hex.EncodeToString(r.Confirmed.Short())
	}
	if r.Confirmed != nil && r.Values != nil && r.State != settings.Trial {
		for _, key := range slices.Sorted(maps.Keys(settings.Diff(r.Confirmed, r.Values))) {
			v.Drift = append(v.Drift, int(key))
		}
	}
	c := s.schema(v.Schema)
	switch {
	case r.Reason != nil && r.Reason.ID == reasonSilentID:
		v.State = SettingsSilent
	case r.Values == nil:
		v.State = SettingsUnread
	case r.State == settings.Trial:
		v.State = SettingsTrial
	case c == nil || c.what == nil:
		v.State, v.Problem = SettingsUnknownSchema, &errCfgSchema.Problem
	case len(v.Drift) > 0:
		v.State = SettingsDrifted
	}
	return v
}

// reasonSilentID is the id of a device that does not answer, of
// internal/settings/change.
const reasonSilentID = "cfg-silent"

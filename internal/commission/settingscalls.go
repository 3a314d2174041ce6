package commission

import (
	"context"
	"errors"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/template"
)

// ApplySettings begins a change.
func (e *Engine) ApplySettings(ctx context.Context, c SettingsChange) (Job, error) {
	c = c.whole()
	s, g, err := e.siteAndGroup(c.Group)
	if err != nil {
		return Job{}, err
	}
	kind, err := s.usual(g, c.Model)
	if errors.Is(err, errCfgSchema) {
		if err = s.readSettings(ctx, g); err == nil {
			kind, err = s.usual(g, c.Model)
		}
	}
	if err == nil {
		_, err = s.options(g, &c)
	}
	if err == nil { // what no device would take is told at once
		_, err = s.forChange(ctx, g, &c, kind.what)
	}
	if err != nil {
		return Job{}, cfgError(err)
	}
	return s.startChange(ctx, g, c)
}

// change finds a change of the current site.
func (e *Engine) change(id string) (*site, *job, *cfgChange, error) {
	s, j, err := e.job(id)
	if err != nil {
		return nil, nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.changes[id]
	switch {
	case j.rec.Kind != jobSettings:
		return nil, nil, nil, errCfgNoJob
	case c == nil:
		return nil, nil, nil, errCfgBroken
	}
	return s, j, c, nil
}

// ConfirmSettings has the devices keep what they try.
func (e *Engine) ConfirmSettings(ctx context.Context, job string) (SettingsRun, error) {
	s, j, c, err := e.change(job)
	if err != nil {
		return SettingsRun{}, err
	}
	s.mu.Lock()
	trying := c.state != nil && SettingsPhase(c.state.Phase) == SettingsTrying && !j.ended() && !c.rec.Revert
	done := j.done
	s.mu.Unlock()
	if !trying {
		return SettingsRun{}, errCfgNotTrial
	}
	answer := make(chan error, 1)
	select {
	case c.asks <- answer:
	case <-done:
		return SettingsRun{}, errCfgNotTrial
	case <-ctx.Done():
		return SettingsRun{}, errCanceled
	}
	select {
	case err = <-answer:
	case <-done:
		select { // both at once
		case err = <-answer:
		default:
		}
	case <-ctx.Done():
		return SettingsRun{}, errCanceled
	}
	if err != nil {
		return SettingsRun{}, cfgError(err)
	}
	select { // nothing is left to do
	case <-done:
	case <-ctx.Done():
	}
	return e.SettingsRun(ctx, job)
}

// RevertSettings takes a change back that is not confirmed.
func (e *Engine) RevertSettings(ctx context.Context, job string) (SettingsRun, error) {
	s, j, c, err := e.change(job)
	if err != nil {
		return SettingsRun{}, err
	}
	s.mu.Lock()
	if j.ended() {
		s.mu.Unlock()
		return SettingsRun{}, errCfgOver
	}
	s.mu.Unlock()
	if err := s.wantBack(ctx, j, c); err != nil {
		return SettingsRun{}, asProblem(err)
	}
	s.mu.Lock()
	if c.stop != nil {
		c.stop()
	}
	done := j.done
	s.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	select {
	case <-done:
	case <-ctx.Done():
		return SettingsRun{}, errCanceled
	}
	return e.SettingsRun(ctx, job)
}

// SettingsRun is a change, whole.
func (e *Engine) SettingsRun(_ context.Context, job string) (SettingsRun, error) {
	s, _, _, err := e.change(job)
	if err != nil {
		return SettingsRun{}, err
	}
	e.pub.flush()
	v, ok := s.changeView(job)
	if !ok {
		return SettingsRun{}, errCfgBroken
	}
	return v, nil
}

// UndoSettings is the change that takes a confirmed one back.
func (e *Engine) UndoSettings(_ context.Context, job string) (SettingsChange, error) {
	s, j, c, err := e.change(job)
	if err != nil {
		return SettingsChange{}, err
	}
	s.mu.Lock()
	can := j.ended() && c.undoable(e.cfg.Now())
	s.mu.Unlock()
	st := s.kept(c)
	if !can || st == nil {
		return SettingsChange{}, errCfgUndo
	}
	undo := st.Undo()
	back := SettingsChange{Group: j.rec.Group, Model: st.Ref.Model, Devices: undo.Only, ConfirmWithin: c.want.ConfirmWithin}.whole()
	back.Values = escaped(undo.Values).JSON()
	for id, own := range undo.Own {
		back.PerDevice[id] = own.JSON()
	}
	return back, nil
}

// escaped is settings whose texts a template leaves as they are.
func escaped(m settings.Map) settings.Map {
	out := settings.Map{}
	for key, v := range m {
		switch v := v.(type) {
		case string:
			out[key] = template.Escape(v)
		case settings.Map:
			out[key] = escaped(v)
		default:
			out[key] = v
		}
	}
	return out
}

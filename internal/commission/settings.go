package commission

import "context"

var errCfgYet = &Error{Problem: Problem{ID: "internal", Text: "This cannot be done yet."}}

func (e *Engine) SettingsSchemas(ctx context.Context, group string) ([]SettingsSchema, error) {
	return nil, errCfgYet
}
func (e *Engine) ReadSettings(ctx context.Context, group string) ([]SettingsDevice, error) {
	return nil, errCfgYet
}
func (e *Engine) SettingsTemplates(ctx context.Context) ([]SettingsTemplate, error) {
	return nil, errCfgYet
}
func (e *Engine) SaveTemplate(ctx context.Context, t SettingsTemplate) (SettingsTemplate, error) {
	return t, errCfgYet
}
func (e *Engine) DeleteTemplate(ctx context.Context, id string) error { return errCfgYet }
func (e *Engine) PlanSettings(ctx context.Context, c SettingsChange) (SettingsRun, error) {
	return SettingsRun{}, errCfgYet
}
func (e *Engine) CheckSettings(ctx context.Context, c SettingsChange) (SettingsRun, error) {
	return SettingsRun{}, errCfgYet
}
func (e *Engine) ApplySettings(ctx context.Context, c SettingsChange) (Job, error) {
	return Job{}, errCfgYet
}
func (e *Engine) ConfirmSettings(ctx context.Context, job string) (SettingsRun, error) {
	return SettingsRun{}, errCfgYet
}
func (e *Engine) RevertSettings(ctx context.Context, job string) (SettingsRun, error) {
	return SettingsRun{}, errCfgYet
}
func (e *Engine) UndoSettings(ctx context.Context, job string) (SettingsChange, error) {
	return SettingsChange{}, errCfgYet
}
func (e *Engine) SettingsRun(ctx context.Context, job string) (SettingsRun, error) {
	return SettingsRun{}, errCfgYet
}
func (e *Engine) ExportSettings(ctx context.Context, group, format string) (string, error) {
	return "", errCfgYet
}
func (e *Engine) ImportSettings(ctx context.Context, group, text string) (SettingsChange, error) {
	return SettingsChange{}, errCfgYet
}
func (e *Engine) RecallScene(ctx context.Context, group string, scene, fade int) (RollCall, error) {
	return RollCall{}, errCfgYet
}
func (e *Engine) StoreScene(ctx context.Context, group string, scene int, values map[string]any) (SettingsChange, error) {
	return SettingsChange{}, errCfgYet
}
func (e *Engine) LinkSettings(ctx context.Context, devices []string, group string, to SettingsLink) (SettingsChange, error) {
	return SettingsChange{}, errCfgYet
}
func (e *Engine) Emergency(ctx context.Context, group string, on bool) (RollCall, error) {
	return RollCall{}, errCfgYet
}
func (e *Engine) EmergencyTest(ctx context.Context, group, kind string, devices []string) (Job, error) {
	return Job{}, errCfgYet
}
func (e *Engine) EmergencyLog(ctx context.Context, group string) ([]EmergencyEntry, error) {
	return nil, errCfgYet
}
func (e *Engine) EmergencyLogCSV(ctx context.Context, group string) (string, error) {
	return "", errCfgYet
}

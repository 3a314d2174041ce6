package commission

import "context"

var errFirmwareSoon = problem("fw-unready", "This version cannot send firmware yet.", "Update this program.")

// InspectFirmware takes a firmware file in: a SUIT envelope with its image.
func (e *Engine) InspectFirmware(ctx context.Context, file []byte) (FirmwareImage, error) {
	return FirmwareImage{}, errFirmwareSoon
}

// FirmwareImages lists the images that are kept here, newest first.
func (e *Engine) FirmwareImages(ctx context.Context) ([]FirmwareImage, error) {
	return []FirmwareImage{}, nil
}

// PlanFirmware asks the devices of a group what an image would be to them.
func (e *Engine) PlanFirmware(ctx context.Context, group, image string, options FirmwareOptions) (FirmwarePlan, error) {
	return FirmwarePlan{}, errFirmwareSoon
}

// StartFirmware begins a rollout.
func (e *Engine) StartFirmware(ctx context.Context, group, image string, options FirmwareOptions) (Job, error) {
	return Job{}, errFirmwareSoon
}

// PauseFirmware lets a rollout rest.
func (e *Engine) PauseFirmware(ctx context.Context, job string) (Job, error) {
	return Job{}, errFirmwareSoon
}

// ResumeFirmware lets a rollout go on.
func (e *Engine) ResumeFirmware(ctx context.Context, job string) (Job, error) {
	return Job{}, errFirmwareSoon
}

// AdvanceFirmware begins the next wave of a rollout that waits for a person.
func (e *Engine) AdvanceFirmware(ctx context.Context, job string) (Job, error) {
	return Job{}, errFirmwareSoon
}

// Firmware is a rollout, whole.
func (e *Engine) Firmware(ctx context.Context, job string) (Rollout, error) {
	return Rollout{}, errNoJob
}

// FirmwareReport is a rollout as a table.
func (e *Engine) FirmwareReport(ctx context.Context, job string) (string, error) {
	return "", errNoJob
}

package main

// firmwareCmd is everything about firmware: files by their vendors, rollouts by
// installers.
type firmwareCmd struct {
	Keygen  firmwareKeygenCmd  `cmd:"" help:"Make a vendor's key for signing firmware."`
	Sign    firmwareSignCmd    `cmd:"" help:"Make a signed firmware file of an image."`
	Inspect firmwareInspectCmd `cmd:"" help:"Say what is in a firmware file."`
	Verify  firmwareVerifyCmd  `cmd:"" help:"Say whether a firmware file is signed by a key."`
	Push    firmwarePushCmd    `cmd:"" help:"Send a firmware file to all devices of a group and switch them in waves."`
	Status  firmwareStatusCmd  `cmd:"" help:"Say where a rollout stands."`
	Pause   firmwarePauseCmd   `cmd:"" help:"Stop sending and switching for a while."`
	Resume  firmwareResumeCmd  `cmd:"" help:"Go on with a rollout that was paused or interrupted."`
	Advance firmwareAdvanceCmd `cmd:"" help:"Begin the next wave of a rollout that waits for you."`
	Abort   firmwareAbortCmd   `cmd:"" help:"End a rollout. Devices that have switched stay as they are."`
	Report  firmwareReportCmd  `cmd:"" help:"Print what became of each device, as CSV."`
}

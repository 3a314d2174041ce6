package settings

import "fmt"

var states = [...]string{
	Idle:      "nothing is under way: what runs is confirmed",
	Staged:    "new settings are ready and wait for the switch",
	Scheduled: "it will switch to the new settings by itself",
	Trial:     "it tries the new settings and goes back unless they are confirmed",
}

// String says in words where a device stands.
func (s State) String() string {
	if int(s) < len(states) {
		return states[s]
	}
	return fmt.Sprintf("state %d, which this program does not know", uint8(s))
}

var results = map[Result]string{
	ResultNone:       "no change has ended yet",
	ResultOK:         "done",
	ResultConfirmed:  "changed and confirmed",
	ResultReverted:   "nobody confirmed the new settings in time; the device runs those before",
	ResultCanceled:   "the change was cancelled before the switch; nothing is different",
	ResultWithdrawn:  "the change was taken back; the device runs the settings before it",
	ResultUnknownKey: "the device has no such setting; take it out, or read the device's schema anew",
	ResultRange:      "the value is out of range or between two steps; choose one that the schema allows",
	ResultType:       "the value is of another kind than the setting; give one of the right kind",
	ResultSchema:     "the device has another version of the schema; read it anew and plan the change again",
	ResultBase:       "the device runs other settings than the change was made for; look at the difference and plan the change again",
	ResultBusy:       "another change is under way at the device; wait until it is confirmed, or cancel it",
	ResultNoStage:    "the device has no such change ready; stage it again",
	ResultTooLarge:   "the settings are larger than the device can keep; take some out",
	ResultStale:      "the device takes no switch that was not asked for just now; ask it again and repeat the step",
	ResultTime:       "the time is past or too far ahead, or the device has no clock; give a time from now",
	ResultStore:      "the device could not store the settings; it may have to be replaced",
}

// String says in words how a device took a step, or how the latest change ended, and
// what to do about it.
func (r Result) String() string {
	if s, ok := results[r]; ok {
		return s
	}
	return fmt.Sprintf("result %d, which this program does not know", uint8(r))
}

// Refused says whether r is a refusal.
func (r Result) Refused() bool { return r >= ResultUnknownKey }

var modes = [...]string{ModeCheck: "check", ModeStage: "stage", ModeCommit: "commit", ModeConfirm: "confirm", ModeCancel: "cancel", ModeRevert: "revert"}

// String is the word for a mode.
func (m Mode) String() string {
	if m > 0 && int(m) < len(modes) {
		return modes[m]
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

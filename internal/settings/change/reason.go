package change

import (
	"errors"
	"fmt"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
)

// Reason is why a device does not go along, or why all stop: a stable id, a
// sentence, and what to do next. docs/settings.md lists the ids.
type Reason struct {
	ID   string `cbor:"1,keyasint"`
	Text string `cbor:"2,keyasint"`
	Next string `cbor:"3,keyasint,omitempty"`
}

func (r *Reason) Error() string {
	if r.Next == "" {
		return r.Text
	}
	return r.Text + " " + r.Next
}

// with returns r with a sentence behind its text.
func (r *Reason) with(format string, a ...any) *Reason {
	c := *r
	c.Text += " " + fmt.Sprintf(format, a...)
	return &c
}

// Why a device does not go along.
var (
	reasonSilent   = &Reason{"cfg-silent", "The device does not answer.", "See whether it has power and is in reach, then try again."}
	reasonNone     = &Reason{"cfg-none", "The device has no settings that can be changed from here.", ""}
	reasonDenied   = &Reason{"cfg-denied", "The device does not take settings from you.", "Only its owner and commissioners may change them."}
	reasonGone     = &Reason{"cfg-gone", "The device has left the group.", ""}
	reasonModel    = &Reason{"cfg-model", "The device is of another model.", ""}
	reasonSchema   = &Reason{"cfg-schema", "The device has another version of the schema.", "Read the schemas anew and plan the change again."}
	reasonBusy     = &Reason{"cfg-busy", "Another change is under way at the device.", "Wait until it is confirmed or has reverted, or revert it where it was begun."}
	reasonDrifted  = &Reason{"cfg-drifted", "The device runs other settings than those that were confirmed last.", "Look at the difference. Mend the device, or keep what it runs."}
	reasonBase     = &Reason{"cfg-base", "The settings of the device have changed since the plan.", "Plan the change again."}
	reasonUnknown  = &Reason{"cfg-unknown-key", "The device has no such setting.", "Take it out, or read the schemas anew."}
	reasonRange    = &Reason{"cfg-range", "A value is out of range or between two steps.", "Choose one that the schema allows."}
	reasonType     = &Reason{"cfg-type", "A value is of another kind than the setting.", ""}
	reasonTooLarge = &Reason{"cfg-too-large", "The settings are larger than the device can keep.", "Take some out."}
	reasonDigest   = &Reason{"cfg-digest", "The device would run, or runs, other settings than those that were computed for it.", "It is not switched or not confirmed. Read its settings and plan the change again."}
	reasonStale    = &Reason{"cfg-stale", "The device did not take the switch, as it was not asked for just now.", "Try again."}
	reasonTime     = &Reason{"cfg-time", "The time is past or too far ahead for the device, or it has no clock.", "Give a time from now instead."}
	reasonStore    = &Reason{"cfg-store", "The device could not store the settings.", "Try again; if that repeats, replace the device."}
	reasonNoStage  = &Reason{"cfg-no-stage", "The device has no such change ready any more.", "Plan the change again."}
	reasonReverted = &Reason{"cfg-reverted", "Nobody confirmed the new settings in time. The device went back to those before by itself.", "Plan the change again."}
	reasonMissed   = &Reason{"cfg-missed", "The device did not hear of the switch.", "It runs what it ran before. Try again."}
	reasonUntold   = &Reason{"cfg-untold", "The device could not be told to go back.", "It goes back by itself when the time to confirm is over."}
	reasonUnsure   = &Reason{"cfg-unsure", "The device did not say that it keeps the new settings.", "If it did not hear the confirmation it goes back by itself. Read its settings later."}
)

// Why all stop.
var (
	reasonNobody   = &Reason{"cfg-nobody", "There is no device that the change is for.", ""}
	reasonBegun    = &Reason{"cfg-begun", "This change was begun before.", "Plan a new one."}
	reasonShort    = &Reason{"cfg-too-few", "Fewer devices went along than was asked for. The others were told to forget the change; they run what they ran before.", "See which devices are silent or refused, or allow fewer."}
	reasonBack     = &Reason{"cfg-went-back", "Fewer devices run the new settings than was asked for. All were told to go back.", "See which devices are silent or refused, or allow fewer."}
	reasonQuorum   = &Reason{"cfg-quorum", "Fewer devices run the new settings than was asked for, so nothing was confirmed.", "Revert the change, or wait until all have reverted by themselves."}
	reasonPartly   = &Reason{"cfg-partly", "Not all devices keep the new settings.", "See which do not, and plan the change again for these."}
	reasonNoTrial  = &Reason{"cfg-no-trial", "There is nothing to confirm: no device tries new settings of this change.", ""}
	reasonExpired  = &Reason{"cfg-expired", "Nobody confirmed the change in time. The devices went back to the settings before by themselves.", "Plan the change again."}
	reasonCanceled = &Reason{"cfg-canceled", "The change was taken back.", ""}
)

// ofResult says in words how a device refused; nil when it did not.
func ofResult(s *settings.Status) *Reason {
	by := map[settings.Result]*Reason{
		settings.ResultUnknownKey: reasonUnknown, settings.ResultRange: reasonRange, settings.ResultType: reasonType,
		settings.ResultSchema: reasonSchema, settings.ResultBase: reasonBase, settings.ResultBusy: reasonBusy,
		settings.ResultNoStage: reasonNoStage, settings.ResultTooLarge: reasonTooLarge, settings.ResultStale: reasonStale,
		settings.ResultTime: reasonTime, settings.ResultStore: reasonStore,
	}
	switch r := by[s.Result]; {
	case !s.Result.Refused():
		return nil
	case r == nil:
		return (&Reason{"cfg-refused", "The device refused the change.", ""}).with("(%v.)", s.Result)
	case s.Key != 0:
		return r.with("(Key %d.)", s.Key)
	default:
		return r
	}
}

// problem is why a step was not carried out; nil when it was.
func (r *reply) problem() *Reason {
	switch {
	case errors.Is(r.err, groupcomm.ErrGone):
		return reasonGone
	case errors.Is(r.err, coap.ErrTimeout):
		return reasonSilent
	case r.err != nil:
		return reasonSilent.with("(%v.)", r.err)
	case r.said:
		return ofResult(&r.status)
	case r.code == coap.NotFound || r.code == coap.MethodNotAllowed:
		return reasonNone
	case r.code == coap.Unauthorized || r.code == coap.Forbidden:
		return reasonDenied
	case coap.Class(r.code) == 2:
		return nil
	}
	return reasonSilent.with("(It answered %s.)", coap.CodeString(r.code))
}

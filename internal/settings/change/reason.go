package change

import (
	"errors"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
)

// Reason is why a device does not go along, or why all stop. docs/settings.md lists the
// ids.
type Reason = groupcomm.Reason

func because(id, text, next string) *Reason { return &Reason{ID: id, Text: text, Next: next} }

// Why a device does not go along.
var (
	reasonSilent   = because("cfg-silent", "The device does not answer.", "See whether it has power and is in reach, then try again.")
	reasonNone     = because("cfg-none", "The device has no settings that can be changed from here.", "")
	reasonDenied   = because("cfg-denied", "The device does not take settings from you.", "Only its owner and commissioners may change them.")
	reasonGone     = because("cfg-gone", "The device has left the group.", "")
	reasonModel    = because("cfg-model", "The device is of another model.", "")
	reasonSchema   = because("cfg-schema", "The device has another version of the schema.", "Read the schemas anew and plan the change again.")
	reasonBusy     = because("cfg-busy", "Another change is under way at the device.", "Wait until it is confirmed or has reverted, or revert it where it was begun.")
	reasonDrifted  = because("cfg-drifted", "The device runs other settings than those that were confirmed last.", "Look at the difference. Mend the device, or keep what it runs.")
	reasonBase     = because("cfg-base", "The settings of the device have changed since the plan.", "Plan the change again.")
	reasonUnknown  = because("cfg-unknown-key", "The device has no such setting.", "Take it out, or read the schemas anew.")
	reasonRange    = because("cfg-range", "A value is out of range or between two steps.", "Choose one that the schema allows.")
	reasonType     = because("cfg-type", "A value is of another kind than the setting.", "")
	reasonTooLarge = because("cfg-too-large", "The settings are larger than the device can keep.", "Take some out.")
	reasonDigest   = because("cfg-digest", "The device would run, or runs, other settings than those that were computed for it.", "It is not switched or not confirmed. Read its settings and plan the change again.")
	reasonStale    = because("cfg-stale", "The device did not take the switch, as it was not asked for just now.", "Try again.")
	reasonTime     = because("cfg-time", "The time is past or too far ahead for the device, or it has no clock.", "Give a time from now instead.")
	reasonStore    = because("cfg-store", "The device could not store the settings.", "Try again; if that repeats, replace the device.")
	reasonNoStage  = because("cfg-no-stage", "The device has no such change ready any more.", "Plan the change again.")
	reasonReverted = because("cfg-reverted", "Nobody confirmed the new settings in time. The device went back to those before by itself.", "Plan the change again.")
	reasonMissed   = because("cfg-missed", "The device did not hear of the switch.", "It runs what it ran before. Try again.")
	reasonUntold   = because("cfg-untold", "The device could not be told to go back.", "It goes back by itself when the time to confirm is over.")
	reasonUnsure   = because("cfg-unsure", "The device did not say that it keeps the new settings.", "If it did not hear the confirmation it goes back by itself. Read its settings later.")
)

// Why all stop.
var (
	reasonNobody   = because("cfg-nobody", "There is no device that the change is for.", "")
	reasonBegun    = because("cfg-begun", "This change was begun before.", "Plan a new one.")
	reasonShort    = because("cfg-too-few", "Fewer devices went along than was asked for. The others were told to forget the change; they run what they ran before.", "See which devices are silent or refused, or allow fewer.")
	reasonBack     = because("cfg-went-back", "Fewer devices run the new settings than was asked for. All were told to go back.", "See which devices are silent or refused, or allow fewer.")
	reasonQuorum   = because("cfg-quorum", "Fewer devices run the new settings than was asked for, so nothing was confirmed.", "Revert the change, or wait until all have reverted by themselves.")
	reasonPartly   = because("cfg-partly", "Not all devices keep the new settings.", "See which do not, and plan the change again for these.")
	reasonNoTrial  = because("cfg-no-trial", "There is nothing to confirm: no device tries new settings of this change.", "")
	reasonExpired  = because("cfg-expired", "Nobody confirmed the change in time. The devices went back to the settings before by themselves.", "Plan the change again.")
	reasonCanceled = because("cfg-canceled", "The change was taken back.", "")
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
		return because("cfg-refused", "The device refused the change.", "").With("(%v.)", s.Result)
	case s.Key != 0:
		return r.With("(Key %d.)", s.Key)
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
		return reasonSilent.With("(%v.)", r.err)
	case r.said:
		return ofResult(&r.status)
	case r.code == coap.NotFound || r.code == coap.MethodNotAllowed:
		return reasonNone
	case r.code == coap.Unauthorized || r.code == coap.Forbidden:
		return reasonDenied
	case coap.Class(r.code) == 2:
		return nil
	}
	return reasonSilent.With("(It answered %s.)", coap.CodeString(r.code))
}

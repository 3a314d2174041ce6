package rollout

import (
	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
)

// Reason is why a device is left out or failed.
type Reason = groupcomm.Reason

func because(id, text, next string) *Reason { return &Reason{ID: id, Text: text, Next: next} }

// Why a device does not take part. docs/firmware.md lists the ids.
var (
	reasonSilent  = because("fw-silent", "The device does not answer.", "See whether it has power and is in reach, then try again.")
	reasonNone    = because("fw-none", "The device has no firmware that can be updated.", "")
	reasonDenied  = because("fw-denied", "The device does not take firmware from you.", "Only its owner and commissioners may update it.")
	reasonClass   = because("fw-wrong-class", "The image is for another kind of device.", "Choose the image that is made for this model.")
	reasonOlder   = because("fw-older", "The device takes only newer images than this one.", "Choose an image with a higher sequence number.")
	reasonRunning = because("fw-running", "The device runs this image already.", "")
	reasonSpace   = because("fw-no-space", "The image is larger than the place that the device has for it.", "")
	reasonSigner  = because("fw-signer", "The image is signed by somebody whom the device does not trust.", "Ask the vendor of the device for a signed image.")
	reasonBusy    = because("fw-busy", "Somebody else is sending firmware to the device.", "Wait for the end of that update, or take over.")
	reasonTesting = because("fw-testing", "The device is trying another image.", "Wait until that is confirmed or reverted.")
	reasonBlocks  = because("fw-blocks", "The device takes only blocks of another size than the update that is under way.", "Update it on its own afterwards.")
)

// Why a device failed.
var (
	reasonLies      = because("fw-digest", "The device says that it has another image than the one that was sent.", "It is not switched. Look at the device; it may be broken or not what it seems.")
	reasonIntegrity = because("fw-integrity", "What the device wrote to its memory is not the image.", "Try again; if that repeats, its memory is broken.")
	reasonFlash     = because("fw-flash", "The device could not write to its memory.", "Try again; if that repeats, replace the device.")
	reasonRefused   = because("fw-refused", "The device refused the image.", "")
	reasonSignature = because("fw-signature", "The device found that the image's signature is wrong.", "Get the file again from the vendor.")
	reasonBootLoop  = because("fw-boot-loop", "The new image did not start. The device went back to the one before by itself.", "Do not update the others before the vendor has looked at it.")
	reasonReverted  = because("fw-reverted", "The device went back to the image before by itself.", "The new image was not confirmed in time. Try again, and ask the vendor if that repeats.")
	reasonLost      = because("fw-lost", "The device did not come back after the switch.", "It goes back to the image before by itself, when it can. See whether it has power.")
	reasonProbe     = because("fw-probe", "The device came back with the new image but does not do its work. It was told to go back.", "")
	reasonNoSwitch  = because("fw-no-switch", "The device did not switch although it was told to.", "Try again.")
	reasonSoak      = because("fw-soak", "The device started again or stopped answering soon after it had switched.", "Look at it before the others are updated.")
	reasonSlow      = because("fw-slow", "Too few blocks reach the device.", "Bring it nearer to the network or update it on its own.")
	reasonGone      = because("fw-gone", "The device has left the group.", "")
	reasonExpired   = because("fw-expired", "The device has dropped what it had received.", "Try again.")
	reasonZone      = because("fw-zone", "Too many devices of its zone did not come back, so this one was not switched.", "Mend those first.")
)

// Why the whole rollout stands still or ended.
var (
	reasonStoppedCanary = because("fw-stopped-canary", "A device of the first wave failed. No other device was switched.", "")
	reasonStopped       = because("fw-stopped", "More devices failed than was allowed. The others were not switched.", "")
	reasonPassed        = because("fw-time-passed", "The time of the switch went by while nobody was here.", "Let the switch begin by hand.")
	reasonAborted       = because("fw-aborted", "The update was aborted.", "")
	reasonTaken         = because("fw-taken", "Somebody else has taken this update over and goes on with it.", "Leave it to them, or take over again.")
	reasonNobody        = because("fw-nobody", "The image reached no device.", "")
)

// ofResult says in words how a session at a device ended; nil when that is no
// failure.
func ofResult(r firmware.Result) *Reason {
	switch r {
	case firmware.ResultNoSpace:
		return reasonSpace
	case firmware.ResultIntegrity:
		return reasonIntegrity
	case firmware.ResultFailed:
		return reasonFlash
	case firmware.ResultUnsupported:
		return reasonRefused
	case firmware.ResultSignature:
		return reasonSignature
	case firmware.ResultSigner:
		return reasonSigner
	case firmware.ResultOlder:
		return reasonOlder
	case firmware.ResultWrongClass:
		return reasonClass
	case firmware.ResultReverted:
		return reasonReverted
	case firmware.ResultBootLoop:
		return reasonBootLoop
	case firmware.ResultExpired, firmware.ResultCanceled:
		return reasonExpired
	}
	return nil
}

package rollout

import (
	"fmt"

	"lamplighter/internal/firmware"
)

// Reason is why a device is left out or failed: a stable id, a sentence, and what
// to do next.
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

// Why a device does not take part. docs/firmware.md lists the ids.
var (
	reasonSilent  = &Reason{"fw-silent", "The device does not answer.", "See whether it has power and is in reach, then try again."}
	reasonNone    = &Reason{"fw-none", "The device has no firmware that can be updated.", ""}
	reasonDenied  = &Reason{"fw-denied", "The device does not take firmware from you.", "Only its owner and commissioners may update it."}
	reasonClass   = &Reason{"fw-wrong-class", "The image is for another kind of device.", "Choose the image that is made for this model."}
	reasonOlder   = &Reason{"fw-older", "The device takes only newer images than this one.", "Choose an image with a higher sequence number."}
	reasonRunning = &Reason{"fw-running", "The device runs this image already.", ""}
	reasonSpace   = &Reason{"fw-no-space", "The image is larger than the place that the device has for it.", ""}
	reasonSigner  = &Reason{"fw-signer", "The image is signed by somebody whom the device does not trust.", "Ask the vendor of the device for a signed image."}
	reasonBusy    = &Reason{"fw-busy", "Somebody else is sending firmware to the device.", "Wait for the end of that update, or take over."}
	reasonTesting = &Reason{"fw-testing", "The device is trying another image.", "Wait until that is confirmed or reverted."}
	reasonBlocks  = &Reason{"fw-blocks", "The device takes only blocks of another size than the update that is under way.", "Update it on its own afterwards."}
)

// Why a device failed.
var (
	reasonLies      = &Reason{"fw-digest", "The device says that it has another image than the one that was sent.", "It is not switched. Look at the device; it may be broken or not what it seems."}
	reasonIntegrity = &Reason{"fw-integrity", "What the device wrote to its memory is not the image.", "Try again; if that repeats, its memory is broken."}
	reasonFlash     = &Reason{"fw-flash", "The device could not write to its memory.", "Try again; if that repeats, replace the device."}
	reasonRefused   = &Reason{"fw-refused", "The device refused the image.", ""}
	reasonSignature = &Reason{"fw-signature", "The device found that the image's signature is wrong.", "Get the file again from the vendor."}
	reasonBootLoop  = &Reason{"fw-boot-loop", "The new image did not start. The device went back to the one before by itself.", "Do not update the others before the vendor has looked at it."}
	reasonReverted  = &Reason{"fw-reverted", "The device went back to the image before by itself.", "The new image was not confirmed in time. Try again, and ask the vendor if that repeats."}
	reasonLost      = &Reason{"fw-lost", "The device did not come back after the switch.", "It goes back to the image before by itself, when it can. See whether it has power."}
	reasonProbe     = &Reason{"fw-probe", "The device came back with the new image but does not do its work. It was told to go back.", ""}
	reasonNoSwitch  = &Reason{"fw-no-switch", "The device did not switch although it was told to.", "Try again."}
	reasonSoak      = &Reason{"fw-soak", "The device started again or stopped answering soon after it had switched.", "Look at it before the others are updated."}
	reasonSlow      = &Reason{"fw-slow", "Too few blocks reach the device.", "Bring it nearer to the network or update it on its own."}
	reasonGone      = &Reason{"fw-gone", "The device has left the group.", ""}
	reasonExpired   = &Reason{"fw-expired", "The device has dropped what it had received.", "Try again."}
	reasonZone      = &Reason{"fw-zone", "Too many devices of its zone did not come back, so this one was not switched.", "Mend those first."}
)

// Why the whole rollout stands still or ended.
var (
	reasonStoppedCanary = &Reason{"fw-stopped-canary", "A device of the first wave failed. No other device was switched.", ""}
	reasonStopped       = &Reason{"fw-stopped", "More devices failed than was allowed. The others were not switched.", ""}
	reasonPassed        = &Reason{"fw-time-passed", "The time of the switch went by while nobody was here.", "Let the switch begin by hand."}
	reasonAborted       = &Reason{"fw-aborted", "The update was aborted.", ""}
	reasonTaken         = &Reason{"fw-taken", "Somebody else has taken this update over and goes on with it.", "Leave it to them, or take over again."}
	reasonNobody        = &Reason{"fw-nobody", "The image reached no device.", ""}
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

package firmware

import "fmt"

var states = [...]string{
	Idle:        "nothing is under way",
	Downloading: "it receives an image",
	Downloaded:  "it has the image and has verified it",
	Updating:    "it is about to switch",
	Testing:     "it tries the new image, which is not confirmed yet",
}

// String says in words where a device stands.
func (s State) String() string {
	if int(s) < len(states) {
		return states[s]
	}
	return fmt.Sprintf("state %d, which this program does not know", uint8(s))
}

var results = map[Result]string{
	ResultNone:        "no update has ended yet",
	ResultSuccess:     "updated and confirmed",
	ResultNoSpace:     "the image is larger than the device's free slot; it needs a smaller image",
	ResultIntegrity:   "what arrived is not the image that the manifest names; send it again",
	ResultUnsupported: "the manifest asks for what the device does not have; it needs an image made for it",
	ResultFailed:      "writing to the flash failed; the device may have to be replaced",
	ResultCanceled:    "the update was cancelled",
	ResultSignature:   "the manifest's signature is wrong: the file is damaged or forged",
	ResultSigner:      "nobody whom the device trusts has signed the image",
	ResultOlder:       "the image is not newer than what the device has run already; devices never go back",
	ResultWrongClass:  "the image is for another vendor or model",
	ResultReverted:    "nobody confirmed the new image in time; the device runs the one before",
	ResultBootLoop:    "the new image did not start; the device runs the one before",
	ResultExpired:     "the transfer was left for a week and was dropped; send the image again",
}

// String says in words how a session ended and what to do about it.
func (r Result) String() string {
	if s, ok := results[r]; ok {
		return s
	}
	return fmt.Sprintf("result %d, which this program does not know", uint8(r))
}

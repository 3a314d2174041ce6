// Package firmware is what the sender and the receivers of a firmware image agree
// on: the bodies of the /fw resources, how an image is cut into generations of
// blocks, and the Reed-Solomon code that repairs them.
//
// There is no standard for a large body to a CoAP group (RFC 10020 leaves Block1
// over multicast open), so a block is a complete, idempotent request of its own: no
// block-wise option, any order. docs/firmware.md has the whole protocol.
package firmware

// Paths of the resources.
const (
	PathStatus   = "/fw"   // GET, FETCH: [Status]
	PathManifest = "/fw/m" // PUT: a SUIT envelope without its image
	PathBlock    = "/fw/b" // PUT, non-confirmable: [Block]
	PathSession  = "/fw/s" // POST: [SessionRequest]
	PathActivate = "/fw/a" // POST: [ActivateRequest]
	PathReport   = "/fw/r" // GET: [Report]
)

// Sizes.
const (
	SessionSize = 4   // of a session's id
	DigestSize  = 8   // of a digest as it is quoted: the beginning of SHA-256
	NonceSize   = 8   // of what a device gives and a switch quotes
	MaxK        = 64  // source blocks in a generation
	MaxSymbols  = 256 // source and parity blocks in a generation
	MinBlock    = 64  // bytes in a block
	MaxBlock    = 1024
)

// State is where a device stands. The first four are named as in the Firmware
// Update object of LwM2M (Object 5).
type State uint8

// States.
const (
	Idle        State = 0 // nothing under way
	Downloading State = 1 // a session is open, blocks are missing
	Downloaded  State = 2 // the slot's SHA-256 is the manifest's: ready to switch
	Updating    State = 3 // a switch is scheduled or going on
	Testing     State = 4 // the new image runs, and reverts unless it is confirmed
)

// Result is how the latest session ended. Values to 11 are those of LwM2M's Object
// 5, where it has one.
type Result uint8

// Results.
const (
	ResultNone        Result = 0 // none has ended
	ResultSuccess     Result = 1 // updated and confirmed
	ResultNoSpace     Result = 2
	ResultIntegrity   Result = 5 // the image in the slot is not the manifest's
	ResultUnsupported Result = 6 // the manifest asks for what the device does not have
	ResultFailed      Result = 8 // writing to the flash failed
	ResultCanceled    Result = 10

	ResultSignature  Result = 20 // the manifest's signature is wrong
	ResultSigner     Result = 21 // no trust anchor of the device signed it
	ResultOlder      Result = 22 // its sequence number is not above the device's minimum
	ResultWrongClass Result = 23 // it is for another vendor or class
	ResultReverted   Result = 24 // nobody confirmed the new image in time
	ResultBootLoop   Result = 25 // the new image did not start
	ResultExpired    Result = 26 // the session was left for too long
)

// Field selects parts of a [Status]; fields are joined by "or".
type Field uint

// Fields of a Status.
const (
	FieldRunning  Field = 1 << iota // Running, Boots, Uptime, Version
	FieldProgress                   // Session, Deficits, Heard, Result
	FieldMissing                    // Missing: a bitmap a generation
	FieldAbility                    // Ability
	FieldNonce                      // Nonce: a fresh one; those before are void
	FieldFeeder                     // Feeder, FedAgo
)

// StatusRequest is the body of a FETCH.
//
//	fetch = { 1: uint, ? 2: bstr .size 4, ? 3: uint, ? 4: bool }
type StatusRequest struct {
	Fields  Field  `cbor:"1,keyasint"`
	Session []byte `cbor:"2,keyasint,omitempty"` // only devices that have it open answer with progress; others say state and result

	// Spread is within how many milliseconds devices spread their answers to a
	// group; 0: the device's own Leisure. RFC 7252, Section 8.2.
	Spread uint `cbor:"3,keyasint,omitempty"`

	// Absent has a device that holds Session open stay silent, when it is asked with
	// its group: only those that missed the opening answer.
	Absent bool `cbor:"4,keyasint,omitempty"`
}

// Status is what a device tells of itself. State is always there, the other parts
// where [Field] asks for them.
type Status struct {
	State    State    `cbor:"1,keyasint"`
	Session  []byte   `cbor:"2,keyasint,omitempty"`
	Running  *Running `cbor:"3,keyasint,omitempty"`
	Deficits []byte   `cbor:"4,keyasint,omitempty"` // a generation: how many more blocks it needs, 0 for a complete one
	Heard    uint     `cbor:"5,keyasint,omitempty"` // block requests of the session that arrived, repeated ones too
	Result   Result   `cbor:"6,keyasint,omitempty"` // of the latest session
	Ready    []byte   `cbor:"7,keyasint,omitempty"` // the first 8 bytes of the slot's SHA-256, when State is Downloaded or after
	Missing  []byte   `cbor:"8,keyasint,omitempty"` // bitmap of the missing source blocks by number, most significant bit first
	Ability  *Ability `cbor:"9,keyasint,omitempty"`
	Nonce    []byte   `cbor:"10,keyasint,omitempty"`
	Feeder   []byte   `cbor:"11,keyasint,omitempty"` // who sent the latest block: the first 8 bytes of the credential's thumbprint
	FedAgo   uint     `cbor:"12,keyasint,omitempty"` // seconds since then
	Left     uint     `cbor:"13,keyasint,omitempty"` // milliseconds until a scheduled switch, or until it reverts
	Last     uint     `cbor:"14,keyasint,omitempty"` // the latest block that Heard counts, see [Number]: what was sent after it may be on its way
}

// Number is one number for a block.
func Number(generation, index uint) uint { return generation*MaxSymbols + index }

// Running is the image that runs.
//
//	running = { 1: uint, 2: bstr .size 8, 3: tstr, 4: uint, 5: uint }
type Running struct {
	Sequence uint64 `cbor:"1,keyasint"` // the manifest's sequence number
	Digest   []byte `cbor:"2,keyasint"` // the first 8 bytes of the image's SHA-256
	Version  string `cbor:"3,keyasint"`
	Boots    uint   `cbor:"4,keyasint"` // since it was made
	Uptime   uint   `cbor:"5,keyasint"` // seconds
}

// Ability is what a device can take.
type Ability struct {
	Block    uint     `cbor:"1,keyasint"` // bytes in a block, at most
	K        uint     `cbor:"2,keyasint"` // source blocks in a generation, at most
	Parity   uint     `cbor:"3,keyasint"` // parity blocks that it can hold; 0: it has no decoder
	Slot     uint64   `cbor:"4,keyasint"` // bytes of an image, at most
	Vendor   []byte   `cbor:"5,keyasint"` // UUID
	Class    []byte   `cbor:"6,keyasint"` // UUID
	Minimum  uint64   `cbor:"7,keyasint"` // a manifest's sequence number must be above it
	Anchors  [][]byte `cbor:"8,keyasint"` // trust anchors: COSE_Key maps of the vendor's public keys
	Hardware string   `cbor:"9,keyasint"`
}

// Op is what a [SessionRequest] asks for.
type Op uint8

// Operations on a session.
const (
	OpOpen  Op = 1 // the manifest that came before is to be received
	OpAbort Op = 3 // what was received is dropped, a scheduled switch too
)

// SessionRequest opens or aborts a session. While another session is open and
// somebody else fed it within the last [Stale] seconds an opening is refused with 4.09; opening the
// session that is open already changes nothing, whoever asks.
//
//	session = { 1: bstr .size 4, 2: 1 / 3, ? 3: uint, ? 4: uint }
type SessionRequest struct {
	Session []byte `cbor:"1,keyasint"`
	Op      Op     `cbor:"2,keyasint"`
	Block   uint   `cbor:"3,keyasint,omitempty"` // bytes in a block
	K       uint   `cbor:"4,keyasint,omitempty"` // source blocks in a generation, at most
}

// Mode is what an [ActivateRequest] asks for.
type Mode uint8

// Modes of activation.
const (
	ModeTest    Mode = 1 // boot the new image once; without a confirmation the old one comes back
	ModeConfirm Mode = 2 // the running image stays
	ModeRevert  Mode = 3 // back to the image before, while the new one is not confirmed
	ModeCancel  Mode = 4 // a scheduled switch does not take place
)

// ActivateRequest switches. A device obeys only when a nonce that it gave within
// NonceLife and that was not used yet is among Nonces: so one message can
// speak to some members of a group, and one that was held back does nothing
// (DESIGN S5). A repetition with the same nonce corrects the time of a switch that
// is still scheduled.
//
//	activate = { 1: bstr .size 4, 2: bstr .size 8, 3: uint, ? 4: uint, ? 5: uint, ? 6: uint, 7: bstr }
type ActivateRequest struct {
	Session []byte `cbor:"1,keyasint"`
	Digest  []byte `cbor:"2,keyasint"` // of the image: [Status].Ready, or of the running one
	Mode    Mode   `cbor:"3,keyasint"`
	In      uint   `cbor:"4,keyasint,omitempty"` // milliseconds until the switch, at most MaxIn
	At      uint64 `cbor:"5,keyasint,omitempty"` // seconds since 1970, for devices with a clock; not with In
	Within  uint   `cbor:"6,keyasint,omitempty"` // seconds to be confirmed in; 0: DefaultConfirm
	Nonces  []byte `cbor:"7,keyasint"`           // 8 bytes each
}

// Times, in seconds.
const (
	NonceLife      = 300   // of a nonce that a device gave
	DefaultConfirm = 600   // until an image that is not confirmed is reverted
	MaxConfirm     = 86400 // the longest that may be asked for
	MaxIn          = 86400
	SessionLife    = 7 * 86400 // of a session that nobody feeds
	Stale          = 60        // after so long without a block another session may take the place
)

// Report is the record of the latest session.
//
//	report = { 1: bstr, 2: uint, 3: uint, 4: uint, 5: uint, ? 6: tstr }
type Report struct {
	Session  []byte `cbor:"1,keyasint"`
	Result   Result `cbor:"2,keyasint"`
	Sequence uint64 `cbor:"3,keyasint"` // that runs now
	From     uint64 `cbor:"4,keyasint"` // that ran before
	Boots    uint   `cbor:"5,keyasint"`
	Reason   string `cbor:"6,keyasint,omitempty"` // a sentence
}

// Package settings is what both sides of a change of settings agree on: values and
// their digest, the signed schema that gives them meaning, and the bodies of the
// /cfg resources. docs/settings.md has the whole protocol.
//
// A change is a transaction, as network equipment has it: checked, staged, switched
// at one time, and reverted by itself unless it is confirmed. The parts that all
// devices of a group share travel in one group message, the others pairwise.
package settings

// Paths of the resources.
const (
	PathValues      = "/cfg"   // GET, FETCH: [Status]
	PathTransaction = "/cfg/t" // POST: [Transaction]
	PathSchema      = "/cfg/s" // GET: the signed schema, in blocks
	PathRecall      = "/cfg/r" // POST: [Recall], a scene
)

// Sizes.
const (
	TxnSize    = 4    // of a transaction's id
	DigestSize = 8    // of a digest as it is quoted: the beginning of SHA-256
	NonceSize  = 4    // of what a device gives and a switch quotes
	MaxValues  = 2048 // bytes of all values of a device
	MaxPatch   = 900  // bytes of a patch: a transaction is one datagram
)

// Mode is what a [Transaction] asks for.
type Mode uint8

// Modes.
const (
	ModeCheck   Mode = 1 // a dry run: nothing is kept
	ModeStage   Mode = 2 // the result is kept as the candidate, in place of one that nobody committed
	ModeCommit  Mode = 3 // the candidate becomes what runs, at once or at a time
	ModeConfirm Mode = 4 // what runs stays
	ModeCancel  Mode = 5 // the candidate is dropped, a scheduled switch does not take place
	ModeRevert  Mode = 6 // back to what ran before, while the change is not confirmed
)

// State is where a device's transaction stands.
type State uint8

// States.
const (
	Idle      State = 0 // nothing under way: what runs is confirmed
	Staged    State = 1 // there is a candidate
	Scheduled State = 2 // it will be switched to
	Trial     State = 3 // it runs, and reverts unless it is confirmed
)

// Result is how a device took a transaction, or how its latest one ended.
type Result uint8

// Results. What is above ResultOK is a refusal: nothing was changed.
const (
	ResultNone       Result = 0
	ResultOK         Result = 1 // the step was carried out, or was before
	ResultConfirmed  Result = 2 // how the latest ended
	ResultReverted   Result = 3 // nobody confirmed it in time
	ResultCanceled   Result = 4
	ResultWithdrawn  Result = 5  // reverted on request
	ResultUnknownKey Result = 20 // the schema has no such key
	ResultRange      Result = 21 // the value is out of range, or between two steps
	ResultType       Result = 22 // the value is of another type
	ResultSchema     Result = 23 // the device has another version of the schema
	ResultBase       Result = 24 // what runs is not what the change was made for: it has drifted
	ResultBusy       Result = 25 // another transaction is under way
	ResultNoStage    Result = 26 // there is no such candidate
	ResultTooLarge   Result = 27
	ResultStale      Result = 28 // no nonce of this device, or an old one
	ResultTime       Result = 29 // the time is past, too far, or the device has no clock
	ResultStore      Result = 30 // it could not be stored
)

// Field selects parts of a [Status]; fields are joined by "or".
type Field uint

// Fields of a Status. State, Running and Result are always there.
const (
	FieldValues Field = 1 << iota // Values: what runs
	FieldNonce                    // Nonce: a fresh one; those before are void
	FieldSchema                   // Schema
	FieldBefore                   // Before: what ran before the trial
)

// StatusRequest is the body of a FETCH.
//
//	fetch = { 1: uint, ? 2: [* uint], ? 3: bstr .size 4, ? 4: bstr }
type StatusRequest struct {
	Fields Field    `cbor:"1,keyasint"`
	Keys   []uint64 `cbor:"2,keyasint,omitempty"` // only these values; empty: all
	Txn    []byte   `cbor:"3,keyasint,omitempty"`

	// Of are the Sender IDs that are meant, each preceded by its length in one byte;
	// other members stay silent. Empty: all are.
	Of []byte `cbor:"4,keyasint,omitempty"`
}

// Status is what a device tells of its settings.
//
//	status = { 1: uint, 2: bstr .size 8, 3: uint, ? 4: bstr .size 4, ? 5: bstr .size 8, ? 6: bstr .size 4,
//	           ? 7: uint, ? 8: {* uint => any}, ? 9: [tstr, uint, bstr .size 8], ? 10: {* uint => any}, ? 11: uint }
type Status struct {
	State     State      `cbor:"1,keyasint"`
	Running   []byte     `cbor:"2,keyasint"` // digest of what runs
	Result    Result     `cbor:"3,keyasint"`
	Txn       []byte     `cbor:"4,keyasint,omitempty"`
	Candidate []byte     `cbor:"5,keyasint,omitempty"` // digest of the candidate, or after ModeCheck of what it would be
	Nonce     []byte     `cbor:"6,keyasint,omitempty"`
	Left      uint       `cbor:"7,keyasint,omitempty"` // milliseconds until the switch, or until it reverts
	Values    Map        `cbor:"8,keyasint,omitzero"`
	Schema    *SchemaRef `cbor:"9,keyasint,omitempty"`
	Before    Map        `cbor:"10,keyasint,omitzero"`
	Key       uint64     `cbor:"11,keyasint,omitempty"` // which key a refusal is about
}

// SchemaRef names a schema.
type SchemaRef struct {
	_       struct{} `cbor:",toarray"`
	Model   string
	Version uint64
	Digest  []byte // of the signed document, the first 8 bytes of SHA-256
}

// Transaction is one step of a change. A repetition of a step that was carried out
// is answered as the first time.
//
//	transaction = { 1: bstr .size 4, 2: uint, ? 3: bstr .size 8, ? 4: uint, ? 5: {* uint => any}, ? 6: uint,
//	                ? 7: uint, ? 8: uint, ? 9: bstr, ? 10: bstr, ? 11: uint }
type Transaction struct {
	Txn    []byte `cbor:"1,keyasint"`
	Mode   Mode   `cbor:"2,keyasint"`
	Base   []byte `cbor:"3,keyasint,omitempty"`  // check and stage: digest of what the change was made for; empty: whatever runs
	Schema uint64 `cbor:"4,keyasint,omitempty"`  // version; check and stage
	Patch  Map    `cbor:"5,keyasint,omitzero"`   // check and stage: merged into what runs; nil deletes
	In     uint   `cbor:"6,keyasint,omitempty"`  // commit: milliseconds until the switch
	At     uint64 `cbor:"7,keyasint,omitempty"`  // commit: seconds since 1970; not with In
	Within uint   `cbor:"8,keyasint,omitempty"`  // commit: seconds to be confirmed in; 0: DefaultConfirm
	Nonces []byte `cbor:"9,keyasint,omitempty"`  // commit, confirm, cancel, revert: 4 bytes each
	Of     []byte `cbor:"10,keyasint,omitempty"` // check and stage: as in [StatusRequest]
	Fields Field  `cbor:"11,keyasint,omitempty"` // what the answer shall have
}

// Recall switches to a scene that the devices have stored.
//
//	recall = { 1: uint, ? 2: uint }
type Recall struct {
	Scene uint `cbor:"1,keyasint"`
	Fade  uint `cbor:"2,keyasint,omitempty"` // milliseconds
}

// Times, in seconds.
const (
	NonceLife      = 300
	DefaultConfirm = 600
	MaxConfirm     = 86400
	MaxAhead       = 7 * 86400 // of a scheduled switch
	StageLife      = 86400     // of a candidate that nobody commits
)

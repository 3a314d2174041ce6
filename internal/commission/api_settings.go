package commission

// The part of the schema that is about settings: what devices have, templates, and
// changes. Like api.go it is the source of the page's types. Settings are objects by
// their keys in decimal; bytes are hexadecimal, null deletes.

// SettingsSchema is what gives the settings of a model their meaning.
type SettingsSchema struct {
	Model   string       `json:"model"`
	Version uint64       `json:"version"`
	Digest  string       `json:"digest"` // of the signed document, hex, first 8 bytes: what others refer to it by
	Signer  string       `json:"signer"` // thumbprint of the key that signed it, hex, first 8 bytes; while signed is false, what the document says
	Signed  bool         `json:"signed"` // the signature was verified with a key that devices of this site trust; false: none that is known yet
	Title   string       `json:"title"`
	Defs    []SettingDef `json:"defs"`
	Problem *Problem     `json:"problem"` // why nothing can be changed with it
}

// SettingDef defines a setting, or a member of a map.
type SettingDef struct {
	Key       int             `json:"key"`
	Name      string          `json:"name"`
	Title     string          `json:"title"`
	Help      string          `json:"help"`
	Type      string          `json:"type"` // "bool", "int", "text", "bytes", "map", "choice"
	Unit      string          `json:"unit"`
	Min       *int64          `json:"min"` // of a text or bytes: their length
	Max       *int64          `json:"max"`
	Step      *int64          `json:"step"`
	Default   any             `json:"default"`   // null: none
	PerDevice bool            `json:"perDevice"` // each device has its own
	Restart   bool            `json:"restart"`   // takes effect after a restart
	Network   bool            `json:"network"`   // may cut the device off
	Choices   []SettingChoice `json:"choices"`
	IDs       *[2]int         `json:"ids"` // of a map by an id, such as the number of a scene: the lowest and the highest
	Members   []SettingDef    `json:"members"`
}

// SettingChoice is a value that there is.
type SettingChoice struct {
	Value int64  `json:"value"`
	Title string `json:"title"`
}

// SettingsState is how a device's settings stand.
type SettingsState string

// States of a device's settings.
const (
	SettingsOK            SettingsState = "ok"
	SettingsDrifted       SettingsState = "drifted" // it runs something else than this site confirmed last
	SettingsUnread        SettingsState = "unread"  // it was not asked yet
	SettingsSilent        SettingsState = "silent"
	SettingsTrial         SettingsState = "trial" // it tries new settings, and reverts unless they are confirmed
	SettingsUnknownSchema SettingsState = "unknown-schema"
)

// SettingsDevice is what a device runs, as it last said.
type SettingsDevice struct {
	Device   string         `json:"device"`
	Model    string         `json:"model"`
	Schema   string         `json:"schema"` // digest
	At       int64          `json:"at"`     // when it said so
	Digest   string         `json:"digest"` // of what it runs, hex, 8 bytes
	Values   map[string]any `json:"values"`
	Expected string         `json:"expected"` // digest of what this site confirmed last; empty: nothing yet
	Drift    []int          `json:"drift"`    // keys that differ from it
	State    SettingsState  `json:"state"`
	Problem  *Problem       `json:"problem"`
}

// SettingsTemplate is settings with variables in them: a text may be "${variable}",
// "${name} %" or "${n + 1}".
type SettingsTemplate struct {
	ID        string             `json:"id"` // empty: a new one
	Name      string             `json:"name"`
	Model     string             `json:"model"`
	Values    map[string]any     `json:"values"`
	Variables []SettingsVariable `json:"variables"`
	At        int64              `json:"at"` // when it was saved
}

// SettingsVariable is a variable of a template.
type SettingsVariable struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Default any    `json:"default"` // null: it must be given
}

// SettingsChange is what a person wants to change in a group.
type SettingsChange struct {
	Group         string                    `json:"group"`
	Model         string                    `json:"model"`
	Template      string                    `json:"template"` // id; empty: none
	Values        map[string]any            `json:"values"`   // for all, in front of the template's
	Variables     map[string]any            `json:"variables"`
	PerDevice     map[string]map[string]any `json:"perDevice"`     // by device, in front of values
	Devices       []string                  `json:"devices"`       // empty: all of the model
	In            int                       `json:"in"`            // seconds from the commit to the switch [3]
	At            int64                     `json:"at"`            // when to switch, for devices that have a clock; 0: in
	ConfirmWithin int                       `json:"confirmWithin"` // seconds after which devices revert by themselves [600]
	Mend          bool                      `json:"mend"`          // take drifted devices, too: back to what was confirmed, with the change in it
	Quorum        int                       `json:"quorum"`        // devices that have to go along, so that the others do [all]
}

// SettingsRowState is where a device stands in a change.
type SettingsRowState string

// States of a device in a change.
const (
	SettingsRowPlanned   SettingsRowState = "planned"
	SettingsRowDrifted   SettingsRowState = "drifted" // it runs something else than was confirmed, and is left out
	SettingsRowRefused   SettingsRowState = "refused"
	SettingsRowChecked   SettingsRowState = "checked"
	SettingsRowStaged    SettingsRowState = "staged"
	SettingsRowScheduled SettingsRowState = "scheduled"
	SettingsRowTrial     SettingsRowState = "trial"
	SettingsRowConfirmed SettingsRowState = "confirmed"
	SettingsRowReverted  SettingsRowState = "reverted"
	SettingsRowSilent    SettingsRowState = "silent"
	SettingsRowSame      SettingsRowState = "same" // there is nothing to change
)

// SettingsRow is a device in a change.
type SettingsRow struct {
	Device   string           `json:"device"`
	State    SettingsRowState `json:"state"`
	Before   string           `json:"before"`   // digest of what it ran
	Expected string           `json:"expected"` // digest of what it shall run
	Is       string           `json:"is"`       // digest of what it runs, as it said last
	Shared   bool             `json:"shared"`   // it gets what the group gets, in one message
	Changes  []SettingDiff    `json:"changes"`
	Problem  *Problem         `json:"problem"`
}

// SettingDiff is one setting of a device in a change. A value that is not there is
// null.
type SettingDiff struct {
	Key   int    `json:"key"`
	Name  string `json:"name"`
	Old   any    `json:"old"`
	New   any    `json:"new"`
	Is    any    `json:"is"`    // what it runs now
	Known any    `json:"known"` // what this site confirmed last; other than old where it drifted
}

// SettingsPhase is where a change stands.
type SettingsPhase string

// Phases of a change.
const (
	SettingsPlanning   SettingsPhase = "planning" // computed or checked: devices keep nothing of it
	SettingsChecking   SettingsPhase = "checking"
	SettingsStaging    SettingsPhase = "staging"
	SettingsScheduled  SettingsPhase = "scheduled"
	SettingsTrying     SettingsPhase = "trial" // waits for a person: confirmSettings or revertSettings
	SettingsConfirming SettingsPhase = "confirming"
	SettingsDone       SettingsPhase = "done"
	SettingsReverting  SettingsPhase = "reverting"
	SettingsReverted   SettingsPhase = "reverted"
	SettingsStopped    SettingsPhase = "stopped" // before the switch
	SettingsFailed     SettingsPhase = "failed"
)

// SettingsRun is a change that was planned, or a job of kind "settings", whole.
type SettingsRun struct {
	Job    string         `json:"job"` // empty: only planned
	Change SettingsChange `json:"change"`
	Schema string         `json:"schema"` // digest
	Phase  SettingsPhase  `json:"phase"`
	Rows   []SettingsRow  `json:"rows"`

	Requests        int `json:"requests"` // messages to the group, and those to one device
	Bytes           int `json:"bytes"`    // on the air, both ways
	UnicastRequests int `json:"unicastRequests"`

	PredictedRequests int `json:"predictedRequests"` // with dry run and confirmation, what was sent so far included
	PredictedBytes    int `json:"predictedBytes"`
	OneByOneRequests  int `json:"oneByOneRequests"` // were each device asked alone

	SwitchAt  int64    `json:"switchAt"`
	RevertAt  int64    `json:"revertAt"` // when devices revert by themselves
	Started   int64    `json:"started"`
	Ended     int64    `json:"ended"`
	UndoUntil int64    `json:"undoUntil"` // 0: there is nothing to undo
	Problem   *Problem `json:"problem"`
	Network   bool     `json:"network"` // it may cut devices off: the confirmation has to arrive over the new settings
}

// SettingsLink is what a linked device does with a group.
type SettingsLink struct {
	Group  string `json:"group"`  // that is told
	Button int    `json:"button"` // of a switch, from 0; -1: the device is a sensor
	Action int    `json:"action"` // of the button, as the schema has it: 0 toggle, 1 on, 2 off, 3 scene
	Scene  int    `json:"scene"`  // for the action 3
	Number int    `json:"number"` // of a sensor: lamps with the same number follow it; 0: none
}

// EmergencyEntry is a line of the log of emergency lights' tests.
type EmergencyEntry struct {
	Device  string `json:"device"`
	Kind    string `json:"kind"` // "function", "duration", "command"
	At      int64  `json:"at"`
	Result  string `json:"result"`  // "passed", "failed", "silent", "canceled", "on", "off"
	Battery int    `json:"battery"` // percent, -1: unknown
	Minutes int    `json:"minutes"` // that it lasted in a duration test
	Text    string `json:"text"`    // a sentence
}

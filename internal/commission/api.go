package commission

// This file is the one schema between the engine and whoever drives it: the
// page's TypeScript types are generated from these structs, the native command
// prints them as JSON. Times are milliseconds since 1970 (0: never), durations
// milliseconds, ids of devices 16 lower-case hex digits.

// Snapshot is the whole state that a view draws; events keep it current.
type Snapshot struct {
	Site    Site     `json:"site"`
	Link    Link     `json:"link"`
	Devices []Device `json:"devices"`
	Groups  []Group  `json:"groups"`
	Jobs    []Job    `json:"jobs"` // newest first, at most 50
	Log     []Entry  `json:"log"`  // newest first, at most 500
	Version string   `json:"version"`

	Rollouts []Rollout `json:"rollouts"` // of the jobs of kind "firmware", newest first

	Settings []SettingsRun `json:"settings"` // of the jobs of kind "settings", newest first
}

// Site is what this browser manages.
type Site struct {
	Name       string `json:"name"`       // empty: no site yet, an invitation is needed
	Credential string `json:"credential"` // thumbprint of the site credential, hex, first 8 bytes
	BackedUp   bool   `json:"backedUp"`
	Installer  string `json:"installer"` // who the invitation was for

	Rights Rights `json:"rights"`

	Commissioners []Commissioner `json:"commissioners"` // who may manage its devices; none: see updateCommissioners
}

// Commissioner is somebody who may manage the site's devices.
type Commissioner struct {
	Name       string `json:"name"`
	Credential string `json:"credential"` // thumbprint, hex, first 8 bytes
	Admin      bool   `json:"admin"`      // may change who they are
}

// Link is the way to the bridge.
type Link struct {
	Up      bool    `json:"up"`
	RTT     float64 `json:"rtt"`     // milliseconds, 0: unknown
	Reason  string  `json:"reason"`  // why it is down, a sentence with the next step
	Revoked bool    `json:"revoked"` // the bridge ended this person's access: it does not come back by itself
}

// DeviceState is where a device stands, one word a row.
type DeviceState string

// States of a device.
const (
	DevicePlanned DeviceState = "planned" // its label is known, nothing was done
	DeviceFound   DeviceState = "found"   // it answered a discovery
	DeviceWorking DeviceState = "working" // a job is at it
	DeviceClaimed DeviceState = "claimed" // this site owns it
	DeviceJoined  DeviceState = "joined"  // member of at least one group
	DeviceFailed  DeviceState = "failed"  // the last step failed; Problem says why
)

// Device is one label and what became of it.
type Device struct {
	ID         string       `json:"id"`
	Name       string       `json:"name"`
	Place      string       `json:"place"`
	Model      string       `json:"model"`
	Address    string       `json:"address"` // host:port, empty until discovered or given
	State      DeviceState  `json:"state"`
	Step       string       `json:"step"` // what is being done or was done last: "proving its key", "joined, id 1a"
	Found      bool         `json:"found"`
	Claimed    bool         `json:"claimed"`
	LabelKnown bool         `json:"labelKnown"` // false: answered a discovery, but no label was imported
	Groups     []Membership `json:"groups"`
	Problem    *Problem     `json:"problem"`
	LastSeen   int64        `json:"lastSeen"`

	ListPending bool `json:"listPending"` // it still has an older list of commissioners
}

// Membership is a device's place in a group.
type Membership struct {
	Group    string `json:"group"`
	SenderID string `json:"senderId"` // hex

	Ended   bool   `json:"ended"`   // it is no member any more
	Why     string `json:"why"`     // a sentence of the device: why it ended, or why it gets no new keys and is to be renewed
	Expires int64  `json:"expires"` // when its association with the Group Manager ends; 0: it was not asked
	Mute    bool   `json:"mute"`    // a switch or sensor that may answer there but not send: the rights do not let it
}

// Group is a group of the site and what is known of its members.
type Group struct {
	Name     string    `json:"name"`
	Title    string    `json:"title"`  // for people: "Hall ceiling"
	Joined   bool      `json:"joined"` // this browser is a member
	Epoch    int       `json:"epoch"`  // num of the keys
	KeysFrom int64     `json:"keysFrom"`
	Members  []string  `json:"members"` // device ids
	Light    *Light    `json:"light"`   // last command that was sent
	RollCall *RollCall `json:"rollCall"`

	Paused bool          `json:"paused"` // the group rests: commands to it are refused
	Ended  MembershipEnd `json:"ended"`  // why this browser is no member any more
	Told   bool          `json:"told"`   // the Group Manager tells of new keys by itself; else it is asked from time to time

	Manage   []string  `json:"manage"`   // what you may do with its configuration: "read", "write", "delete"
	Rekeying *Rekeying `json:"rekeying"` // the latest that this browser was told of
}

// MembershipEnd is why this browser is no member of a group any more.
type MembershipEnd string

// Ends of the browser's membership. Empty: it did not end, or never began.
const (
	EndRemoved    MembershipEnd = "removed"    // the Group Manager removed it; Enter joins it again
	EndDeleted    MembershipEnd = "deleted"    // there is no such group any more
	EndAlgorithms MembershipEnd = "algorithms" // the group uses algorithms that this version does not have
)

// Light is the state of a lamp or a command to a group.
type Light struct {
	On    *bool `json:"on,omitempty"`
	Level *int  `json:"level,omitempty"` // percent, 0 to 100
}

// AnswerState is how one device answered a group message.
type AnswerState string

// States of an answer. Only "verified" is good: the answer verified under the
// credential that belongs to the device's label.
const (
	AnswerWaiting  AnswerState = "waiting" // the multicast is out
	AnswerAsking   AnswerState = "asking"  // silent so far, asked again by unicast
	AnswerVerified AnswerState = "verified"
	AnswerMismatch AnswerState = "mismatch" // verified under another credential than the label's
	AnswerSilent   AnswerState = "silent"
	AnswerError    AnswerState = "error" // it answered with an error, see Problem
)

// Answer is one device's row in a roll call or after a command.
type Answer struct {
	Device   string      `json:"device"`
	State    AnswerState `json:"state"`
	RTT      float64     `json:"rtt"` // milliseconds from the send to the verified answer
	SenderID string      `json:"senderId"`
	Unicast  bool        `json:"unicast"` // it needed the follow-up
	On       bool        `json:"on"`
	Level    int         `json:"level"`
	At       int64       `json:"at"`
	Problem  *Problem    `json:"problem"`
}

// RollCall is one multicast and who answered. A command (on, off, dim) leaves
// one too.
type RollCall struct {
	Group      string   `json:"group"`
	Kind       string   `json:"kind"` // "rollcall", "light", "scene" or "emergency"
	Started    int64    `json:"started"`
	Ended      int64    `json:"ended"` // 0: running
	Answers    []Answer `json:"answers"`
	Verified   int      `json:"verified"`
	Messages   int      `json:"messages"`   // to the group
	Multicasts int      `json:"multicasts"` // of them that went out, copies that are identical to the byte included
	Unicasts   int      `json:"unicasts"`
	Until      int64    `json:"until"` // of an emergency: how long who did not confirm it is asked on, also after a restart; 0: nobody is
	Median     float64  `json:"median"`
	Slowest    float64  `json:"slowest"`
}

// JobState is where a job stands.
type JobState string

// States of a job.
const (
	JobRunning  JobState = "running"
	JobWaiting  JobState = "waiting" // for the link or for a retry's back-off
	JobDone     JobState = "done"
	JobPartial  JobState = "partial" // finished, some devices failed
	JobFailed   JobState = "failed"
	JobCanceled JobState = "canceled"
)

// Job is durable work on a list of devices. It goes on after a reload.
type Job struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`  // "join" (claims first where needed), "claim", "leave", "release", "commissioners", "check", "renew", "firmware", "settings", "emergency-function", "emergency-duration"
	Group   string    `json:"group"` // empty where none
	State   JobState  `json:"state"`
	Started int64     `json:"started"`
	Ended   int64     `json:"ended"`
	Total   int       `json:"total"`
	Done    int       `json:"done"`
	Failed  int       `json:"failed"`
	Items   []JobItem `json:"items"`
}

// JobItem is one device's part of a job.
type JobItem struct {
	Device  string   `json:"device"`
	State   string   `json:"state"` // "todo", "working", "done", "failed"
	Step    string   `json:"step"`
	Tries   int      `json:"tries"`
	Problem *Problem `json:"problem"`
}

// Problem is an error as a person reads it.
type Problem struct {
	ID    string `json:"id"`    // stable: "wrong-label-secret", "device-silent", "gm-down", …
	Text  string `json:"text"`  // a sentence: what is wrong and why
	Next  string `json:"next"`  // a sentence: what to do
	Retry bool   `json:"retry"` // trying again as it is makes sense
}

// Entry is a line of the log.
type Entry struct {
	At     int64  `json:"at"`
	Level  string `json:"level"` // "info", "warn", "error"
	Device string `json:"device"`
	Text   string `json:"text"`
}

// LabelReport is what an import would do (dry run) or did.
type LabelReport struct {
	Added    int         `json:"added"`
	Updated  int         `json:"updated"`
	Same     int         `json:"same"`
	Rejected []LabelLine `json:"rejected"`
	Devices  []Device    `json:"devices"` // the accepted ones
}

// LabelLine is a line that was not understood; the others are kept.
type LabelLine struct {
	Line   int    `json:"line"` // from 1
	Reason string `json:"reason"`
}

// Event is one change, told apart by Type; exactly the field of that name is
// set.
type Event struct {
	Type     string       `json:"type"` // "snapshot", "site", "link", "device", "removed", "group", "job", "log", "answer", "rollcall", "rollout", "planning", "settings"
	Snapshot *Snapshot    `json:"snapshot,omitempty"`
	Site     *Site        `json:"site,omitempty"`
	Link     *Link        `json:"link,omitempty"`
	Device   *Device      `json:"device,omitempty"`
	Removed  string       `json:"removed,omitempty"` // a device id that is gone
	Group    *Group       `json:"group,omitempty"`
	Job      *Job         `json:"job,omitempty"`
	Log      *Entry       `json:"log,omitempty"`
	Answer   *GroupAnswer `json:"answer,omitempty"`
	RollCall *RollCall    `json:"rollcall,omitempty"` // its start and its end; answers in between come one by one
	Rollout  *Rollout     `json:"rollout,omitempty"`  // the whole, at most 4 times a second
	Planning *GroupAsk    `json:"planning,omitempty"` // how far planFirmware, or planSettings, is
	Settings *SettingsRun `json:"settings,omitempty"` // the whole, at most 4 times a second
}

// GroupAnswer is one answer of a running roll call.
type GroupAnswer struct {
	Group  string `json:"group"`
	Answer Answer `json:"answer"`
}

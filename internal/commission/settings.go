package commission

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/store"
)

// Problems of settings. What devices and changes meet has the ids of
// internal/settings/change.
var (
	errCfgSchema   = problem("cfg-unknown-schema", "No device of this model has told what its settings mean.", "Read the settings of the group while one of them is on.")
	errCfgDoc      = problem("cfg-schema-file", "What a device gave as the meaning of its settings cannot be read.", "Do not change its settings from here. Ask its maker.")
	errCfgSigned   = problem("cfg-schema-signature", "The signature of the schema is wrong: it was changed after it was signed.", "Do not change these settings. Ask the maker of the device.")
	errCfgSigner   = problem("cfg-schema-signer", "No key that the devices trust signed the schema.", "Do not change these settings. Ask the maker of the device.")
	errCfgOne      = problem("cfg-one-at-a-time", "Another change of settings is under way in this group or at some of these devices.", "Confirm or revert it first.")
	errCfgNoJob    = problem("cfg-no-change", "This job changes no settings.", "Choose one that does.")
	errCfgBroken   = problem("cfg-state-lost", "What was saved of this change cannot be gone on with.", "The devices revert by themselves. Plan the change again.")
	errCfgNotTrial = problem("cfg-not-trying", "The devices do not try new settings at the moment.", "Wait for the switch, or look whether they have reverted.")
	errCfgOver     = problem("cfg-over", "The change is over.", "What was confirmed can be undone.")
	errCfgUndo     = problem("cfg-nothing-to-undo", "Nothing of this change was confirmed, or that is longer ago than 30 days.", "")
	errCfgAgain    = problem("cfg-confirmed-in-part", "Some devices have kept the new settings.", "Plan the change again: they need nothing more.")
	errCfgOptions  = problem("cfg-bad-options", "The times of the change are out of range.", "Give times that are not negative, up to 7 days ahead, and up to a day to confirm in.")
	errCfgTemplate = problem("cfg-unknown-template", "There is no template with this id.", "Choose one of those that are listed.")
	errCfgNameless = problem("cfg-template-name", "A template has a name and a model.", "Give it both.")
	errCfgRoom     = problem("cfg-templates-full", "There are too many templates, or this one is too large.", "Drop one that nobody needs.")
	errCfgFormat   = problem("cfg-format", "Settings are exported as senml or csv.", "Choose one of them.")
	errCfgModels   = problem("cfg-models", "The file changes settings of more than one model.", "Import one model after the other.")
	errCfgEmpty    = problem("cfg-file-empty", "The file has no settings of devices in this group.", "See whether it is the right file and the right group.")
	errCfgNoScenes = problem("cfg-no-scenes", "No lamp of this group has scenes.", "")
	errCfgScene    = problem("cfg-bad-scene", "There is no such scene.", "Scenes have numbers from 0 to 15, and fade for an hour at most.")
	errCfgLink     = problem("cfg-no-link", "The device has nothing that can be linked with a group.", "Choose switches or sensors.")
	errCfgUnread   = problem("cfg-unread", "The device was not asked for its settings yet.", "Read the settings of its group.")
)

// cfgProblem is what is wrong with values or a file, in words.
func cfgProblem(err error) *Error {
	text, before := strings.TrimSuffix(err.Error(), "."), "The settings cannot be used: "
	if strings.Contains(text, "\n") {
		before = "The settings cannot be used:\n"
	}
	return problem("cfg-values", before+text+".", "Mend them, then try again.").because(err)
}

// Keys of the store.
const (
	preSchema   = "schema/"   // schema/DIGEST: schemaRecord
	preSettings = "settings/" // settings/DEVICE: settingsRecord
	preTemplate = "template/" // template/ID: bstr, a SettingsTemplate in JSON
	preChange   = "change/"   // change/JOB: changeRecord
	preTest     = "test/"     // test/TIME-DEVICE: testRecord
)

// Bounds on what is kept.
const (
	maxSchemas   = 64
	maxTemplates = 200
	maxTemplate  = 64 << 10            // bytes
	undoLife     = 30 * 24 * time.Hour // how long a change can be undone
)

// settingsRecord is what is known of a device's settings. A record is never changed,
// only replaced.
type settingsRecord struct {
	Confirmed settings.Map        `cbor:"1,keyasint,omitzero"` // last by this site; nil: nothing yet
	Schema    *settings.SchemaRef `cbor:"2,keyasint,omitempty"`
	Values    settings.Map        `cbor:"3,keyasint,omitzero"` // as last read; nil: it was not
	Digest    []byte              `cbor:"4,keyasint,omitempty"`
	State     settings.State      `cbor:"5,keyasint,omitempty"`
	At        int64               `cbor:"6,keyasint,omitempty"`
	Reason    *change.Reason      `cbor:"7,keyasint,omitempty"` // why it did not tell when it was asked last
}

// loadSettings reads what is kept of settings; the jobs are loaded.
func (s *site) loadSettings(tx store.Tx) error {
	return errors.Join(
		scan(tx, preSchema, func(digest string, r *schemaRecord) { s.schemas[digest] = newSchema(r) }),
		scan(tx, preSettings, func(id string, r *settingsRecord) { s.settings[id] = r }),
		scan(tx, preChange, func(id string, r *changeRecord) {
			if j := s.jobs[id]; j != nil {
				s.changes[id] = loadChange(*r, j.ended())
			}
		}))
}

// membersOf lists a group's devices in the order of their ids.
func (s *site) membersOf(g *group) (list []*device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.devices)) {
		if s.devices[id].rec.in(g.name) != nil {
			list = append(list, s.devices[id])
		}
	}
	return list
}

// settingsOf is what is known of a device's settings; an empty record where nothing
// is.
func (s *site) settingsOf(id string) settingsRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.settings[id]; r != nil {
		return *r
	}
	return settingsRecord{}
}

// cfgReason is why a device or a change stopped, as a person reads it.
func cfgReason(r *change.Reason) *Problem {
	if r == nil {
		return nil
	}
	return &Problem{ID: r.ID, Text: r.Text, Next: r.Next, Retry: passes(r.Next)}
}

// cfgError is an error of internal/settings/change as one that a person reads.
func cfgError(err error) *Error {
	var r *change.Reason
	if errors.As(err, &r) {
		return &Error{Problem: *cfgReason(r), cause: err}
	}
	return asProblem(err)
}

// number is a key as JSON has it.
func number(key uint64) string { return strconv.FormatUint(key, 10) }

package commission

import (
	"slices"
	"testing"
)

// A snapshot never takes back what changed while it was on its way.
func TestSnapshotIsOfTheMomentItIsTold(t *testing.T) {
	people := false
	var told []string
	p := newPublisher(func(ev Event) {
		switch ev.Type {
		case "site":
			told = append(told, "site")
		case "snapshot":
			told = append(told, map[bool]string{true: "snapshot with people", false: "snapshot without"}[ev.Snapshot.Site.Rights.People])
		}
	})
	p.tellAll(func() Event {
		return Event{Type: "snapshot", Snapshot: &Snapshot{Site: Site{Rights: Rights{People: people}}}}
	})
	people = true
	p.touch("site", func() (Event, bool) { return Event{Type: "site"}, true })
	p.flush()
	p.flush()
	if want := []string{"site", "snapshot with people"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

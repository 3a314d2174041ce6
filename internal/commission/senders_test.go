package commission

import (
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/sim/models"
)

// Switches and sensors are joined as members that may send, lamps are not.
func TestSendersAreRequesters(t *testing.T) {
	w := newWorld(t, 0)
	want := map[string]ace.Role{
		models.Lamp: ace.RoleResponder, models.Emergency: ace.RoleResponder,
		models.Switch: ace.RoleRequester | ace.RoleResponder, models.Sensor: ace.RoleRequester | ace.RoleResponder,
	}
	var list []string
	for _, model := range models.Names() {
		w.equip = func(l *lamp) { l.cfg.Model = model }
		list = append(list, w.addLamp(byte(1+len(list))).id())
	}
	b := w.enrolled()
	b.joined()
	members := w.members(hall)
	for i, model := range models.Names() {
		if got := members[list[i]].Roles; got != want[model] {
			t.Errorf("a %s has the roles %v, want %v", model, got, want[model])
		}
	}
	b.verified(len(list))
}

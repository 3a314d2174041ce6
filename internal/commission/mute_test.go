package commission

import (
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/settings/holder"
	"lamplighter/internal/sim/models"
)

// A switch whose rights let it answer only joins for that, and everybody is told that
// it may not send. With more rights it is joined again, and may.
func TestJoinMayNotSend(t *testing.T) {
	w := newCfgWorld(t, 2)
	firmware := w.equip
	schema, doc := signedBy(t, models.Switch, w.vendor)
	w.equip = func(l *lamp) {
		firmware(l)
		l.cfg.Model, l.cfg.Settings = models.Switch, &holder.Config{Schema: schema, SchemaDoc: doc}
	}
	button := w.addLamp(3)
	rule := func(devices ace.Role) as.Rule { return as.Rule{Group: hall, Self: ace.RoleRequester, Devices: devices} }
	b := w.engine(nil)
	b.must(b.AcceptInvitation(t.Context(), w.invite("Ann", rule(ace.RoleResponder))))
	b.must(b.ImportLabels(t.Context(), w.table()))
	b.joined()
	place := func(d string) Membership {
		for _, x := range b.Snapshot().Devices {
			if x.ID == d {
				if x.State != DeviceJoined || strings.Contains(x.Step, "may not send") != x.Groups[0].Mute {
					t.Errorf("%s is %s, %s", d, x.State, x.Step)
				}
				return x.Groups[0]
			}
		}
		t.Fatal("no such device")
		return Membership{}
	}
	if roles := w.members(hall)[button.id()].Roles; !place(button.id()).Mute || place(w.lamps[0].id()).Mute || roles != ace.RoleResponder {
		t.Errorf("the switch has the roles %d: %+v", roles, place(button.id()))
	}
	if said := b.Diagnostics(); !strings.Contains(said, errMute.Text) {
		t.Errorf("nobody was told: %s", said)
	}
	b.verified(3)
	again := w.engine(b.store)
	_, err := again.ReadSettings(t.Context(), hall)
	again.must(nil, err)
	if _, err := again.LinkSettings(t.Context(), []string{button.id()}, hall, SettingsLink{Group: hall, Button: 1, Action: 1}); id(err) != "may-not-send" {
		t.Errorf("linked: %v", err)
	}
	people, err := w.as.Installers(t.Context())
	b.must(nil, err)
	for who := range people {
		b.must(nil, w.as.SetPolicy(t.Context(), who, as.Policy{Rules: []as.Rule{rule(ace.RoleRequester | ace.RoleResponder)}}))
	}
	b = again
	if j := b.job(b.Leave(t.Context(), hall, []string{button.id()})); j.State != JobDone {
		t.Fatal(b.failures(j))
	}
	b.joined()
	if roles := w.members(hall)[button.id()].Roles; place(button.id()).Mute || roles != ace.RoleResponder|ace.RoleRequester {
		t.Errorf("with more rights the switch has the roles %d: %+v", roles, place(button.id()))
	}
	b.verified(3)
}

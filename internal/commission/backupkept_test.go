package commission

import (
	"net/netip"
	"testing"
)

// A backup has what settings devices have confirmed, templates and the inspection book:
// another browser knows what drifted. Restored again, and over what is newer, it changes
// nothing.
func TestBackupOfSettings(t *testing.T) {
	w := newCfgWorld(t, 2)
	b := w.commissioned(nil)
	j, _ := b.applied(wanted(map[string]any{"3": 1000.0}))
	b.confirmedChange(j)
	template, err := b.SaveTemplate(t.Context(), SettingsTemplate{Name: "Office", Model: "lamp-dim-1", Values: map[string]any{"2": 80.0}})
	b.must(template, err)
	b.must(b.Emergency(t.Context(), hall, true))
	b.must(b.Emergency(t.Context(), hall, false))
	file, err := b.Backup(t.Context(), "correct horse")
	b.must(file, err)
	w.drift(b, w.lamps[0], map[string]any{"2": 50.0})

	second := w.engine(nil, w.onTap(nil))
	second.ex = w.net.From(netip.MustParseAddrPort("127.0.0.1:40001"))
	for range 2 {
		second.must(second.Restore(t.Context(), file, "correct horse"))
		list, err := second.ReadSettings(t.Context(), hall)
		second.must(list, err)
		for i, want := range []SettingsState{SettingsDrifted, SettingsOK} {
			if list[i].State != want || list[i].Expected == "" {
				t.Errorf("%+v", list[i])
			}
		}
		templates, err := second.SettingsTemplates(t.Context())
		if err != nil || len(templates) != 1 || templates[0].Name != "Office" {
			t.Errorf("%+v %v", templates, err)
		}
		log, err := second.EmergencyLog(t.Context(), hall)
		if err != nil || len(log) != 2 || log[0].Result != "off" {
			t.Errorf("%+v %v", log, err)
		}
	}
	w.advance(1e9)
	template.Name = "Office, dimmer"
	second.must(second.SaveTemplate(t.Context(), template))
	second.must(second.KeepSettings(t.Context(), hall, []string{w.lamps[0].id()}))
	second.must(second.Restore(t.Context(), file, "correct horse"))
	templates, err := second.SettingsTemplates(t.Context())
	if err != nil || len(templates) != 1 || templates[0].Name != "Office, dimmer" {
		t.Errorf("%+v %v", templates, err)
	}
	if list, err := second.ReadSettings(t.Context(), hall); err != nil || list[0].State != SettingsOK {
		t.Errorf("what was kept since has drifted: %+v %v", list, err)
	}
}

// What a backup has beside, and what cannot be read, does not come.
func TestBackupOfStrangeRecords(t *testing.T) {
	for _, r := range []keptRecord{
		{"site", []byte{0xa0}}, {"job/1", []byte{0xa0}}, {"settings", []byte{0xa0}}, {"settings/x", []byte{0xff}}, {"schema/x", []byte{0x01}}, {"test/x", nil}, {"template/x", []byte{0x41, '{'}},
	} {
		if r.restorable(nil) {
			t.Errorf("%s %x is restored", r.Key, r.Value)
		}
	}
	r := keptRecord{"settings/x", []byte{0xa0}}
	if !r.restorable(nil) || r.restorable([]byte{0xa0}) || !r.restorable([]byte{0xff}) {
		t.Error("a record is not put where it belongs")
	}
}

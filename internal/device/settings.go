package device

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/holder"
	"lamplighter/internal/store"
)

// The resources of settings, /cfg and those below, are the holder's; here is who may
// use them, and what settings do to the lamp. A setting that a schema does not have is
// as in a lamp without settings. docs/settings.md.

// prefixSettings is where the holder's part of the store is.
const prefixSettings = "cfg/"

// Names of settings that the device heeds.
const (
	setMinLevel     = "min-level"
	setMaxLevel     = "max-level"
	setFade         = "fade-time"
	setPowerOn      = "power-on"
	setPowerOnLevel = "power-on-level"
	setTrim         = "trim"
	setLeisure      = "leisure"
)

// What a lamp does when it gets power.
const (
	powerOnOff   = 0
	powerOnLevel = 2 // 1: as before
)

// bootSettings reads the settings. Without them in the configuration there are no such
// resources.
func (d *Device) bootSettings() error {
	if d.cfg.Settings == nil {
		return nil
	}
	cfg := *d.cfg.Settings
	cfg.Store, cfg.Now, cfg.Rand = store.Prefix(d.cfg.Store, prefixSettings), d.cfg.Now, d.cfg.Rand
	if cfg.Logger == nil {
		cfg.Logger = d.log
	}
	also := cfg.Apply
	cfg.SenderID = d.senderID
	cfg.Apply = func(old, now settings.Map) {
		d.applySettings()
		if also != nil {
			also(old, now)
		}
	}
	h, err := holder.Open(cfg)
	if err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	d.settings = h
	return nil
}

// Settings is the holder of the device's settings, nil in a device without.
func (d *Device) Settings() *holder.Holder { return d.settings }

// senderID is the device's own in a group.
func (d *Device) senderID(group string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.members[group]; m != nil {
		return m.rec.Membership.SenderID
	}
	return nil
}

// registerSettings adds the resources of settings.
func (d *Device) registerSettings(mux *coap.Mux) {
	if d.settings == nil {
		return
	}
	d.settings.Register(mux, func(h coap.HandlerFunc) coap.HandlerFunc { return d.only(d.byInstaller, d.awake(h)) })
	mux.Handle(coap.POST, settings.PathRecall, d.only(d.byRequester, d.awake(d.postRecall)))
}

// awake is for handlers that change what is due.
func (d *Device) awake(h coap.HandlerFunc) coap.HandlerFunc {
	return func(ctx context.Context, req *coap.Request) *coap.Message {
		defer d.wake()
		return h(ctx, req)
	}
}

// wake has Keep look what is due.
func (d *Device) wake() {
	select {
	case d.stir <- struct{}{}:
	default: // it is to look anyway
	}
}

// leisure has answers to group requests spread over the time that is set.
func (d *Device) leisure(req *coap.Request) {
	if req.Multicast && req.Spread != nil && d.settings != nil && d.settings.Value(setLeisure) != nil {
		req.Spread(time.Duration(d.number(setLeisure, 0)) * time.Millisecond)
	}
}

// dropSettings ends a change that is under way: what one owner began is not the next
// one's. d.mu is not held.
func (d *Device) dropSettings() {
	if d.settings == nil {
		return
	}
	if err := d.settings.Drop(); err != nil {
		d.log.Warn("the change of settings goes on", "err", err)
	}
}

// setting is the value of a setting, nil if there is none. It takes no lock.
func (d *Device) setting(name string) any {
	if d.settings == nil {
		return nil
	}
	return d.settings.Value(name)
}

// number is the value of a setting, or other.
func (d *Device) number(name string, other int64) int64 {
	if v, ok := d.setting(name).(int64); ok {
		return v
	}
	return other
}

// span is a setting that is so many units of time.
func (d *Device) span(name string, other int64, unit time.Duration) time.Duration {
	return time.Duration(d.number(name, other)) * unit
}

// applySettings holds the lamp to new settings. It is called within the holder.
func (d *Device) applySettings() {
	_, err := d.command(lightChange{to: func(l Light) Light { return l }, fade: d.span(setFade, 0, time.Millisecond), keep: true})
	if err != nil {
		d.log.Error("the light does not follow new settings", "err", err)
	}
	d.planTests()
	d.wake()
}

// powerOn is what the lamp does at its start. Nobody else has d yet.
func (d *Device) powerOn() {
	if d.before != nil && d.claim != nil { // an emergency goes on
		return
	}
	was := d.light
	if d.before != nil { // the power went in the middle of a release
		d.light, d.before = *d.before, nil
	}
	switch d.number(setPowerOn, 1) {
	case powerOnOff:
		d.light.On = false
	case powerOnLevel:
		d.light = d.clamped(Light{On: true, Level: uint8(d.number(setPowerOnLevel, 100))})
	}
	if d.light != was { // else what it was before would come back when that is set
		_ = d.keepLight(d.light, nil) // logged; the light is right all the same
	}
}

// clamped holds a light between the lowest and the highest level.
func (d *Device) clamped(l Light) Light {
	l.Level = uint8(min(max(int64(l.Level), d.number(setMinLevel, 0)), d.number(setMaxLevel, 100)))
	return l
}

// output is the level that a light really has, evened out.
func (d *Device) output(l Light) uint8 {
	switch {
	case !l.On || l.Level == 0:
		return 0
	case l.Priority > 0:
		return l.Level
	}
	trimmed := int64(l.Level) + d.number(setTrim, 0)
	return d.clamped(Light{Level: uint8(min(max(trimmed, 1), 100))}).Level
}

// SettingsState is what an inspector sees of the settings.
type SettingsState struct {
	Digest     string          `json:"digest"` // of what runs, 16 hex digits
	State      settings.State  `json:"state"`
	Result     settings.Result `json:"result"`     // how the latest change ended
	Values     map[string]any  `json:"values"`     // by name
	SwitchedAt int64           `json:"switchedAt"` // milliseconds since 1970; 0: never

	Scene      *uint `json:"scene,omitempty"`      // the scene that was recalled last, while nothing else came
	RecalledAt int64 `json:"recalledAt,omitempty"` // milliseconds since 1970
}

// settingsState is taken without d.mu.
func (d *Device) settingsState() *SettingsState {
	if d.settings == nil {
		return nil
	}
	v := d.settings.View()
	s := &SettingsState{
		Digest: hex.EncodeToString(v.Digest), State: v.State, Result: v.Result, SwitchedAt: v.SwitchedAt, Values: map[string]any{},
	}
	schema := d.settings.Schema()
	for key, value := range v.Values {
		if def := schema.Def(key); def != nil {
			s.Values[def.Name] = value
		}
	}
	return s
}

// lightState fills in what the lamp does. d.mu is held.
func (d *Device) lightState(s *State, set *SettingsState) {
	now := d.cfg.Now()
	s.Output, s.Occupied = d.output(d.light), now.Before(d.occupancy.until)
	if !d.reached.IsZero() {
		s.ReachedAt = d.reached.UnixMilli()
	}
	if s.Settings = set; set != nil && !d.recalled.IsZero() {
		set.Scene, set.RecalledAt = d.scene, d.recalled.UnixMilli()
	}
	s.Emergency = d.emergencyNow(true)
}

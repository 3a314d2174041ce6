package main

import (
	"fmt"
	"time"

	"lamplighter/internal/cose"
	"lamplighter/internal/device"
	"lamplighter/internal/settings"
	kept "lamplighter/internal/settings/holder"
	"lamplighter/internal/settings/source"
	"lamplighter/internal/sim/models"
	"lamplighter/internal/suit"
)

// modelSettings is what a model's settings mean, as its maker signed it.
type modelSettings struct {
	schema *settings.Schema
	doc    []byte
}

// config is what a device's holder is made of; nil without settings.
func (m *modelSettings) config() *kept.Config {
	if m == nil {
		return nil
	}
	return &kept.Config{Schema: m.schema, SchemaDoc: m.doc, Clock: true}
}

// signModels makes the signed schemas of the simulator's models. Devices leave the
// factory with this leisure.
func signModels(key cose.PrivateKey, leisure time.Duration) (map[string]*modelSettings, error) {
	signer, err := suit.NewSigner(cose.Null, key)
	if err != nil {
		return nil, err
	}
	out := map[string]*modelSettings{}
	for _, name := range models.Names() {
		s, err := source.Parse(models.Source(name))
		if err != nil {
			return nil, fmt.Errorf("the schema of %s: %w", name, err)
		}
		if d := s.Named("leisure"); d != nil {
			d.Default = max(leisure.Milliseconds()/d.Step*d.Step, *d.Min)
		}
		doc, err := s.Sign(signer)
		if err != nil {
			return nil, fmt.Errorf("signing the schema of %s: %w", name, err)
		}
		out[name] = &modelSettings{s, doc}
	}
	return out, nil
}

// batteryLasts is how long an emergency light shines without mains.
const batteryLasts = 90 * time.Minute

// battery is the one of an emergency light, nil for other models.
func battery(model string, speed float64, faults *lampFaults) *device.EmergencyConfig {
	if model != models.Emergency {
		return nil
	}
	return &device.EmergencyConfig{Lasts: batteryLasts, Speed: speed, Fault: faults.dead}
}

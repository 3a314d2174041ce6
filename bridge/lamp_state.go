package main

import (
	"encoding/hex"
	"fmt"
	"time"

	"lamplighter/internal/device"
	"lamplighter/internal/firmware"
)

// stateNames are those of the states of docs/firmware.md.
var stateNames = map[firmware.State]string{
	firmware.Idle: "idle", firmware.Downloading: "downloading", firmware.Downloaded: "downloaded",
	firmware.Updating: "updating", firmware.Testing: "testing",
}

// firmwareState is what a lamp runs, as it really is.
type firmwareState struct {
	State      string    `json:"state"`
	Version    string    `json:"version"`
	Sequence   uint64    `json:"sequence"`
	Minimum    uint64    `json:"minimum"`
	Digest     string    `json:"digest"`   // of the running image, SHA-256
	Verified   bool      `json:"verified"` // the other slot holds an image that was verified
	Result     uint      `json:"result"`   // of the latest session, docs/firmware.md; 0: none has ended
	Reason     string    `json:"reason,omitempty"`
	Boots      uint      `json:"boots"`
	Blink      string    `json:"blink"`      // milliseconds on/off
	SwitchedAt time.Time `json:"switchedAt"` // zero: not since the process began
}

// lampState is a lamp as it really is.
type lampState struct {
	device.State
	Label    string         `json:"label"` // its name in labels.csv
	Model    string         `json:"model"`
	Hardware string         `json:"hardware"`
	Address  string         `json:"address"`
	Powered  bool           `json:"powered"`
	Booting  bool           `json:"booting"` // it restarts, and is silent
	Lit      bool           `json:"lit"`     // at this moment: while it blinks, in its image's pattern
	Firmware *firmwareState `json:"firmware,omitempty"`
}

func (l *lamp) state() lampState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := lampState{
		State: l.device.State(), Label: l.name, Model: l.config.Model, Hardware: l.config.HW, Address: l.addr.String(),
		Powered: l.power, Booting: l.power && l.socket == nil,
	}
	s.Lit = l.socket != nil && s.Light.On && s.Light.Level > 0
	if l.socket != nil && s.Blinking {
		s.Lit = l.image.Lit(time.Duration(time.Now().UnixMilli()) * time.Millisecond)
	}
	if fw := l.device.Firmware(); fw != nil {
		v := fw.View()
		s.Firmware = &firmwareState{
			State: stateNames[v.State], Version: v.Running.Version, Sequence: v.Running.Sequence, Minimum: v.Minimum,
			Digest: hex.EncodeToString(l.digest[:]), Verified: v.Verified, Result: uint(v.Result), Reason: v.Reason,
			Boots: v.Running.Boots, SwitchedAt: l.switched,
			Blink: fmt.Sprintf("%d/%d", l.image.On.Milliseconds(), l.image.Off.Milliseconds()),
		}
	}
	return s
}

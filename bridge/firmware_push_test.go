package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"lamplighter/bridge/control"
	"lamplighter/internal/commission"
)

// rolloutScript is an engine that plays a rollout: Firmware returns one view after
// the other, and the last again and again.
type rolloutScript struct {
	firmwareEngine
	image   commission.FirmwareImage
	plan    commission.FirmwarePlan
	views   []commission.Rollout
	stored  []commission.Rollout
	started commission.FirmwareOptions
	acts    []string
}

func (e *rolloutScript) Snapshot() commission.Snapshot {
	return commission.Snapshot{Devices: []commission.Device{{ID: "0a", Name: "Door"}, {ID: "0b", Name: "Window"}}, Rollouts: e.stored}
}

func (e *rolloutScript) InspectFirmware(context.Context, []byte) (commission.FirmwareImage, error) {
	return e.image, nil
}

func (e *rolloutScript) PlanFirmware(_ context.Context, group, _ string, o commission.FirmwareOptions) (commission.FirmwarePlan, error) {
	p := e.plan
	p.Group, p.Image, p.Options = group, e.image, o
	return p, nil
}

func (e *rolloutScript) StartFirmware(_ context.Context, _, _ string, o commission.FirmwareOptions) (commission.Job, error) {
	e.started = o
	e.acts = append(e.acts, "start")
	return commission.Job{ID: "7"}, nil
}

func (e *rolloutScript) PauseFirmware(_ context.Context, job string) (commission.Job, error) {
	e.acts = append(e.acts, "pause "+job)
	return commission.Job{ID: job}, nil
}

func (e *rolloutScript) Firmware(_ context.Context, job string) (commission.Rollout, error) {
	r := e.views[0]
	r.Job = job
	if len(e.views) > 1 {
		e.views = e.views[1:]
	}
	return r, nil
}

func ended(phase commission.RolloutPhase, devices ...commission.RolloutDevice) commission.Rollout {
	return commission.Rollout{Phase: phase, Ended: 1, Image: commission.FirmwareImage{Version: "2.1.0"}, Devices: devices}
}

func in(device string, state commission.RolloutState, problem string) commission.RolloutDevice {
	d := commission.RolloutDevice{Device: device, State: state}
	if problem != "" {
		d.Problem = &commission.Problem{ID: problem, Text: "It is so.", Next: "Do this."}
	}
	return d
}

// TestFirmwarePush: what is asked, printed and returned.
func TestFirmwarePush(t *testing.T) {
	plan := commission.FirmwarePlan{Fits: 2, Left: 1, Blocks: 256, BlockSize: 1024, Bytes: 346112, Seconds: 55, UnicastSeconds: 4920,
		Waves: []commission.FirmwareWave{{Name: "Canary", Devices: []string{"0a"}}, {Name: "Rest", Devices: []string{"0b"}}}}
	silentFit := &commission.Problem{ID: "fw-silent", Text: "It does not answer.", Next: "Is it powered?"}
	good, gone := in("0a", commission.RolloutConfirmed, ""), in("0b", commission.RolloutReverted, "fw-reverted")
	stopped := ended(commission.PhaseStopped, in("0a", commission.RolloutReverted, "fw-boot-loop"), in("0b", commission.RolloutVerified, ""))
	stopped.Problem = &commission.Problem{ID: "fw-boot-loop", Text: "The new image did not start.", Next: "Ask the vendor."}
	broken := &commission.Problem{ID: "fw-file", Text: "The file is cut off.", Next: "Get it again."}
	for _, tc := range []struct {
		name    string
		change  func(*firmwarePushCmd, *rolloutScript)
		answer  string
		code    int // -1: no error
		acts    string
		printed string
	}{
		{"all", nil, "y\n", -1, "start", "2 of 2 devices run 2.1.0"},
		{"already", func(_ *firmwarePushCmd, e *rolloutScript) {
			e.views[0].Devices[1] = in("0b", commission.RolloutLeftOut, "fw-running")
		}, "y\n", -1, "start", "2 of 2"},
		{"partly", func(_ *firmwarePushCmd, e *rolloutScript) { e.views[0].Devices[1] = gone }, "yes\n", 3, "start", "Window  reverted    It is so. Do this."},
		{"none", func(_ *firmwarePushCmd, e *rolloutScript) { e.views[0] = stopped }, "y\n", 1, "start", "Door: reverted: It is so. Do this."},
		{"no", nil, "n\n", 1, "", "Start? [y/N]"},
		{"nobody answers", nil, "", 1, "", "left out  0c  fw-silent  It does not answer. Is it powered?"},
		{"yes", func(c *firmwarePushCmd, _ *rolloutScript) { c.Yes = true }, "", -1, "start", "256 blocks of 1024 bytes, about 338 KiB on the air, 55s to all at once (one by one: 1h22m0s)"},
		{"dry run", func(c *firmwarePushCmd, _ *rolloutScript) { c.DryRun = true }, "y\n", -1, "", "waves: Canary 1, then Rest 1"},
		{"nobody fits", func(_ *firmwarePushCmd, e *rolloutScript) { e.plan.Fits = 0 }, "y\n", 1, "", "0 of 1"},
		{"all run it", func(_ *firmwarePushCmd, e *rolloutScript) {
			e.plan.Fits, e.plan.Devices[0].Problem = 0, &commission.Problem{ID: "fw-running"}
		}, "", -1, "", "All run it already."},
		{"bad file", func(_ *firmwarePushCmd, e *rolloutScript) { e.image.Problem = broken }, "y\n", 1, "", "lamp 2.1.0"},
		{"bad plan", func(_ *firmwarePushCmd, e *rolloutScript) { e.plan.Problem = broken }, "y\n", 1, "", "Canary"},
		{"goes on", func(_ *firmwarePushCmd, e *rolloutScript) {
			e.stored = []commission.Rollout{{Job: "3", Group: "hall", Image: e.image}}
		}, "", -1, "", "Job 3 was not finished: it goes on."},
		{"another image", func(_ *firmwarePushCmd, e *rolloutScript) {
			e.stored = []commission.Rollout{{Job: "3", Group: "hall"}}
		}, "y\n", -1, "start", "2 of 2"},
	} {
		plan.Devices = []commission.FirmwareFit{{Device: "0c", Problem: silentFit}}
		e := &rolloutScript{image: commission.FirmwareImage{Digest: "d1", Name: "lamp", Version: "2.1.0"}, plan: plan}
		e.views = []commission.Rollout{ended(commission.PhaseDone, good, in("0b", commission.RolloutConfirmed, ""))}
		c := firmwarePushCmd{Group: "hall", Canary: 3}
		if tc.change != nil {
			tc.change(&c, e)
		}
		var out strings.Builder
		err := c.push(t.Context(), e, nil, newRolloutWatch(&out), strings.NewReader(tc.answer))
		if (err == nil) != (tc.code < 0) || err != nil && exitCode(err) != tc.code {
			t.Errorf("%s: %v, exit code %d", tc.name, err, exitCode(err))
		}
		if got := strings.Join(e.acts, ","); got != tc.acts || got != "" && e.started.Canary != 3 {
			t.Errorf("%s: did %q, canary %d", tc.name, got, e.started.Canary)
		}
		if !strings.Contains(out.String(), tc.printed) {
			t.Errorf("%s printed:\n%s", tc.name, out.String())
		}
	}
}

// TestFirmwareInterrupted: Ctrl-C ends the command, says how to go on, and does
// not repeat the link, which holds secrets.
func TestFirmwareInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := &rolloutScript{views: []commission.Rollout{{Phase: commission.PhaseSending, Blocks: 10}}}
	var out strings.Builder
	time.AfterFunc(20*time.Millisecond, cancel)
	f := engineFlags{Link: "https://bridge/#i=secret", Data: "site"}
	err := newRolloutWatch(&out).follow(ctx, e, "7", f.again("7"))
	if exitCode(err) != exitInterrupted || !strings.Contains(err.Error(), "firmware resume 7 --link LINK --data site") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// TestFirmwareControl: other commands steer a running push; without one they say
// so, or work on what is stored.
func TestFirmwareControl(t *testing.T) {
	data := t.TempDir()
	e := &rolloutScript{views: []commission.Rollout{{Phase: commission.PhaseSending, Sent: 5, Blocks: 10}}}
	stop, err := serveFirmware(data, e, silent)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ask := func(name, job string) (string, error) {
		return control.Call[string](t.Context(), data, firmwareName, "POST", "/"+name, job)
	}
	if _, err := ask("pause", ""); err == nil || !strings.Contains(err.Error(), "firmware push") {
		t.Error("there is none to pause:", err)
	}
	e.stored = []commission.Rollout{{Job: "9"}, {Job: "8"}}
	if text, err := ask("pause", ""); err != nil || !strings.Contains(text, "paused") {
		t.Error(text, err)
	}
	if text, err := ask("status", "8"); err != nil || !strings.Contains(text, "5 of 10 blocks") {
		t.Error(text, err)
	}
	if got := strings.Join(e.acts, ","); got != "pause 9" {
		t.Error("did", got)
	}
	stop()
	if err := (firmwareStatusCmd{firmwareJob{Data: t.TempDir()}}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no rollout") {
		t.Error("an empty folder:", err)
	}
}

func TestSwitchTime(t *testing.T) {
	now := time.Date(2026, 11, 26, 13, 0, 0, 0, time.FixedZone("", 3600))
	for text, want := range map[string]string{
		"13:30": "2026-11-26T13:30:00+01:00", "02:30": "2026-11-27T02:30:00+01:00", "13:00": "2026-11-27T13:00:00+01:00",
		"2027-01-31T02:30:00Z": "2027-01-31T02:30:00Z", "2025-01-31T02:30:00Z": "", "tomorrow": "", "25:00": "", "": "",
	} {
		at, err := parseSwitchTime(text, now)
		if (err == nil) != (want != "") || err == nil && at.Format(time.RFC3339) != want {
			t.Errorf("%q is %v, %v", text, at, err)
		}
	}
	if exitCode(errors.New("any")) != 1 {
		t.Error("any error is not 1")
	}
}

package commission

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// diagnosticLines is how much of the log goes into the diagnostics.
const diagnosticLines = 100

// Diagnostics is a text for support: what this engine is and sees. Secrets are
// not in it; ids, names of groups and addresses are.
func (e *Engine) Diagnostics() string {
	snap := e.Snapshot()
	var b strings.Builder
	fmt.Fprintf(&b, "Lamplighter %s, %s\n", snap.Version, e.cfg.Now().UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "site %s, backed up: %v\n", orNone(snap.Site.Credential), snap.Site.BackedUp)
	fmt.Fprintf(&b, "link up: %v, round trip %.1f ms%s\n", snap.Link.Up, snap.Link.RTT, ifAny(", ", snap.Link.Reason))
	if s := e.current(); s != nil {
		r := s.record()
		fmt.Fprintf(&b, "AS %s, GM %s, groups at %s\n", r.ASAddress, r.GMAddress, r.Multicast)
	}
	fmt.Fprintf(&b, "\n%s\n", plural(len(snap.Devices), "device", "devices"))
	for _, d := range snap.Devices {
		fmt.Fprintf(&b, "%s %-8s %s %s%s\n", d.ID, d.State, orNone(d.Address), d.Step, ifAny(" !", problemID(d.Problem)))
	}
	for _, g := range snap.Groups {
		fmt.Fprintf(&b, "\ngroup %s: joined %v, key version %d, %s\n", g.Name, g.Joined, g.Epoch, plural(len(g.Members), "member", "members"))
		if c := g.RollCall; c != nil {
			fmt.Fprintf(&b, "  last %s: %d of %d verified, %s in %d multicasts, %d unicasts, median %.1f ms, slowest %.1f ms\n",
				c.Kind, c.Verified, len(c.Answers), plural(c.Messages, "message", "messages"), c.Multicasts, c.Unicasts, c.Median, c.Slowest)
		}
	}
	for _, j := range snap.Jobs {
		fmt.Fprintf(&b, "\njob %s %s %s: %s, %d done, %d failed of %d\n", j.ID, j.Kind, j.Group, j.State, j.Done, j.Failed, j.Total)
	}
	for _, r := range snap.Rollouts {
		writeRollout(&b, &r)
	}
	for _, r := range snap.Settings {
		writeChange(&b, &r)
	}
	b.WriteString("\nlog, newest last\n")
	for _, entry := range slices.Backward(snap.Log[:min(len(snap.Log), diagnosticLines)]) {
		fmt.Fprintf(&b, "%s %s %s %s\n", time.UnixMilli(entry.At).UTC().Format("15:04:05.000"), entry.Level, entry.Device, entry.Text)
	}
	return b.String()
}

// writeRollout says how an update went, and of each device where it stands.
func writeRollout(b *strings.Builder, r *Rollout) {
	fmt.Fprintf(b, "\nrollout %s: %s, image %.16s sequence %d signer %s\n", r.Job, r.Phase, r.Image.Digest, r.Image.Sequence, orNone(r.Image.Signer))
	fmt.Fprintf(b, "  %d blocks of %d: %d sent, %d parity, %d to one device, %d sweeps, %d bytes%s\n",
		r.Blocks, r.BlockSize, r.Sent, r.Parity, r.Unicast, r.Sweeps, r.Bytes, ifAny(", first problem: ", problemID(r.Problem)))
	for _, d := range r.Devices {
		fmt.Fprintf(b, "  %s %-9s lacks %d, loss %.0f %%, runs %s%s\n", d.Device, d.State, d.Missing, 100*d.Loss, orNone(d.Version), ifAny(" !", problemID(d.Problem)))
	}
}

// writeChange says how a change of settings went, without any value.
func writeChange(b *strings.Builder, r *SettingsRun) {
	fmt.Fprintf(b, "\nchange %s: %s, %s, schema %s, %d requests, %d to one device, %d bytes%s\n",
		r.Job, r.Phase, orNone(r.Change.Model), orNone(r.Schema), r.Requests, r.UnicastRequests, r.Bytes, ifAny(", problem: ", problemID(r.Problem)))
	for _, row := range r.Rows {
		fmt.Fprintf(b, "  %s %-9s from %s to %s, runs %s%s\n", row.Device, row.State, orNone(row.Before), orNone(row.Expected), orNone(row.Is), ifAny(" !", problemID(row.Problem)))
	}
}

func problemID(p *Problem) string {
	if p == nil {
		return ""
	}
	return p.ID
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func ifAny(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

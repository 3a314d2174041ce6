package commission

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"strings"

	"lamplighter/internal/label"
)

// maxLabels bounds the text of an import.
const maxLabels = 4 << 20

var errLabels = problem("labels-too-long", "The text is too long for one import.", "Import it in parts.")

// PreviewLabels is a dry run of ImportLabels.
func (e *Engine) PreviewLabels(ctx context.Context, text string) (LabelReport, error) {
	report, _, _, err := e.readLabels(text)
	return report, err
}

// ImportLabels takes CSV, or one LL1: label a line. What is understood is kept,
// whatever the other lines are.
func (e *Engine) ImportLabels(ctx context.Context, text string) (LabelReport, error) {
	report, s, imported, err := e.readLabels(text)
	if err != nil {
		return report, err
	}
	var writes []write
	for _, rec := range imported {
		writes = append(writes, write{preDevice + rec.id(), rec})
	}
	if err := s.commit(ctx, writes...); err != nil {
		return report, asProblem(err)
	}
	for _, rec := range imported {
		s.touchDevice(s.adopt(rec))
	}
	e.info("", plural(report.Added, "label", "labels")+" imported")
	e.pub.flush()
	return report, nil
}

// adopt takes an imported record into the state.
func (s *site) adopt(rec *deviceRecord) *device {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[rec.id()]
	if d == nil {
		d = newDevice(rec)
		s.devices[d.id] = d
		return d
	}
	d.rec = withLabel(d.rec, rec) // what a job changed meanwhile stays
	return d
}

// withLabel returns r with what the label of from says.
func withLabel(r, from *deviceRecord) *deviceRecord {
	next := *r
	next.Thumbprint, next.Secret = from.Thumbprint, from.Secret
	next.Model, next.Name, next.Place = from.Model, from.Name, from.Place
	next.Address = cmp.Or(from.Address, r.Address)
	if next.Problem != nil && !next.Problem.Retry {
		next.Problem = nil // the label may have been it
	}
	return &next
}

// readLabels says what an import would do, and the records it would write.
func (e *Engine) readLabels(text string) (LabelReport, *site, []*deviceRecord, error) {
	report := LabelReport{Rejected: []LabelLine{}, Devices: []Device{}}
	s, err := e.site()
	if err != nil {
		return report, nil, nil, err
	}
	if len(text) > maxLabels {
		return report, nil, nil, errLabels
	}
	labels, bad, err := label.ParseCSV(strings.NewReader(text))
	if err != nil {
		return report, nil, nil, errLabels.because(err)
	}
	for _, b := range bad {
		report.Rejected = append(report.Rejected, LabelLine{Line: b.Line, Reason: b.Reason})
	}
	var records []*deviceRecord
	for _, l := range labels {
		if rec := s.weigh(l, &report); rec != nil {
			records = append(records, rec)
		}
	}
	return report, s, records, nil
}

// weigh compares one label with what is known and counts it.
func (s *site) weigh(l label.Label, report *LabelReport) *deviceRecord {
	from := &deviceRecord{ID: l.ID[:], Thumbprint: l.Thumbprint, Secret: l.Secret, Model: l.Model, Name: l.Name, Place: l.Place}
	if l.Address.IsValid() {
		from.Address = l.Address.String()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[from.id()]
	if d == nil {
		report.Added++
		report.Devices = append(report.Devices, newDevice(from).view(nil))
		return from
	}
	old := d.rec
	if old.claimed() && !l.Matches(old.Cred) {
		report.Rejected = append(report.Rejected, LabelLine{Reason: "device " + d.id + " is claimed already, and this label is of another key"})
		return nil
	}
	next := withLabel(old, from)
	next.Name, next.Place = cmp.Or(from.Name, old.Name), cmp.Or(from.Place, old.Place)
	switch {
	case !old.labelKnown():
		report.Added++
	case sameLabel(old, next):
		report.Same++
		return nil
	default:
		report.Updated++
	}
	report.Devices = append(report.Devices, newDevice(next).view(nil))
	return next
}

func sameLabel(a, b *deviceRecord) bool {
	return bytes.Equal(a.Thumbprint, b.Thumbprint) && bytes.Equal(a.Secret, b.Secret) &&
		a.Model == b.Model && a.Name == b.Name && a.Place == b.Place && a.Address == b.Address
}

// Forget drops labels of devices that are not claimed.
func (e *Engine) Forget(ctx context.Context, ids []string) error {
	s, err := e.site()
	if err != nil {
		return err
	}
	devices, err := s.chosen(ids)
	if err != nil {
		return err
	}
	var writes []write
	for _, d := range devices {
		if s.of(d).claimed() {
			return errClaimedKeep
		}
		if s.busy(d) {
			return errInJob // it could be claimed by now
		}
		writes = append(writes, write{preDevice + d.id, nil}, write{preSettings + d.id, nil})
	}
	if err := s.commit(ctx, writes...); err != nil {
		return asProblem(err)
	}
	s.mu.Lock()
	for _, d := range devices {
		delete(s.devices, d.id)
		delete(s.settings, d.id)
	}
	s.mu.Unlock()
	for _, d := range devices {
		s.touchDevice(d)
	}
	e.pub.flush()
	return nil
}

// busy reports whether a job that has not ended has work to do on a device.
func (s *site) busy(d *device) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		for _, it := range j.items {
			if it.dev == d && !j.ended() && (it.rec.State == itemTodo || it.rec.State == itemWorking) {
				return true
			}
		}
	}
	return false
}

// shortID names a Sender ID to people.
func shortID(kid []byte) string {
	if len(kid) == 0 {
		return "(empty)"
	}
	return hex.EncodeToString(kid)
}

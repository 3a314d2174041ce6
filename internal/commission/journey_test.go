package commission

import (
	"fmt"
	"strings"
	"testing"

	"lamplighter/internal/sim"
)

// TestJourney walks the whole path over a link that loses one datagram in ten.
func TestJourney(t *testing.T) {
	const lamps = 30
	w := newWorld(t, lamps)
	w.net.SetFaults(sim.Faults{Loss: 0.1, Dup: 0.05})
	b := w.engine(nil)
	ctx := t.Context()

	site, err := b.AcceptInvitation(ctx, w.invite("Ann"))
	if err != nil {
		t.Fatal(err)
	}
	if site.Name != "Riverside School" || site.Installer != "Ann" || len(site.Credential) != 16 || site.BackedUp {
		t.Errorf("site = %+v", site)
	}
	snap := b.Snapshot()
	if len(snap.Groups) != 2 || snap.Groups[0].Name != hall || snap.Groups[0].Title != "Hall ceiling" {
		t.Errorf("groups = %+v", snap.Groups)
	}
	report, err := b.ImportLabels(ctx, w.table()+"broken line\n")
	if err != nil || report.Added != lamps || len(report.Rejected) != 1 || report.Rejected[0].Line != lamps+2 {
		t.Fatalf("report = %+v, %v", report, err)
	}
	if n, err := b.Discover(ctx); err != nil || n < lamps/2 {
		t.Errorf("discovered %d, %v", n, err)
	}
	b.joined()
	if got := len(w.members(hall)); got != lamps+1 {
		t.Errorf("the Group Manager has %d members", got)
	}
	on, level := true, 40
	call, err := b.SetLight(ctx, hall, Light{On: &on, Level: &level})
	if err != nil || call.Verified != lamps {
		t.Fatalf("switching: %d verified, %v: %s", call.Verified, err, unverified(call))
	}
	for _, l := range w.lamps {
		if s := l.State(); !s.Light.On || s.Light.Level != 40 {
			t.Errorf("%s is %+v", l.id(), s.Light)
		}
	}
	call = b.verified(lamps)
	for _, a := range call.Answers {
		if !a.On || a.Level != 40 || a.SenderID == "" || a.RTT <= 0 {
			t.Errorf("answer %+v", a)
		}
	}
	table, err := b.RollCallCSV(ctx, hall)
	if err != nil || strings.Count(table, "\n") != lamps+1 || !strings.Contains(table, "Lamp 7,Hall,verified") {
		t.Errorf("table: %v\n%s", err, table)
	}
}

// unverified lists the answers that are not good.
func unverified(call RollCall) string {
	var text strings.Builder
	for _, a := range call.Answers {
		if a.State != AnswerVerified {
			fmt.Fprintf(&text, "\n%s %s %+v", a.Device, a.State, a.Problem)
		}
	}
	return text.String()
}

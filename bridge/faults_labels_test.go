package main

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/commission"
	"lamplighter/internal/label"
	"lamplighter/internal/store"
)

// TestBadBatch joins a batch with a wrong label secret, a wrong key, devices
// that are not there and one that the bridge may not address: each gets its
// sentence, the others join, and a retry after the causes are gone finishes.
func TestBadBatch(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 4)
	i := s.enrolled("Ann")
	bad := s.table(func(n int, l *label.Label) {
		switch n {
		case 0:
			l.Secret = []byte("not this secret!")
		case 1:
			l.Thumbprint = make([]byte, len(l.Thumbprint))
		}
	})
	s.secret("a label's wrong secret", []byte("not this secret!"))
	absent := label.Label{ID: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, Model: lampModel, Thumbprint: make([]byte, 16), Secret: []byte("secret of nobody")}
	lost, outside := absent, absent
	lost.ID[7], lost.Address = 9, netip.MustParseAddrPort("127.1.255.254:5683")
	outside.ID[7], outside.Address = 10, netip.MustParseAddrPort("10.1.2.3:5683")
	s.secret("the secret of an absent device", absent.Secret)
	var extra strings.Builder
	if err := label.WriteCSV(&extra, []label.Label{absent, lost, outside}); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{bad, extra.String()} {
		if report, err := i.ImportLabels(t.Context(), table); err != nil || len(report.Rejected) > 0 {
			t.Fatalf("%+v, %v", report.Rejected, err)
		}
	}
	want := map[string]string{
		s.id(0): "wrong-label-secret", s.id(1): "credential-mismatch", s.id(2): "", s.id(3): "",
		label.FormatID(absent.ID): "device-not-found", label.FormatID(lost.ID): "device-silent", label.FormatID(outside.ID): "target-refused",
	}
	j := i.wait(i.Join(t.Context(), faultGroup, slices.Collect(maps.Keys(want))))
	if j.State != commission.JobPartial || j.Done != 2 || j.Failed != 5 {
		t.Errorf("%s, %d done, %d failed", j.State, j.Done, j.Failed)
	}
	for id, problem := range want {
		if p := problemOf(j, id); problem != "" {
			s.sentence(p, problem)
		} else if p != nil {
			t.Errorf("%s: %+v", id, p)
		}
	}
	s.joinedOnce(1, s.id(2), s.id(3))
	i.roll()

	// The right table, and the same job again; the absent ones stay absent.
	if report, err := i.ImportLabels(t.Context(), s.table()); err != nil || report.Updated != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := i.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if j = i.wait(i.RetryJob(t.Context(), j.ID)); j.Done != 4 || j.Failed != 3 {
		t.Errorf("after the labels were mended: %d done, %d failed: %s", j.Done, j.Failed, problems(j))
	}
	s.joinedOnce(1, s.ids()...)
	i.roll()
}

// TestBrokenTable imports a table with broken lines: each is told by number and
// reason, without the secret in it; the others are kept and join.
func TestBrokenTable(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	i := s.enrolled("Ann")
	lines := strings.Split(strings.TrimSpace(s.table()), "\n")
	secret := strings.Split(lines[2], ",")[4]
	broken := []string{
		lines[0], lines[1],
		"this is no label at all",
		strings.Replace(lines[2], secret, secret[:31]+"x", 1), // a digit that is none
		lines[2],
		lines[2],                  // twice
		`"` + lines[3],            // a lost quotation mark
		strings.Repeat("x", 9000), // too long
		"MT:Y.K9042C00KA0648G00",  // a Matter code
		"\xff\xfe" + lines[3],     // no UTF-8
		strings.Replace(lines[3], secret[:4], "", 0), // as it was
	}
	report, err := i.ImportLabels(t.Context(), strings.Join(broken, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.show(report)
	got := map[int]string{}
	for _, line := range report.Rejected {
		got[line.Line] = line.Reason
		if len(line.Reason) < 8 || strings.Contains(line.Reason, secret[:16]) {
			t.Errorf("line %d: %q", line.Line, line.Reason)
		}
	}
	for _, n := range []int{3, 4, 6, 7, 8, 9, 10} {
		if got[n] == "" {
			t.Errorf("line %d was not refused", n)
		}
		delete(got, n)
	}
	if len(got) > 0 || report.Added != 3 {
		t.Errorf("%d added, refused besides: %v", report.Added, got)
	}
	i.join(s.ids()...)
	s.joinedOnce(1, s.ids()...)
	i.roll()
}

// TestBadInvitations: a link that is cut off, an access code that the bridge does
// not know, an invitation that was used, an address where no Authorization Server
// is, and one that is not the one of the link.
func TestBadInvitations(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	ann := s.enrolled("Ann")
	if _, err := ann.Join(t.Context(), "no-such-group", s.ids()); err == nil {
		t.Error("a group that is not there was joined")
	}
	good := s.invitation("Bob")
	used := s.invitation("Eve")
	if _, err := s.enrolled("Dan").AcceptInvitation(t.Context(), good.Encode()); err != nil {
		t.Fatal(err) // an installer who opens another link of the same site stays who she is
	}
	accept := func(in commission.Invitation) error {
		i := s.install(store.NewMemory())
		_, err := i.AcceptInvitation(t.Context(), in.Encode())
		return err
	}
	if err := accept(used); err != nil {
		t.Fatal(err)
	}
	s.told(accept(used), "invitation-used")
	i := s.install(store.NewMemory())
	_, err := i.AcceptInvitation(t.Context(), good.Encode()[:60])
	s.told(err, "bad-invitation")
	_, err = i.Join(t.Context(), faultGroup, s.ids())
	s.told(err, "no-site")
	bad := good
	bad.AccessCode = "a-code-that-nobody-gave-out"
	s.told(accept(bad), "sign-in-refused")
	bad = s.invitation("Bob")
	bad.ASAddress = "127.0.0.1:5999"
	s.told(accept(bad), "as-down")
	bad = s.invitation("Bob")
	bad.ASCred = bad.GMCred
	s.told(accept(bad), "wrong-as")
}

package commission

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// TestBackup restores a site on another browser, which manages the devices:
// it commands them, joins more, and releases them.
func TestBackup(t *testing.T) {
	w := newWorld(t, 10)
	b := w.enrolled()
	b.joinedOnly(w.ids()[:9]...)
	if _, err := b.Backup(t.Context(), "short"); err == nil {
		t.Error("a short passphrase was taken")
	}
	second := w.restored(b)
	second.verified(9)
	on := true
	if call, err := second.SetLight(t.Context(), hall, Light{On: &on}); err != nil || call.Verified != 9 {
		t.Errorf("%d verified, %v", call.Verified, err)
	}
	second.joined()
	second.verified(10)
	if got := len(w.members(hall)); got != 11 {
		t.Errorf("%d members: both browsers are one installer", got)
	}
	if j := second.job(second.Release(t.Context(), w.ids())); j.State != JobDone {
		t.Error(second.failures(j))
	}
}

// TestRestoreKeepsNewer takes a backup over a site that has gone on.
func TestRestoreKeepsNewer(t *testing.T) {
	w := newWorld(t, 3)
	b := w.enrolled()
	b.joinedOnly(w.ids()[0])
	file, err := b.Backup(t.Context(), "correct horse")
	b.must(file, err)
	b.joined()
	if b.Snapshot().Site.BackedUp {
		t.Error("the backup lacks what was claimed since")
	}
	b.must(b.Restore(t.Context(), file, "correct horse"))
	b.verified(3)
}

// slowSealer claims devices while a backup is being sealed.
type slowSealer struct {
	plainSealer
	meanwhile func()
}

func (s *slowSealer) Seal(ctx context.Context, plain []byte, pass string) (string, error) {
	s.meanwhile()
	return s.plainSealer.Seal(ctx, plain, pass)
}

// TestClaimDuringBackup: a backup that lacks what was claimed while it was sealed
// is not called one of all.
func TestClaimDuringBackup(t *testing.T) {
	w := newWorld(t, 1)
	sealer := &slowSealer{}
	b := w.enrolled(func(c *Config) { c.Sealer = sealer })
	sealer.meanwhile = b.joined
	b.must(b.Backup(t.Context(), "correct horse"))
	if b.Snapshot().Site.BackedUp {
		t.Error("the backup lacks an owner key and counts as complete")
	}
	sealer.meanwhile = func() {}
	b.must(b.Backup(t.Context(), "correct horse"))
	if !b.Snapshot().Site.BackedUp {
		t.Error("a complete backup does not count")
	}
}

// TestLeftSiteIsSilent restores a site over itself while a roll call is on its
// way: what is left of the old one takes no sequence number any more, for the new
// one goes on at the mark. DESIGN S1.
func TestLeftSiteIsSilent(t *testing.T) {
	w := newWorld(t, 2)
	b := w.enrolled()
	b.joined()
	file, err := b.Backup(t.Context(), "correct horse")
	b.must(file, err)
	old, err := b.current().knownGroup(hall)
	b.must(old, err)
	b.must(b.Restore(t.Context(), file, "correct horse"))
	if _, _, err := old.protect(coap.NewRequest(coap.GET, "/light", nil), nil); !errors.Is(err, errCanceled) {
		t.Errorf("the site that was left still sends: %v", err)
	}
	if _, err := old.sequence().Next(); err == nil {
		t.Error("the site that was left still takes numbers")
	}
	b.verified(2)
}

// TestTwoSites opens a second invitation in the same browser; what it has of the
// first site is kept.
func TestTwoSites(t *testing.T) {
	w, v := newWorld(t, 2), newWorld(t, 1)
	b := w.enrolled(func(c *Config) { c.Exchange = either{w, v} })
	b.joined()
	first := b.Snapshot().Site
	b.must(b.AcceptInvitation(t.Context(), v.inviteElsewhere("Ann")))
	if snap := b.Snapshot(); snap.Site.Credential == first.Credential || len(snap.Devices) != 0 || len(snap.Jobs) != 0 {
		t.Errorf("snapshot = %+v", snap)
	}
	b.must(b.AcceptInvitation(t.Context(), w.invite("Ann")))
	if snap := b.Snapshot(); snap.Site.Credential != first.Credential || len(snap.Devices) != 2 {
		t.Errorf("snapshot = %+v", snap)
	}
	b.verified(2)
}

// TestUselessInvitation: an invitation to another site that somebody else has used
// leaves this browser with the site that it has, after a restart too.
func TestUselessInvitation(t *testing.T) {
	w, v := newWorld(t, 1), newWorld(t, 1)
	used := v.inviteElsewhere("Eve")
	eve := v.engine(nil, func(c *Config) { c.Exchange = either{w, v} })
	eve.must(eve.AcceptInvitation(t.Context(), used))
	db := store.NewMemory()
	b := w.engine(db, func(c *Config) { c.Exchange = either{w, v} })
	b.must(b.AcceptInvitation(t.Context(), w.invite("Ann")))
	b.must(b.ImportLabels(t.Context(), w.table()))
	b.joined()
	if _, err := b.AcceptInvitation(t.Context(), used); asProblem(err).ID != errUsed.ID {
		t.Fatalf("err = %v", err)
	}
	b.verified(1)
	b.Close()
	w.engine(db).verified(1)
}

// either routes by port: the second world is 1000 ports up.
type either struct{ w, v *world }

const elsewhere = 1000

func (x either) pick(to netip.AddrPort) (coap.Exchanger, netip.AddrPort) {
	if to.Port() > 6000 {
		return x.v.net.From(browserAddr), netip.AddrPortFrom(to.Addr(), to.Port()-elsewhere)
	}
	return x.w.net.From(browserAddr), to
}

func (x either) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	ex, to := x.pick(to)
	return ex.Exchange(ctx, to, req)
}

func (x either) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	ex, to := x.pick(to)
	return ex.Multicast(ctx, to, req, wait, each)
}

func (w *world) inviteElsewhere(name string) string {
	inv, err := ParseInvitation(w.invite(name))
	if err != nil {
		w.t.Fatal(err)
	}
	inv.ASAddress, inv.GMAddress, inv.Multicast = "127.0.0.1:6689", "127.0.0.1:6690", "224.0.1.187:6683"
	return inv.Encode()
}

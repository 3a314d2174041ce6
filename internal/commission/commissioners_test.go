package commission

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/as"
)

// hired is the engine of a person with a role at the one site of this test.
func (w *world) hired(name string, role as.Role, at string, edits ...func(*Config)) *browser {
	w.t.Helper()
	inv, err := w.as.InvitePerson(w.t.Context(), as.InviteParams{Name: name, Role: role, Groups: []string{hall, stage}, Site: "school"})
	if err != nil {
		w.t.Fatal(err)
	}
	own := func(c *Config) { c.Exchange = w.net.From(netip.MustParseAddrPort(at)) }
	b := w.engine(nil, append([]func(*Config){own}, edits...)...)
	b.must(b.AcceptInvitation(w.t.Context(), "http://bridge.test/#"+Invitation{
		AccessCode: "open sesame", ID: []byte(inv.ID), Secret: inv.Secret,
		ASAddress: asAddr.String(), ASCred: w.cred.as, GMAddress: gmAddr.String(), GMCred: w.cred.gm,
		Multicast: groupAddr.String(), Site: "Riverside School", Installer: name,
	}.Encode()))
	b.must(b.ImportLabels(w.t.Context(), w.table()))
	return b
}

func (b *browser) device(id string) Device {
	for _, d := range b.Snapshot().Devices {
		if d.ID == id {
			return d
		}
	}
	return Device{}
}

// The people of the site come onto every device's list, and who is revoked goes off
// it: at once where the device can be reached, and as soon as it can be elsewhere,
// also after a reload. Until then it is shown as pending.
func TestCommissionersOfDevices(t *testing.T) {
	w := newWorld(t, 2)
	ann := w.hired("Ann", as.RoleAdmin, "127.0.0.1:40001")
	ann.joined()
	if _, err := ann.UpdateCommissioners(t.Context()); err != nil {
		t.Fatal(err)
	}
	bert := w.hired("Bert", as.RoleInstaller, "127.0.0.1:40002")
	if _, err := bert.UpdateCommissioners(t.Context()); err == nil {
		t.Error("an installer is told who works here")
	}
	if j := bert.job(bert.Check(t.Context(), w.ids())); j.State != JobFailed || problemOf(j, w.ids()[0]) != "not-on-list" {
		t.Errorf("before he is on the list: %s", bert.failures(j))
	}
	if j := ann.job(ann.UpdateCommissioners(t.Context())); j.State != JobDone || j.Total != 2 {
		t.Fatalf("%s", ann.failures(j))
	}
	if s := ann.Snapshot().Site; len(s.Commissioners) != 2 || !s.Commissioners[0].Admin || s.Commissioners[1].Admin || s.Commissioners[1].Name != "Bert" {
		t.Errorf("%+v", s.Commissioners)
	}
	if _, err := ann.UpdateCommissioners(t.Context()); asProblem(err).ID != "nothing-pending" {
		t.Errorf("once more: %v", err)
	}
	if j := bert.job(bert.Check(t.Context(), w.ids())); j.State != JobDone {
		t.Fatalf("on the list: %s", bert.failures(j))
	}
	if g := bert.device(w.ids()[0]).Groups; len(g) != 1 || g[0].Group != hall || g[0].Ended || g[0].Expires == 0 {
		t.Errorf("%+v", g)
	}

	// Revoked, while one lamp has no power.
	w.net.Down(w.lamps[1].addr, true)
	w.revoke("Bert")
	j := ann.job(ann.UpdateCommissioners(t.Context()))
	if j.State != JobPartial || ann.device(w.ids()[0]).ListPending || !ann.device(w.ids()[1]).ListPending {
		t.Fatalf("%s\n%+v", ann.failures(j), ann.Snapshot().Devices)
	}
	if j := bert.job(bert.Check(t.Context(), w.ids()[:1])); problemOf(j, w.ids()[0]) != "not-on-list" {
		t.Errorf("who was revoked: %s", bert.failures(j))
	}
	ann.Close()
	ann = w.engine(ann.store, func(c *Config) {
		c.Exchange, c.Tuning.Chase = ann.ex, 20*time.Millisecond
	})
	if !ann.device(w.ids()[1]).ListPending {
		t.Error("forgotten over a reload")
	}
	w.net.Down(w.lamps[1].addr, false)
	eventually(t, "the list reaches the lamp that had no power", func() bool { return !ann.device(w.ids()[1]).ListPending })
	if j := bert.job(bert.Check(t.Context(), w.ids()[1:])); problemOf(j, w.ids()[1]) != "not-on-list" {
		t.Errorf("who was revoked, at the other lamp: %s", bert.failures(j))
	}
	// Whoever is claimed from now on gets the list too.
	w.addLamp(3)
	ann.must(ann.ImportLabels(t.Context(), w.table()))
	if j := ann.job(ann.Claim(t.Context(), w.ids()[2:])); j.State != JobDone || ann.device(w.ids()[2]).ListPending {
		t.Errorf("%s", ann.failures(j))
	}
}

// Who was revoked by command goes off the lists when an administrator's browser next
// hears of it, with the devices that were not reached shown until they are; nobody
// comes onto a list by that.
func TestRevokedByCommand(t *testing.T) {
	for what, told := range map[string]bool{"on the site's list": true, "by a claim": false} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, 2)
			bert := w.hired("Bert", as.RoleAdmin, "127.0.0.1:40002")
			ann := w.hired("Ann", as.RoleAdmin, "127.0.0.1:40001")
			ann.joined()
			carl := w.hired("Carl", as.RoleInstaller, "127.0.0.1:40003")
			if told {
				if j := ann.job(ann.UpdateCommissioners(t.Context())); j.State != JobDone {
					t.Fatalf("%s", ann.failures(j))
				}
			}
			if j := bert.job(bert.Check(t.Context(), w.ids())); j.State != JobDone {
				t.Fatalf("Bert, before: %s", bert.failures(j))
			}
			w.net.Down(w.lamps[1].addr, true)
			if _, err := w.as.RevokeByName(t.Context(), "Bert"); err != nil {
				t.Fatal(err)
			}
			people, err := ann.People(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range people {
				if p.Name == "Bert" && (!p.Revoked || len(p.Left) == 0) {
					t.Errorf("no device is shown that lists Bert: %+v", p)
				}
			}
			eventually(t, "the lamp that has power is told", func() bool { return !ann.device(w.ids()[0]).ListPending })
			if j := bert.job(bert.Check(t.Context(), w.ids()[:1])); problemOf(j, w.ids()[0]) != "not-on-list" {
				t.Errorf("Bert, after: %s", bert.failures(j))
			}
			if j := carl.job(carl.Check(t.Context(), w.ids()[:1])); (problemOf(j, w.ids()[0]) == "not-on-list") == told {
				t.Errorf("Carl: %s", carl.failures(j))
			}
			jobs := len(ann.Snapshot().Jobs)
			if people, err = ann.People(t.Context()); err != nil || len(ann.Snapshot().Jobs) != jobs {
				t.Errorf("asked again, %d jobs", len(ann.Snapshot().Jobs))
			}
			for _, p := range people {
				if p.Name == "Bert" && !slices.Equal(p.Left, w.ids()[1:]) {
					t.Errorf("left at %v", p.Left)
				}
			}
		})
	}
}

// Whose access has an end goes off the lists after it.
func TestCommissionerUntil(t *testing.T) {
	w := newWorld(t, 1)
	ann := w.hired("Ann", as.RoleAdmin, "127.0.0.1:40001")
	ann.joined()
	bert := w.hired("Bert", as.RoleInstaller, "127.0.0.1:40002")
	all, err := w.as.Installers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, i := range all {
		if i.Name == "Bert" {
			i.Policy.Until = uint64(w.now().Add(time.Hour).Unix())
			if err := w.as.SetPolicy(t.Context(), id, i.Policy); err != nil {
				t.Fatal(err)
			}
		}
	}
	if j := ann.job(ann.UpdateCommissioners(t.Context())); j.State != JobDone {
		t.Fatalf("%s", ann.failures(j))
	}
	if j := bert.job(bert.Check(t.Context(), w.ids())); j.State != JobDone {
		t.Fatalf("before the end: %s", bert.failures(j))
	}
	w.advance(2 * time.Hour)
	if _, err := ann.People(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the list without Bert", func() bool { return !ann.device(w.ids()[0]).ListPending && len(ann.Snapshot().Site.Commissioners) == 1 })
	if j := bert.job(bert.Check(t.Context(), w.ids())); problemOf(j, w.ids()[0]) != "not-on-list" {
		t.Errorf("after the end: %s", bert.failures(j))
	}
	people, err := ann.People(t.Context())
	for _, p := range people {
		if !p.Listed {
			t.Errorf("%s is still to be listed", p.Name)
		}
	}
	if err != nil || len(people) != 2 {
		t.Errorf("%+v, %v", people, err)
	}
}

// An installer is revoked who has claimed lamps: an administrator who is on their
// lists takes the installer off them, owner or not, and manages them from then on.
func TestRevokedOwner(t *testing.T) {
	w := newWorld(t, 2)
	bert := w.hired("Bert", as.RoleAdmin, "127.0.0.1:40002")
	ann := w.hired("Ann", as.RoleAdmin, "127.0.0.1:40001")
	bert.joined()
	if j := bert.job(bert.UpdateCommissioners(t.Context())); j.State != JobDone {
		t.Fatalf("%s", bert.failures(j))
	}
	if j := ann.job(ann.Check(t.Context(), w.ids())); j.State != JobDone {
		t.Fatalf("%s", ann.failures(j))
	}
	w.revoke("Bert")
	ann.takesOver(bert)
}

// An installer's claim lists the administrators: when the installer is revoked, they
// take over what nobody else could manage.
func TestRevokedInstallerOwns(t *testing.T) {
	w := newWorld(t, 2)
	ann := w.hired("Ann", as.RoleAdmin, "127.0.0.1:40001")
	bert := w.hired("Bert", as.RoleInstaller, "127.0.0.1:40002")
	mia := w.hired("Mia", as.RoleMaintainer, "127.0.0.1:40003")
	bert.joined()
	if j := mia.job(mia.Check(t.Context(), w.ids())); j.State != JobFailed || problemOf(j, w.ids()[0]) != "not-on-list" {
		t.Errorf("a maintainer is listed: %s", mia.failures(j))
	}
	w.revoke("Bert")
	if j := ann.job(ann.Check(t.Context(), w.ids())); j.State != JobDone {
		t.Fatalf("the administrator is not listed: %s", ann.failures(j))
	}
	ann.takesOver(bert)
}

// Another commissioner joins a device anew: its association is his then.
func TestRenew(t *testing.T) {
	w := newWorld(t, 2)
	ann := w.hired("Ann", as.RoleAdmin, "127.0.0.1:40001")
	ann.joined()
	bert := w.hired("Bert", as.RoleInstaller, "127.0.0.1:40002")
	if j := ann.job(ann.UpdateCommissioners(t.Context())); j.State != JobDone {
		t.Fatalf("%s", ann.failures(j))
	}
	before := w.members(hall)
	if j := bert.job(bert.Renew(t.Context(), hall, w.ids()[:1])); j.State != JobDone {
		t.Fatalf("%s", bert.failures(j))
	}
	after := w.members(hall)
	changed := 0
	for subject, m := range after {
		was, ok := before[subject]
		if !ok {
			continue // the other browser
		}
		if m.Node != was.Node {
			t.Errorf("%s is another node", subject)
		}
		if m.Obtainer != was.Obtainer {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d associations have another obtainer:\n%+v\n%+v", changed, before, after)
	}
	ann.verified(2)
	bert.must(bert.RollCall(t.Context(), hall))

	// The device says when its association ends.
	if j := bert.job(bert.Check(t.Context(), w.ids())); j.State != JobDone {
		t.Fatalf("%s", bert.failures(j))
	}
	if ids, err := bert.NeedRenewal(t.Context(), hall); err != nil || len(ids) != 0 {
		t.Errorf("%v, %v", ids, err)
	}
	s := bert.current()
	d, _ := s.device(w.ids()[0])
	b := s.of(d).in(hall)
	w.advance(time.Unix(int64(b.Expires), 0).Sub(w.now()) - 2*24*time.Hour)
	if ids, err := bert.NeedRenewal(t.Context(), hall); err != nil || len(ids) == 0 {
		t.Errorf("%v, %v", ids, err)
	}
}

// Who had joined a lamp is revoked: it gets no keys. The roll call finds it, the lamp
// says why, and another commissioner's renewal mends it.
func TestBarredDeviceIsShown(t *testing.T) {
	w := newWorld(t, 2)
	w.telling()
	ann := w.hired("Ann", as.RoleAdmin, "127.0.0.1:40001")
	ann.joined()
	bert := w.hired("Bert", as.RoleInstaller, "127.0.0.1:40002")
	if j := ann.job(ann.UpdateCommissioners(t.Context())); j.State != JobDone {
		t.Fatalf("%s", ann.failures(j))
	}
	before := w.members(hall)
	if j := bert.job(bert.Renew(t.Context(), hall, w.ids()[:1])); j.State != JobDone {
		t.Fatalf("%s", bert.failures(j))
	}
	var revoked string
	for subject, m := range w.members(hall) {
		if was, ok := before[subject]; ok && m.Obtainer != was.Obtainer {
			revoked = m.Obtainer
		}
	}
	ann.verified(2)
	bert.Close()
	if err := w.gm.Bar(t.Context(), []string{revoked}); err != nil {
		t.Fatal(err)
	}
	lamp := w.ids()[0]
	eventually(t, "the lamp says what is wrong", func() bool {
		if _, err := ann.RollCall(t.Context(), hall); err != nil {
			t.Fatal(err)
		}
		d := ann.device(lamp)
		return len(d.Groups) == 1 && d.Groups[0].Why != "" && !d.Groups[0].Ended
	})
	need, err := ann.NeedRenewal(t.Context(), hall)
	if err != nil || len(need) != 1 || need[0] != lamp {
		t.Fatalf("%v, %v", need, err)
	}
	if j := ann.job(ann.Renew(t.Context(), hall, need)); j.State != JobDone {
		t.Fatalf("%s", ann.failures(j))
	}
	ann.verified(2)
	if need, err := ann.NeedRenewal(t.Context(), hall); err != nil || len(need) != 0 {
		t.Errorf("%v, %v", need, err)
	}
}

// revoke revokes a person at the Authorization Server.
func (w *world) revoke(name string) {
	w.t.Helper()
	people, err := w.as.People(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range people {
		if p.Name == name {
			if err := w.as.Revoke(w.t.Context(), p.ID); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// takesOver has an administrator bring the list to both lamps that a revoked person
// claimed, who manages them no more, and renew them.
func (b *browser) takesOver(revoked *browser) {
	b.t.Helper()
	ctx := b.t.Context()
	if j := b.job(b.UpdateCommissioners(ctx)); j.State != JobDone || j.Total != 2 {
		b.t.Fatalf("%s", b.failures(j))
	}
	if err := revoked.Blink(ctx, b.w.ids()[0], 1); err == nil {
		b.t.Error("who was revoked manages the lamps that he claimed")
	}
	if j := b.job(b.Renew(ctx, hall, b.w.ids())); j.State != JobDone {
		b.t.Fatalf("%s", b.failures(j))
	}
	b.verified(2)
}

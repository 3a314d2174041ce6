package commission

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// door is a bridge as far as access codes go.
type door struct {
	codes map[string]error // nil: lets in
	used  []string         // codes that let somebody in
}

func (d *door) signIn(_ context.Context, code string) error {
	err, known := d.codes[code]
	if !known {
		return errors.New("unknown")
	}
	if err == nil {
		d.used = append(d.used, code)
	}
	return err
}

// last is whose session the browser has.
func (d *door) last() string { return d.used[len(d.used)-1] }

// grants makes an invitation with an access code of its own.
func (w *world) grants(d *door, name, code string) Invitation {
	w.t.Helper()
	inv, err := ParseInvitation(w.invite(name))
	if err != nil {
		w.t.Fatal(err)
	}
	inv.AccessCode, d.codes[code] = code, nil
	return inv
}

// people are the installers that the Authorization Server knows.
func (w *world) people() map[string]as.Installer {
	w.t.Helper()
	all, err := w.as.Installers(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// TestInvitationAgain: what a browser that is enrolled does with another link to
// the same site.
func TestInvitationAgain(t *testing.T) {
	w, d := newWorld(t, 1), &door{codes: map[string]error{}}
	first := w.grants(d, "Ann", "ann 1")
	b := w.engine(store.NewMemory(), func(c *Config) { c.SignIn = d.signIn })
	accept := func(i Invitation) error { _, err := b.AcceptInvitation(t.Context(), i.Encode()); return err }
	works := func(what, session, name string) {
		t.Helper()
		if d.last() != session || b.Snapshot().Site.Installer != name || string(b.current().record().Code) != session {
			t.Errorf("%s: the session of %q, %q", what, d.last(), b.Snapshot().Site.Installer)
		}
		if _, err := b.current().gm.open(t.Context(), b.current().gm.client); err != nil {
			t.Errorf("%s: no token: %v", what, err)
		}
	}
	b.must(b.AcceptInvitation(t.Context(), first.Encode()))
	works("the first link", "ann 1", "Ann")
	b.must(b.AcceptInvitation(t.Context(), first.Encode()))
	works("the same link", "ann 1", "Ann")

	other := w.grants(d, "Bob", "bob")
	b.must(b.AcceptInvitation(t.Context(), other.Encode()))
	works("a link for somebody else", "ann 1", "Ann")
	bob := w.engine(nil)
	bob.must(bob.AcceptInvitation(t.Context(), other.Encode())) // it was not used up

	second := w.grants(d, "Ann", "ann 2")
	key := b.current().record().InstallerKey
	b.must(b.AcceptInvitation(t.Context(), second.Encode()))
	works("another link for the same person", "ann 2", "Ann")
	if string(key) == string(b.current().record().InstallerKey) || len(w.people()) != 2 {
		t.Error("she did not enrol again")
	}
	b.must(b.AcceptInvitation(t.Context(), first.Encode()))
	works("the first link, used", "ann 2", "Ann")

	d.codes["ann 1"], d.codes["ann 2"] = coap.ErrRevoked, coap.ErrRevoked
	for id, i := range w.people() {
		if i.Name == "Ann" {
			if err := w.as.Revoke(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.SetLink(false, 0, "The bridge is not reachable.")
	if err := b.SignInAgain(t.Context()); asProblem(err).ID != "access-revoked" {
		t.Errorf("signing in again: %v", err)
	}
	b.SetLink(false, 0, "Not signed in.")
	if l := b.Snapshot().Link; !l.Revoked || l.Reason != errRevoked.Error() {
		t.Errorf("the link does not say that she was revoked: %+v", l)
	}
	for _, i := range []Invitation{first, second} {
		if err := accept(i); asProblem(err).ID != "access-revoked" {
			t.Errorf("a link of before she was revoked: %v", err)
		}
	}
	b.must(b.AcceptInvitation(t.Context(), w.grants(d, "Anna", "anna").Encode()))
	works("a new link after she was revoked", "anna", "Anna")
	b.SetLink(false, 0, "The bridge is not reachable.")
	if l := b.Snapshot().Link; l.Revoked || l.Reason != "The bridge is not reachable." {
		t.Errorf("the link still says that she was revoked: %+v", l)
	}
	b.SetLink(true, 0, "")
	names := []string{}
	for i := range maps.Values(w.people()) {
		names = append(names, i.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"Anna", "Bob"}) {
		t.Error(names)
	}
	down := coap.ErrLink
	d.codes["anna"] = down
	if err := accept(w.grants(d, "Anna", "anna 2")); asProblem(err).ID != "link-down" {
		t.Errorf("the bridge is down: %v", err)
	}
}

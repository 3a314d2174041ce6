package commission

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

func someInvitation(t testing.TB) Invitation {
	cred := func(name string) []byte { return cose.NewCCS(name, newKey(t).Public().(ed25519.PublicKey)) }
	return Invitation{
		AccessCode: "code-0123456789", ID: []byte("aabbccdd"), Secret: []byte("0123456789abcdef"),
		ASAddress: "127.0.0.1:5690", ASCred: cred("as"), GMAddress: "[::1]:5691", GMCred: cred("gm"),
		Multicast: "224.0.1.187:5683", Site: "Riverside School", Installer: "Ann",
	}
}

func TestInvitation(t *testing.T) {
	inv := someInvitation(t)
	for _, form := range []string{inv.Encode(), "#" + inv.Encode(), "https://bridge:8080/#" + inv.Encode(), "  " + inv.Encode() + "\n"} {
		got, err := ParseInvitation(form)
		if err != nil || !reflect.DeepEqual(got, inv) {
			t.Errorf("%q: %v, %v", form, got, err)
		}
	}
	for _, form := range []string{fmt.Sprint(inv), fmt.Sprintf("%v %+v %#v %s", inv, inv, inv, &inv)} {
		if strings.Contains(form, "0123456789") {
			t.Errorf("it prints its secrets: %s", form)
		}
	}
}

func TestBadInvitations(t *testing.T) {
	good := someInvitation(t).Encode()
	bad := map[string]string{
		"empty": "", "no prefix": good[2:], "cut": good[:len(good)-7], "not base64": "i=" + strings.Repeat("!", 40),
		"too long": "i=" + strings.Repeat("A", 5000),
	}
	for name, edit := range map[string]func(*Invitation){
		"no id": func(i *Invitation) { i.ID = nil }, "short secret": func(i *Invitation) { i.Secret = i.Secret[1:] },
		"AS": func(i *Invitation) { i.ASAddress = "as.example:1" }, "GM": func(i *Invitation) { i.GMAddress = "" },
		"multicast": func(i *Invitation) { i.Multicast = "224.0.1.187" }, "AS cred": func(i *Invitation) { i.ASCred = []byte{0xa0} },
		"GM cred": func(i *Invitation) { i.GMCred = nil }, "site": func(i *Invitation) { i.Site = "" },
	} {
		inv := someInvitation(t)
		edit(&inv)
		bad[name] = inv.Encode()
	}
	for name, form := range bad {
		if _, err := ParseInvitation(form); !errors.Is(err, errInvitation) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseInvitation(f *testing.F) {
	f.Add(someInvitation(f).Encode())
	f.Add("#i=oA")
	f.Add("i=")
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := ParseInvitation(text)
		if err != nil {
			return
		}
		again, err := ParseInvitation(inv.Encode())
		if err != nil || !reflect.DeepEqual(inv, again) {
			t.Errorf("%v came back as %v, %v", inv, again, err)
		}
	})
}

// TestInvitations walks the ways in which an invitation can be of no use.
func TestInvitations(t *testing.T) {
	w := newWorld(t, 1)
	link := w.invite("Ann")
	db := store.NewMemory()
	first := w.engine(db)
	first.must(first.AcceptInvitation(t.Context(), link))
	first.must(first.AcceptInvitation(t.Context(), link)) // the same browser may
	second := w.engine(nil)
	if _, err := second.AcceptInvitation(t.Context(), link); asProblem(err).ID != "invitation-used" {
		t.Errorf("another browser: %v", err)
	}
	if _, err := second.ImportLabels(t.Context(), w.table()); asProblem(err).ID != "no-site" {
		t.Errorf("without a site: %v", err)
	}
	second.must(second.AcceptInvitation(t.Context(), w.invite("Eve"))) // a new one works after that

	refused := w.engine(nil, func(c *Config) {
		c.SignIn = func(_ context.Context, code string) error { return errors.New("no") }
	})
	if _, err := refused.AcceptInvitation(t.Context(), w.invite("Bob")); asProblem(err).ID != "sign-in-refused" {
		t.Errorf("sign-in: %v", err)
	}
	down := w.engine(nil)
	w.net.Down(asAddr, true)
	if _, err := down.AcceptInvitation(t.Context(), w.invite("Bob")); asProblem(err).ID != "as-down" {
		t.Errorf("AS down: %v", err)
	}
	inv, _ := ParseInvitation(w.invite("Bob"))
	w.net.Down(asAddr, false)
	down.forgiven(asAddr)
	inv.ASCred = inv.GMCred // somebody else's
	third := w.engine(nil)
	if _, err := third.AcceptInvitation(t.Context(), inv.Encode()); asProblem(err).ID != "wrong-as" {
		t.Errorf("another AS: %v", err)
	}
}

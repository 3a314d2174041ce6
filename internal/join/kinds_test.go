package join_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/gm"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore/group"
)

// ciphers are all content encryption algorithms that are built; the last three do
// not authenticate and are for the group mode only.
var ciphers = []cose.Algorithm{
	cose.AESCCM16_64_128, cose.AESCCM16_64_256, cose.AESCCM64_64_128, cose.AESCCM64_64_256,
	cose.AESCCM16_128_128, cose.AESCCM16_128_256, cose.AESCCM64_128_128, cose.AESCCM64_128_256,
	cose.A128GCM, cose.A192GCM, cose.A256GCM, cose.ChaCha20Poly1305,
	cose.A128CTR, cose.A192CTR, cose.A256CTR,
}

const unauthenticated = 3

// keyKinds make the keys of members.
var keyKinds = map[string]func(name string) cose.PrivateKey{
	"Ed25519": func(name string) cose.PrivateKey { return cose.NewEd25519(keyOf(name)) },
	"P-256":   p256Of,
	"X25519":  x25519Of,
}

// kindOf is a kind of group with the keys of its members.
type kindOf struct {
	cfg  gm.GroupConfig
	keys string
}

func (k kindOf) String() string {
	a := k.cfg.Algs
	return fmt.Sprintf("aead %d, group %d, sign %d, agreement %d, hkdf %d, %s", a.AEAD, a.GroupEnc, a.Sign, a.Pairwise, a.HKDF, k.keys)
}

// kindsOfGroups are all combinations of modes, keys and HKDF, each with every cipher
// in its modes.
func kindsOfGroups() (kinds []kindOf) {
	agreements := map[cose.Algorithm]cose.Algorithm{cose.HMAC256: cose.ECDHSSHKDF256, cose.HMAC512: cose.ECDHSSHKDF512}
	authenticated := ciphers[:len(ciphers)-unauthenticated]
	for hkdf, agreement := range agreements {
		for keys, sign := range map[string]cose.Algorithm{"Ed25519": cose.EdDSA, "P-256": cose.ES256} {
			for i, cipher := range ciphers {
				groupOnly := group.Algorithms{GroupEnc: cipher, Sign: sign, HKDF: hkdf}
				both := groupOnly
				both.AEAD, both.Pairwise = authenticated[(i*5)%len(authenticated)], agreement
				kinds = append(kinds, kindOf{gm.GroupConfig{Algs: groupOnly}, keys}, kindOf{gm.GroupConfig{Algs: both}, keys})
			}
		}
		for keys, curve := range map[string]cose.Curve{"Ed25519": 0, "X25519": cose.X25519, "P-256": cose.P256} {
			for _, cipher := range authenticated {
				algs := group.Algorithms{AEAD: cipher, Pairwise: agreement, HKDF: hkdf}
				kinds = append(kinds, kindOf{gm.GroupConfig{Algs: algs, Curve: curve}, keys})
			}
		}
	}
	return kinds
}

// In a group of every kind two members that joined talk in each mode that it has,
// a verifier checks their signatures, and all of it goes on after a rekeying.
func TestGroupsOfEveryKind(t *testing.T) {
	for _, k := range kindsOfGroups() {
		t.Run(k.String(), func(t *testing.T) {
			s := newSiteOf(t, k.cfg)
			browser := s.joinWith("browser", ace.RoleRequester, keyKinds[k.keys]("browser"))
			lamp := s.joinWith("lamp", ace.RoleResponder, keyKinds[k.keys]("lamp"))
			other := s.joinWith("other", ace.RoleResponder, keyKinds[k.keys]("other"))
			browser.learn(lamp.m.SenderID)
			talkInAllModes(t, s, browser, lamp)
			if err := other.gm.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*member{browser, lamp} {
				p.m.Peers = p.ctx.Peers()
				p.update()
			}
			talkInAllModes(t, s, browser, lamp)
		})
	}
}

func talkInAllModes(t *testing.T, s *site, a, b *member) {
	t.Helper()
	algs := a.m.Algs
	if algs.HasGroupMode() {
		outer := talk(t, a, b, group.Group, group.Group)
		verify(t, s, a, outer)
	}
	if algs.HasPairwiseMode() {
		talk(t, a, b, group.Pairwise, group.Pairwise)
	}
	if algs.HasGroupMode() && algs.HasPairwiseMode() {
		talk(t, a, b, group.Group, group.Pairwise)
		talk(t, a, b, group.Pairwise, group.Group)
	}
	for mode, there := range map[group.Mode]bool{group.Group: algs.HasGroupMode(), group.Pairwise: algs.HasPairwiseMode()} {
		if _, _, err := a.ctx.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), to(b, mode)); !there && !errors.Is(err, group.ErrMode) {
			t.Errorf("a request in a mode that the group lacks: %v", err)
		}
	}
}

// to is whom a request in a mode is for.
func to(b *member, mode group.Mode) []byte {
	if mode == group.Group {
		return nil
	}
	return b.m.SenderID
}

// talk sends a request and its response, each in a mode, and returns the protected
// request.
func talk(t *testing.T, a, b *member, ask, answer group.Mode) *coap.Message {
	t.Helper()
	outer, binding, err := a.ctx.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), to(b, ask))
	if err != nil {
		t.Fatal(err)
	}
	inner, answered, err := b.ctx.UnprotectRequest(outer)
	if err != nil || coap.Path(inner) != "/light" || !bytes.Equal(answered.From.Cred, a.cred) {
		t.Fatalf("a request in %v mode: %v", ask, err)
	}
	resp, err := b.ctx.ProtectResponse(coap.Respond(coap.Content, coap.FormatText, []byte("on")), answered, answer)
	if err != nil {
		t.Fatal(err)
	}
	got, from, mode, err := a.ctx.UnprotectResponse(resp, binding)
	if err != nil || string(got.Payload) != "on" || !bytes.Equal(from.Cred, b.cred) || mode != answer {
		t.Fatalf("a response in %v mode: %v", answer, err)
	}
	return outer
}

// verify checks a request's signature as who is no member and cannot read it.
func verify(t *testing.T, s *site, sender *member, outer *coap.Message) {
	t.Helper()
	client, _ := s.client("verifier", ace.RoleVerifier)
	checker, data, err := join.NewVerifier(client, "hall").Checker(t.Context(), join.Trusts(s.cred), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data.GID, sender.m.GID) || data.Algs != sender.m.Algs || data.Num != sender.m.Num {
		t.Errorf("a verifier is told %+v", data)
	}
	checked, err := checker.CheckRequest(outer)
	if err != nil || !bytes.Equal(checked.From.Cred, sender.cred) {
		t.Errorf("a verifier of %x: %v", checked.From.KID, err)
	}
	outer.Payload[len(outer.Payload)-1] ^= 1
	if _, err := checker.CheckRequest(outer); err == nil {
		t.Error("a verifier passed a changed signature")
	}
}

// A monitor reads what requesters send to the group, and sends nothing.
func TestMonitor(t *testing.T) {
	for keys, sign := range map[string]cose.Algorithm{"Ed25519": cose.EdDSA, "P-256": cose.ES256} {
		algs := group.DefaultAlgorithms
		algs.Sign = sign
		s := newSiteOf(t, gm.GroupConfig{Algs: algs})
		browser := s.joinWith("browser", ace.RoleRequester, keyKinds[keys]("browser"))
		monitor := s.joinWith("monitor", ace.RoleMonitor, nil)
		if monitor.m.SenderID != nil || len(monitor.m.Peers) != 1 {
			t.Errorf("%s: a monitor has the Sender ID %x and %d peers", keys, monitor.m.SenderID, len(monitor.m.Peers))
		}
		hears := func() {
			t.Helper()
			outer, _, err := browser.ctx.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), nil)
			if err != nil {
				t.Fatal(err)
			}
			inner, b, err := monitor.ctx.UnprotectRequest(outer)
			if err != nil || coap.Path(inner) != "/light" {
				t.Fatalf("%s: a monitor heard nothing: %v", keys, err)
			}
			if _, err := monitor.ctx.ProtectResponse(coap.Respond(coap.Content, coap.FormatText, nil), b, group.Group); !errors.Is(err, group.ErrSilent) {
				t.Errorf("%s: a monitor answered: %v", keys, err)
			}
		}
		hears()
		other := s.joinWith("other", ace.RoleResponder, keyKinds[keys]("other"))
		if err := other.gm.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		browser.update()
		monitor.update()
		hears()
		if err := monitor.gm.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	}
	pairwise := group.Algorithms{AEAD: cose.AESCCM16_64_128, Pairwise: cose.ECDHSSHKDF256}
	if _, err := newSiteOf(t, gm.GroupConfig{Algs: pairwise}).try("monitor", ace.RoleMonitor, nil); !errors.Is(err, join.ErrRefused) {
		t.Errorf("a monitor in a pairwise-only group: %v", err)
	}
}

// Whose key does not fit the group hears so before it asks to join.
func TestKeyDoesNotFit(t *testing.T) {
	es256 := group.DefaultAlgorithms
	es256.Sign = cose.ES256
	pairwise := group.Algorithms{AEAD: cose.AESCCM16_64_128, Pairwise: cose.ECDHSSHKDF256}
	for _, tt := range []struct {
		cfg  gm.GroupConfig
		keys []string // that do not fit
	}{
		{gm.GroupConfig{}, []string{"P-256", "X25519"}},
		{gm.GroupConfig{Algs: es256}, []string{"Ed25519", "X25519"}},
		{gm.GroupConfig{Algs: pairwise}, []string{"P-256"}},
		{gm.GroupConfig{Algs: pairwise, Curve: cose.P256}, []string{"Ed25519", "X25519"}},
	} {
		for _, keys := range tt.keys {
			s := newSiteOf(t, tt.cfg)
			_, err := s.try("lamp", ace.RoleResponder, keyKinds[keys]("lamp"))
			if !errors.Is(err, join.ErrAlgorithm) {
				t.Errorf("%+v with %s: %v", tt.cfg.Algs, keys, err)
			}
		}
	}
}

// A Group Manager whose second credential the first did not endorse is not trusted
// with it, whatever it proves.
func TestUnendorsedGroupManager(t *testing.T) {
	algs := group.DefaultAlgorithms
	algs.Sign = cose.ES256
	s := newSiteOf(t, gm.GroupConfig{Algs: algs})
	other := keyOf("another Group Manager")
	s.cred = cose.NewEd25519(other).Public().CCS("gm") // what the member knows of
	if _, err := s.try("lamp", ace.RoleResponder, p256Of("lamp")); !errors.Is(err, join.ErrVerify) {
		t.Errorf("trusted: %v", err)
	}
}

// A member replaces its credential and is heard under it.
func TestUpload(t *testing.T) {
	pairwise := group.Algorithms{AEAD: cose.AESCCM16_64_128, Pairwise: cose.ECDHSSHKDF256}
	for _, cfg := range []gm.GroupConfig{{}, {Algs: pairwise}} {
		s := newSiteOf(t, cfg)
		browser := s.join("browser", ace.RoleRequester)
		lamp := s.join("lamp", ace.RoleResponder)
		key := cose.NewEd25519(keyOf("the lamp's next"))
		err := lamp.gm.Upload(t.Context(), join.UploadParams{
			Roles: ace.RoleResponder, Cred: key.Public().CCS("lamp"), Key: key, Rand: rand.Reader,
		})
		if err != nil {
			t.Fatal(err)
		}
		lamp.key, lamp.cred = key, key.Public().CCS("lamp")
		lamp.derive()
		browser.learn(lamp.m.SenderID)
		talkInAllModes(t, s, browser, lamp)
		err = lamp.gm.Upload(t.Context(), join.UploadParams{
			Roles: ace.RoleResponder, Cred: p256Of("lamp").Public().CCS("lamp"), Key: p256Of("lamp"), Rand: rand.Reader,
		})
		if !errors.Is(err, join.ErrAlgorithm) {
			t.Errorf("a key on another curve: %v", err)
		}
		err = lamp.gm.Upload(t.Context(), join.UploadParams{ // another's credential
			Roles: ace.RoleResponder, Cred: browser.cred, Key: key, Rand: rand.Reader,
		})
		if !errors.Is(err, join.ErrRefused) {
			t.Errorf("a credential of another key: %v", err)
		}
	}
}

// What a member and a stranger ask of a group.
func TestQuestions(t *testing.T) {
	s := newSite(t)
	lamp := s.join("lamp", ace.RoleResponder)
	if active, err := lamp.gm.Active(t.Context()); err != nil || !active {
		t.Errorf("active: %v %v", active, err)
	}
	if p, err := lamp.gm.Policies(t.Context()); err != nil || p.CheckInterval != 3600 || p.ExpirationDelta != 0 {
		t.Errorf("policies: %+v %v", p, err)
	}
	if cred, err := lamp.gm.GMCred(t.Context(), lamp.m, join.Trusts(s.cred), lamp.key); err != nil || !bytes.Equal(cred, s.cred) {
		t.Errorf("the Group Manager's credential: %v", err)
	}
	client, _ := s.client("verifier", ace.RoleVerifier)
	names, err := join.Names(t.Context(), client, [][]byte{lamp.m.GID, {1, 2, 3}})
	if err != nil || len(names) != 1 || names[0].Name != "hall" || names[0].Path != "/ace-group/hall" || !bytes.Equal(names[0].GID, lamp.m.GID) {
		t.Errorf("names %+v %v", names, err)
	}
	if names, err := join.Names(t.Context(), client, [][]byte{{1, 2, 3}}); err != nil || names != nil {
		t.Errorf("names of an unknown Gid %+v %v", names, err)
	}
	v := join.NewVerifier(client, "hall")
	if peers, num, err := v.Creds(t.Context(), [][]byte{lamp.m.SenderID}); err != nil || len(peers) != 1 || num != 0 {
		t.Errorf("a verifier got %d credentials: %v", len(peers), err)
	}
	if _, err := join.NewVerifier(client, "stairs").Data(t.Context()); !errors.Is(err, join.ErrRefused) {
		t.Errorf("data about another group: %v", err)
	}
}

package as_test

import (
	"bytes"
	"reflect"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// A raw public key is no confirmation that a Group Manager here can use. RFC 9200,
// Section 5.8.3.
func TestStatement005_UnsupportedKey(t *testing.T) {
	p := newSite(t).enrolled("anna", as.Policy{})
	p.denied(map[int]any{4: map[int]any{1: map[int]any{1: 1, -1: 6, -2: make([]byte, 32)}}}, ace.ErrorUnsupportedPoPKey)
	p.denied(map[int]any{4: map[int]any{}}, ace.ErrorInvalidRequest)
	p.denied(map[int]any{4: map[int]any{4: map[int]any{0: []byte{1}, 2: make([]byte, 16)}}}, ace.ErrorInvalidRequest)
}

// A client that names a profile that the Group Manager does not take part in gets no
// token. RFC 9200, Section 5.8.3.
func TestStatement006_NoCommonProfile(t *testing.T) {
	p := newSite(t).enrolled("anna", as.Policy{})
	p.denied(ace.TokenRequest{Profile: ace.ProfileParam{Profile: ace.ProfileDTLS}}, ace.ErrorIncompatibleACEProfiles)
	p.token(ace.TokenRequest{Profile: ace.ProfileParam{Profile: ace.ProfileOSCORE}})
	p.denied(ace.TokenRequest{Profile: ace.ProfileParam{Profile: 99}}, ace.ErrorIncompatibleACEProfiles)

	// Where a Group Manager takes part in both, a client gets the one that it names.
	p = newSite(t, bothProfiles).enrolled("anna", as.Policy{})
	for asked, want := range map[int]int{0: ace.ProfileOSCORE, ace.ProfileOSCORE: ace.ProfileOSCORE, ace.ProfileDTLS: ace.ProfileDTLS} {
		tok, c := p.token(ace.TokenRequest{Profile: ace.ProfileParam{Profile: asked}})
		if tok.Profile != want || c.Profile != want || (tok.Cnf.OSCORE != nil) != (want == ace.ProfileOSCORE) {
			t.Errorf("asked for %d: told %d, the token has %d", asked, tok.Profile, c.Profile)
		}
	}
}

func bothProfiles(c *as.Config) {
	c.Audiences = map[string]as.Audience{audience: {Profiles: []int{ace.ProfileOSCORE, ace.ProfileDTLS}}}
}

// A token for the DTLS profile confirms a symmetric key with an identifier of its
// own, told to the client and, encrypted, to the Group Manager. An update of rights
// names the key by its identifier, in either form, and does not lead from one profile
// to the other. RFC 9202, Sections 3.3.1 and 4.
func TestDTLSTokens(t *testing.T) {
	p := newSite(t, bothProfiles).enrolled("anna", as.Policy{})
	dtls := ace.ProfileParam{Profile: ace.ProfileDTLS}
	tok, c := p.token(ace.TokenRequest{Profile: dtls, Scope: scope("hall", req)})
	key := tok.Cnf.COSEKey
	if !key.Symmetric() || len(key.K) != 16 || !reflect.DeepEqual(tok.Cnf, c.CNF) {
		t.Fatalf("answer %+v, token %+v", tok.Cnf, c.CNF)
	}
	other, _ := p.token(ace.TokenRequest{Profile: dtls})
	if bytes.Equal(other.Cnf.COSEKey.K, key.K) || bytes.Equal(other.Cnf.COSEKey.KID, key.KID) {
		t.Error("two tokens have one key")
	}
	for name, cnf := range map[string]*ace.Confirmation{"kid": {KID: key.KID}, "COSE_Key": {COSEKey: ace.SymmetricKey(key.KID, nil)}} {
		up, c := p.token(ace.TokenRequest{Scope: scope("attic", req), ReqCnf: cnf})
		if up.Cnf != nil || !bytes.Equal(c.CNF.KID, key.KID) || c.CNF.COSEKey != nil || c.Profile != ace.ProfileDTLS {
			t.Errorf("%s: answer %+v, token %+v, profile %d", name, up, c.CNF, c.Profile)
		}
	}
	p.denied(ace.TokenRequest{ReqCnf: &ace.Confirmation{KID: key.KID}, Profile: ace.ProfileParam{Profile: ace.ProfileOSCORE}}, ace.ErrorInvalidRequest)
	p.denied(ace.TokenRequest{ReqCnf: &ace.Confirmation{COSEKey: key}}, ace.ErrorUnsupportedPoPKey) // a client brings no key
	if _, c := p.token(ace.TokenRequest{GrantType: ptr(uint(ace.GrantRefreshToken)), Refresh: tok.Refresh}); c.Profile != ace.ProfileDTLS || !bytes.Equal(c.CNF.KID, key.KID) {
		t.Errorf("refreshed: %+v", c)
	}
}

// The first token's answer has cnf with OSCORE input material, with an explicit
// salt, and the token has the same. RFC 9203, Section 3.2.
func TestStatement017_ConfirmationEqualsClaim(t *testing.T) {
	p := newSite(t).enrolled("anna", as.Policy{})
	tok, c := p.token(ace.TokenRequest{})
	m := tok.Cnf.OSCORE
	if len(m.MasterSecret) != 16 || len(m.ID) == 0 || m.Salt == nil || !reflect.DeepEqual(tok.Cnf, c.CNF) {
		t.Errorf("answer %+v, token %+v", m, c.CNF.OSCORE)
	}
}

// Two clients never get the same Master Secret or the same id, nor does one get
// them twice, not even across a restart. RFC 9203, Section 3.2.
func TestStatement018_SecretsDiffer(t *testing.T) {
	s := newSite(t)
	clients := []*party{s.enrolled("anna", as.Policy{}), s.enrolled("bert", as.Policy{}), s.enrolled("carl", as.Policy{})}
	var mu sync.Mutex
	secrets, ids, tokens := map[string]bool{}, map[string]bool{}, map[string]bool{}
	const rounds, each = 3, 5
	for range rounds {
		var wg sync.WaitGroup
		for _, p := range clients {
			for range each {
				wg.Go(func() {
					m, err := p.try(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{})
					if err != nil {
						t.Error(err)
						return
					}
					tok, err := ace.Decode[ace.TokenResponse](m.Payload)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					secrets[string(tok.Cnf.OSCORE.MasterSecret)+string(tok.Cnf.OSCORE.Salt)] = true
					ids[string(tok.Cnf.OSCORE.ID)], tokens[string(tok.AccessToken)] = true, true
				})
			}
		}
		wg.Wait()
		s.start()
	}
	if want := rounds * each * len(clients); len(secrets) != want || len(ids) != want || len(tokens) != want {
		t.Errorf("%d secrets, %d ids and %d tokens of %d requests", len(secrets), len(ids), len(tokens), want)
	}
}

// Rights are updated only for the client's own input material, for the same
// audience and subject, and while it lasts. RFC 9203, Section 3.1.
func TestStatement019_UpdateOfForeignMaterial(t *testing.T) {
	s := newSite(t, func(c *as.Config) {
		c.GMs["second.example"] = ace.TokenKey{KID: []byte("2"), Key: cose.Secret("another key, 16B")}
		c.Audience = audience
	})
	anna, bert := s.enrolled("anna", as.Policy{}), s.enrolled("bert", as.Policy{})
	tok, _ := anna.token(ace.TokenRequest{Scope: scope("hall", req)})
	anna.expect(anna.register(hallLamp, 7, "lamp"), coap.Created)
	update := ace.TokenRequest{Scope: scope("attic", req), ReqCnf: &ace.Confirmation{KID: tok.Cnf.OSCORE.ID}}
	bert.denied(update, ace.ErrorInvalidRequest)

	other := update
	other.ClientID = hallLamp
	anna.denied(other, ace.ErrorInvalidRequest)
	other = update
	other.Audience = "second.example"
	anna.denied(other, ace.ErrorInvalidRequest)
	other = update
	other.ReqCnf = &ace.Confirmation{KID: []byte{0xff, 0xff}}
	anna.denied(other, ace.ErrorInvalidRequest)

	anna.token(update)
	s.clock.advance(24 * time.Hour)
	anna.denied(update, ace.ErrorInvalidRequest)

	// More have expired than one request forgets.
	for range 20 {
		tok, _ = anna.token(ace.TokenRequest{})
	}
	s.clock.advance(24 * time.Hour)
	update.ReqCnf = &ace.Confirmation{KID: tok.Cnf.OSCORE.ID}
	anna.denied(update, ace.ErrorInvalidRequest)

	// Nor does another installer of the site, for the same device.
	carl, dora := s.enrolled("carl", as.Policy{Site: "house"}), s.enrolled("dora", as.Policy{Site: "house"})
	carl.expect(carl.register(otherLamp, 7, "lamp"), coap.Created)
	tok, _ = carl.token(ace.TokenRequest{ClientID: otherLamp})
	update = ace.TokenRequest{ClientID: otherLamp, ReqCnf: &ace.Confirmation{KID: tok.Cnf.OSCORE.ID}}
	dora.denied(update, ace.ErrorInvalidRequest)
	carl.token(update)
}

// An update's answer has no cnf; its token has cnf = {3: id}. RFC 9203, Section 3.2.
func TestStatement020_UpdateOfRights(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	first, c1 := p.token(ace.TokenRequest{Scope: scope("hall", req)})
	id := first.Cnf.OSCORE.ID
	for range 2 { // the second extends what the first replaced
		s.clock.advance(20 * time.Hour)
		tok, c2 := p.token(ace.TokenRequest{Scope: scope("hall", req, "attic", req), ReqCnf: &ace.Confirmation{KID: id}})
		if tok.Cnf != nil || c2.CNF == nil || c2.CNF.OSCORE != nil || !bytes.Equal(c2.CNF.KID, id) {
			t.Errorf("answer %+v, claims %+v", tok, c2)
		}
		if c2.SUB != c1.SUB || bytes.Equal(c2.CTI, c1.CTI) || describe(c2.Scope.Scope) != "hall:2 attic:2" {
			t.Errorf("claims %+v", c2)
		}
	}
}

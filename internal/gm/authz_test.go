package gm

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// post posts a token transfer unprotected.
func (w *world) post(payload []byte) *coap.Message {
	return w.s.serve(w.t.Context(), &coap.Request{Message: request(coap.POST, "/authz-info", ace.FormatACE, payload)})
}

func (w *world) upload(c *ace.CWTClaims) *coap.Message {
	return w.post(ace.Encode(ace.AuthzInfoRequest{
		AccessToken: w.seal(c).AccessToken, Nonce1: draw(w.rand, 8), ID1: []byte{7}, SignInfo: true, ECDHInfo: true,
	}))
}

// A token is checked in this order: garbage is 4.00, another Authorization Server's
// key or name 4.01, expired 4.01, another audience 4.03, a scope that is not
// understood 4.00. RFC 9200, Section 5.10.1.1.
func TestStatement030_VerificationOrder(t *testing.T) {
	w := newWorld(t)
	good := func() *ace.CWTClaims { return w.claims("dev", scope(testGroup, both)) }
	edit := func(f func(*ace.CWTClaims)) *coap.Message { c := good(); f(c); return w.upload(c) }

	wantCode(t, "good", w.upload(good()), coap.Created)
	wantCode(t, "garbage", w.post([]byte{0xff, 0x00}), coap.BadRequest)
	wantCode(t, "empty", w.post(nil), coap.BadRequest)
	wantCode(t, "no token", w.post([]byte{0xa0}), coap.BadRequest)
	wantCode(t, "token is garbage", w.post(ace.Encode(ace.AuthzInfoRequest{AccessToken: []byte("x")})), coap.BadRequest)
	wantCode(t, "another issuer", edit(func(c *ace.CWTClaims) { c.ISS = "evil" }), coap.Unauthorized)
	wantCode(t, "expired", edit(func(c *ace.CWTClaims) { c.EXP = uint64(w.now.Unix()) }), coap.Unauthorized)
	wantCode(t, "without exp", edit(func(c *ace.CWTClaims) { c.EXP = 0 }), coap.Unauthorized)
	wantCode(t, "not yet valid", edit(func(c *ace.CWTClaims) { c.NBF = uint64(w.now.Unix()) + 9 }), coap.Unauthorized)
	wantCode(t, "another audience", edit(func(c *ace.CWTClaims) { c.AUD = "lock" }), coap.Forbidden)
	wantCode(t, "expired for another audience", edit(func(c *ace.CWTClaims) { c.AUD, c.EXP = "lock", 1 }), coap.Unauthorized)
	wantCode(t, "unknown scope", edit(func(c *ace.CWTClaims) { c.Scope.Scope = []byte{0x01} }), coap.BadRequest)
	wantCode(t, "unknown roles", edit(func(c *ace.CWTClaims) { c.Scope.Scope = ace.EncodeScope([]ace.ScopeEntry{scope("hall", 64)}) }), coap.BadRequest)
	wantCode(t, "no scope", edit(func(c *ace.CWTClaims) { c.Scope.Scope = []byte{} }), coap.BadRequest)

	w.cfg.TokenKey.Key = draw(w.rand, ace.TokenKeySize) // from here on w seals with another key than w.s has
	wantCode(t, "another key", w.upload(good()), coap.Unauthorized)
}

// A token with a tagged scope claim is accepted like one without, and grants the
// same. RFC 9594, Section 7.
func TestStatement016_ExtendedScope(t *testing.T) {
	w := newWorld(t)
	for _, extended := range []bool{false, true} {
		c := w.claims(fmt.Sprint("dev ", extended), scope(testGroup, both))
		c.Scope.Extended = extended
		_, gm := w.transfer(w.seal(c))
		wantHints(t, "its own group", w.call(gm, coap.POST, "/ace-group/hall", -1, nil))
		wantCode(t, "another", w.call(gm, coap.POST, "/ace-group/attic", -1, nil), coap.Forbidden)
	}
	c := w.claims("dev", scope(testGroup, both))
	var claims map[int64]any
	if err := cbor.Unmarshal(ace.Encode(c), &claims); err != nil {
		t.Fatal(err)
	}
	claims[ace.ClaimScope] = cbor.Tag{Number: ace.TagExtendedScope + 1, Content: c.Scope.Scope}
	token, err := sealRaw(w, cbor.MustMarshal(claims))
	if err != nil {
		t.Fatal(err)
	}
	body := ace.AuthzInfoRequest{AccessToken: token, Nonce1: draw(w.rand, 8), ID1: []byte{1}}
	wantCode(t, "a tag of other semantics", w.post(ace.Encode(body)), coap.BadRequest)
}

// A token with an unprotected header parameter is refused, though nothing else is
// wrong with it. RFC 9770, Section 11.1.
func TestStatement028_NothingUnprotected(t *testing.T) {
	w := newWorld(t)
	c := w.claims("dev", scope(testGroup, both))
	token := w.seal(c).AccessToken
	var parts []cbor.RawMessage
	if err := cbor.Unmarshal(token[3:], &parts); err != nil || len(parts) != 3 { // behind the tags 61 and 16
		t.Fatal(parts, err)
	}
	post := func(unprotected []byte) *coap.Message {
		parts[1] = unprotected
		changed := append(bytes.Clone(token[:3]), cbor.MustMarshal(parts)...)
		return w.post(ace.Encode(ace.AuthzInfoRequest{AccessToken: changed, Nonce1: draw(w.rand, 8), ID1: []byte{1}}))
	}
	wantCode(t, "an unprotected kid", post([]byte{0xa1, 0x04, 0x41, 0x01}), coap.BadRequest)
	wantCode(t, "an unknown parameter", post([]byte{0xa1, 0x19, 0x10, 0x00, 0x01}), coap.BadRequest)
	wantCode(t, "the token as it was", post([]byte{0xa0}), coap.Created)
}

// GET, PUT, DELETE and whatever else on /authz-info are refused. RFC 9200, Section
// 5.10.1.2.
func TestStatement031_OtherMethods(t *testing.T) {
	w := newWorld(t)
	for _, method := range []coap.Code{coap.GET, coap.PUT, coap.DELETE, coap.FETCH, coap.PATCH} {
		req := &coap.Request{Message: request(method, "/authz-info", ace.FormatACE, nil)}
		wantCode(t, method.String(), w.s.serve(t.Context(), req), coap.MethodNotAllowed)
	}
}

// A transfer for the OSCORE profile without nonce1 or ace_client_recipientid, or with
// one out of bounds, is 4.00. RFC 9203, Section 4.2.
func TestStatement032_MissingNonceOrID(t *testing.T) {
	w := newWorld(t)
	token := w.seal(w.claims("dev", scope(testGroup, both))).AccessToken
	n1 := draw(w.rand, 8)
	for what, body := range map[string]ace.AuthzInfoRequest{
		"no nonce1":    {AccessToken: token, ID1: []byte{1}},
		"short nonce1": {AccessToken: token, Nonce1: n1[:7], ID1: []byte{1}},
		"no ID1":       {AccessToken: token, Nonce1: n1},
		"long ID1":     {AccessToken: token, Nonce1: n1, ID1: make([]byte, 8)},
	} {
		wantCode(t, what, w.post(ace.Encode(body)), coap.BadRequest)
	}
	wantCode(t, "empty ID1", w.post(ace.Encode(ace.AuthzInfoRequest{AccessToken: token, Nonce1: n1, ID1: []byte{}})), coap.Created)
	req := &coap.Request{Message: request(coap.POST, "/authz-info", ace.FormatCWT, token)}
	wantCode(t, "bare token", w.s.serve(t.Context(), req), coap.BadRequest)
}

// A token whose input material has an unknown field is 4.00: keys derived without it
// would differ. RFC 9203, Section 4.2.
func TestStatement033_UnknownOSCField(t *testing.T) {
	w := newWorld(t)
	c := w.claims("dev", scope(testGroup, both))
	var claims map[int64]any
	if err := cbor.Unmarshal(ace.Encode(c), &claims); err != nil {
		t.Fatal(err)
	}
	osc := map[int64]any{0: []byte{1}, 2: draw(w.rand, 16), 7: []byte{1}}
	claims[ace.ClaimCNF] = map[int64]any{ace.MethodOSC: osc}
	seal := func() *coap.Message {
		token, err := sealRaw(w, cbor.MustMarshal(claims))
		if err != nil {
			t.Fatal(err)
		}
		return w.post(ace.Encode(ace.AuthzInfoRequest{AccessToken: token, Nonce1: draw(w.rand, 8), ID1: []byte{1}}))
	}
	wantCode(t, "unknown field", seal(), coap.BadRequest)
	delete(osc, 7)
	wantCode(t, "without it", seal(), coap.Created)
	delete(osc, 2)
	wantCode(t, "without ms", seal(), coap.BadRequest)
}

// ID2 never is the client's ID1, nor another association's; not even when the
// randomness that it is drawn from repeats ID1. RFC 9203, Section 4.2.
func TestStatement034_RecipientIDsDiffer(t *testing.T) {
	w := newWorld(t)
	tok := w.seal(w.claims("dev", scope(testGroup, both)))
	id1 := []byte{9, 9, 9}
	w.s.rand = io.MultiReader(bytes.NewReader(id1), w.rand)
	err := w.store.View(t.Context(), func(tx store.Tx) error {
		id2, err := w.s.newRecipientID(tx, id1)
		if err == nil && bytes.Equal(id1, id2) {
			t.Errorf("ID2 is ID1, %x", id2)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.s.rand = w.rand
	seen := map[string]bool{}
	for range 20 {
		a, err := join.Transfer(t.Context(), plain{w}, gmAddr, tok, []byte{1, 2, 3}, w.rand)
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(a.SenderID)] {
			t.Errorf("Recipient ID %x given out twice", a.SenderID)
		}
		seen[string(a.SenderID)] = true
	}
}

// Posting the same token again yields another association, which ends the one before
// as soon as it is used: a replay by somebody else must not end what the token's
// owner uses. RFC 9203, Section 6.
func TestStatement036_Repost(t *testing.T) {
	w := newWorld(t)
	tok := w.seal(w.claims("dev", scope(testGroup, both)))
	first, gm1 := w.transfer(tok)
	use := func(gm *direct) *coap.Message {
		a, err := w.s.association(t.Context(), gm.id)
		if err != nil {
			t.Fatal(err)
		}
		if a != nil {
			if err := w.s.supersede(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		return w.call(gm, coap.FETCH, "/ace-group", ace.FormatACEGroupcomm, ace.Encode(ace.GroupsRequest{GIDs: [][]byte{{1}}}))
	}
	for range 3 * maxPerToken {
		w.transfer(tok)
	}
	wantCode(t, "the first, after replays", use(gm1), coap.Content)
	second, gm2 := w.transfer(tok)
	if bytes.Equal(first.MasterSalt, second.MasterSalt) {
		t.Error("the second association has the first's Master Salt")
	}
	wantCode(t, "the second", use(gm2), coap.Content)
	wantCode(t, "the first, when the second was used", use(gm1), coap.Unauthorized)
}

// An update of rights inside the association needs the id of its input material:
// with another one it is 4.01 and the old token is kept. Else the answer is 2.01
// without payload, and the new token counts. RFC 9203, Section 4.2.
func TestStatement037_UpdateOfRights(t *testing.T) {
	w := newWorld(t)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: "stairs"}); err != nil {
		t.Fatal(err)
	}
	c := w.claims("dev", scope(testGroup, both))
	_, gm := w.transfer(w.seal(c))
	update := func(kid []byte, subject string) *coap.Message {
		u := w.claims(subject, scope("stairs", both))
		u.CNF = &ace.Confirmation{KID: kid}
		return w.call(gm, coap.POST, "/authz-info", ace.FormatACE, ace.Encode(ace.AuthzInfoRequest{AccessToken: w.seal(u).AccessToken}))
	}
	wantCode(t, "another id", update([]byte("other"), "dev"), coap.Unauthorized)
	wantCode(t, "another subject", update(c.CNF.OSCORE.ID, "evil"), coap.Unauthorized)
	wantHints(t, "the old token is kept", w.call(gm, coap.POST, "/ace-group/hall", -1, nil))
	resp := update(c.CNF.OSCORE.ID, "dev")
	wantCode(t, "update", resp, coap.Created)
	if len(resp.Payload) != 0 {
		t.Errorf("the answer has a payload: %x", resp.Payload)
	}
	wantHints(t, "the new token counts", w.call(gm, coap.POST, "/ace-group/stairs", -1, nil))
	wantCode(t, "the old one no longer", w.call(gm, coap.POST, "/ace-group/hall", -1, nil), coap.Forbidden)
	older := w.claims("dev", scope(testGroup, both))
	older.CNF, older.IAT = &ace.Confirmation{KID: c.CNF.OSCORE.ID}, older.IAT-1
	again := ace.Encode(ace.AuthzInfoRequest{AccessToken: w.seal(older).AccessToken})
	wantCode(t, "one that was issued before", w.call(gm, coap.POST, "/authz-info", ace.FormatACE, again), coap.Unauthorized)
	wantCode(t, "what was taken away", w.call(gm, coap.POST, "/ace-group/hall", -1, nil), coap.Forbidden)
}

func TestTokenExpiresInUse(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	w.pass(time.Hour)
	if err := w.s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "after the sweep", w.call(a.gm, coap.GET, "/ace-group/hall/num", -1, nil), coap.Unauthorized)
	if members, err := w.s.Members(t.Context(), testGroup); err != nil || len(members) != 0 {
		t.Errorf("members %v %v, want none", members, err)
	}
}

// No error and no log line holds a secret.
func TestSecretsStayOut(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(c *Config) { c.Logger = textLogger(&log) })
	a := w.join("dev", both)
	w.restart()
	if err := a.client.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := w.group()
	if log.Len() == 0 {
		t.Fatal("nothing was logged")
	}
	for _, secret := range [][]byte{g.MasterSecret, a.m.MasterSecret, a.assoc.MasterSecret, w.cfg.TokenKey.Key, w.cfg.Key.Seed()} {
		if bytes.Contains(log.Bytes(), secret) || strings.Contains(log.String(), hex.EncodeToString(secret)) {
			t.Error("a secret stands in the log")
		}
	}
}

// 9200, Section 5.10.1: /authz-info is rate-limited, by token.
func TestTransferLimit(t *testing.T) {
	w := newWorld(t)
	tok, other := w.claims("dev", scope(testGroup, both)), w.claims("other", scope(testGroup, both))
	for range maxTransfers {
		wantCode(t, "within the limit", w.upload(tok), coap.Created)
	}
	wantCode(t, "beyond it", w.upload(tok), coap.TooManyRequests)
	wantCode(t, "another token", w.upload(other), coap.Created)
	w.pass(limitWindow)
	wantCode(t, "a minute later", w.upload(tok), coap.Created)
}

func TestExpiredAssociationsAreForgotten(t *testing.T) {
	w := newWorld(t)
	w.join("dev", both)
	w.pass(2 * time.Hour)
	if err := w.s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := w.store.View(t.Context(), func(tx store.Tx) error {
		for _, prefix := range []string{"a/", "t/", "u/", "q/", "x/", "m/", "s/", "k/", "r/p/", "r/l/"} {
			if err := tx.Scan(prefix, func(key string, _ []byte) bool {
				t.Errorf("%s is still there", key)
				return true
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

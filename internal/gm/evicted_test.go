package gm

import (
	"errors"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// tryJoin transfers a token and joins over the association that comes of it.
func (w *world) tryJoin(n *node, tok *ace.TokenResponse) error {
	w.t.Helper()
	assoc, gm := w.transfer(tok)
	p := w.self(n, both, assoc.NS)
	p.Info = assoc.Info()
	_, _, err := join.Self(w.t.Context(), gm, p)
	return err
}

func wantEvicted(t *testing.T, what string, err error) {
	t.Helper()
	var refusal *join.GMError
	if !errors.As(err, &refusal) || refusal.Code != coap.Forbidden || refusal.ID != ace.ErrorTerminated {
		t.Errorf("%s: %v", what, err)
	}
}

// Whoever was evicted cannot come back with what it had at the time: neither over its
// association, nor with its token once more, nor with one that it has kept. One that
// was issued since is good. RFC 9594, Sections 5 and 9.
func TestEvictedStaysOut(t *testing.T) {
	w := newWorld(t)
	dev := w.node("dev")
	first := w.seal(w.claims("dev", scope(testGroup, both|ace.RoleVerifier)))
	assoc, gm := w.transfer(first)
	self := func(ns []byte, info join.Info) error {
		p := w.self(dev, both, ns)
		p.Info = info
		_, _, err := join.Self(t.Context(), gm, p)
		return err
	}
	if err := self(assoc.NS, assoc.Info()); err != nil {
		t.Fatal(err)
	}
	w.join("other", both)
	hoarded := w.seal(w.claims("dev", scope(testGroup, both)))
	w.pass(time.Second)
	if err := w.s.Evict(t.Context(), testGroup, "n0"); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		wantEvicted(t, when+": its association", self(nil, assoc.Info()))
		wantProblem(t, when+": the challenge for a proof", w.call(gm, coap.POST, "/ace-group/hall", -1, nil), coap.Forbidden, ace.ErrorTerminated)
		wantEvicted(t, when+": its token", w.tryJoin(dev, first))
		_, gm = w.transfer(first) // which has taken the place of the former
		wantEvicted(t, when+": a token that was kept", w.tryJoin(dev, hoarded))
		wantProblem(t, when+": keys", w.call(gm, coap.GET, "/ace-group/hall", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
		wantProblem(t, when+": as a verifier", w.call(gm, coap.GET, "/ace-group/hall/verif-data", -1, nil), coap.Forbidden, ace.ErrorVerifiersOnly)
		wantCode(t, when+": credentials", w.call(gm, coap.GET, "/ace-group/hall/creds", -1, nil), coap.Forbidden)
	}
	check("at once")
	w.restart()
	check("after a restart")
	num := w.group().Num
	if err := w.tryJoin(dev, w.seal(w.claims("dev", scope(testGroup, both)))); err != nil {
		t.Fatalf("a new token: %v", err)
	}
	wantProblem(t, "with the old token, in the name of who is back", w.call(gm, coap.GET, "/ace-group/hall", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
	if len(w.members()) != 2 || w.group().Num != num {
		t.Errorf("%+v, version %d", w.members(), w.group().Num)
	}
}

// In the second of the eviction tokens that the Group Manager knew are told from new
// ones; a clock that was set back brings no old one to life.
func TestEvictedByTheClock(t *testing.T) {
	w := newWorld(t)
	dev := w.node("dev")
	w.joinAs(dev, both)
	used := w.seal(w.claims("dev", scope(testGroup, both)))
	w.transfer(used)
	if err := w.s.Evict(t.Context(), testGroup, "n0"); err != nil {
		t.Fatal(err)
	}
	wantEvicted(t, "known", w.tryJoin(dev, used))
	if err := w.tryJoin(dev, w.seal(w.claims("dev", scope(testGroup, both)))); err != nil {
		t.Errorf("issued in the same second, by who knows of the eviction: %v", err)
	}
	kept := w.seal(w.claims("dev", scope(testGroup, both)))
	w.pass(time.Second)
	if err := w.s.Evict(t.Context(), testGroup, "n1"); err != nil {
		t.Fatal(err)
	}
	w.pass(-time.Hour)
	w.joinAs(w.node("other"), both)
	if err := w.s.Evict(t.Context(), testGroup, "n2"); err != nil {
		t.Fatal(err)
	}
	wantEvicted(t, "known", w.tryJoin(dev, used))
	wantEvicted(t, "kept", w.tryJoin(dev, kept))
}

// Somebody who left, who was evicted as the last token expired, or whose rights were
// reduced comes back as far as the tokens go.
func TestOthersComeBack(t *testing.T) {
	w := newWorld(t)
	dev := w.node("dev")
	tok := w.seal(w.claims("dev", scope(testGroup, both)))
	for range 2 {
		if err := w.tryJoin(dev, tok); err != nil {
			t.Fatal(err)
		}
		_, gm := w.transfer(tok)
		node := w.members()[0].Node
		wantCode(t, "leaving", w.call(gm, coap.DELETE, "/ace-group/hall/nodes/"+node, -1, nil), coap.Deleted)
	}
	a := w.join("late", both)
	w.pass(time.Hour)
	if err := w.s.Sweep(t.Context()); err != nil || len(w.members()) != 0 {
		t.Fatal(err, w.members())
	}
	if err := w.tryJoin(a.node, w.seal(w.claims("late", scope(testGroup, both)))); err != nil {
		t.Error(err)
	}
}

// The group's end takes the record with it.
func TestEvictionForgottenWithTheGroup(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	w.join("dev", both)
	if err := w.s.Evict(t.Context(), testGroup, "n0"); err != nil {
		t.Fatal(err)
	}
	if err := w.s.SetActive(t.Context(), testGroup, false); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "delete", w.call(boss, coap.DELETE, "/manage/hall", -1, nil), coap.Deleted)
	var left []string
	if err := w.store.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan("v/", func(key string, _ []byte) bool { left = append(left, key); return true })
	}); err != nil || len(left) != 0 {
		t.Error(err, left)
	}
}

// A person who was revoked is out with every token, also with one that is not on the
// revocation list; the devices that this person joined stay members. Once let in again
// the person is served.
func TestRevokedPersonIsOut(t *testing.T) {
	w := newWorld(t)
	ann := w.join(ace.PersonSubject("ann"), both)
	kept := w.seal(w.claims(ace.PersonSubject("ann"), scope(testGroup, both)))
	dev := w.claims("dev", scope(testGroup, both))
	dev.Actor = "ann"
	if err := w.tryJoin(w.node("dev"), w.seal(dev)); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Bar(t.Context(), []string{"ann"}); err != nil {
		t.Fatal(err)
	}
	post := func() *coap.Message {
		return w.post(ace.Encode(ace.AuthzInfoRequest{AccessToken: kept.AccessToken, Nonce1: draw(w.rand, 8), ID1: []byte{7}}))
	}
	for range 2 {
		for _, path := range []string{"/ace-group/hall", "/ace-group/hall/num", ann.m.NodePath} {
			wantCode(t, path, w.call(ann.gm, coap.GET, path, -1, nil), coap.Unauthorized)
		}
		wantCode(t, "a token", post(), coap.Unauthorized)
		w.restart()
	}
	if m := w.members(); !slices.ContainsFunc(m, func(m Member) bool { return m.Subject == "dev" }) {
		t.Errorf("%+v", m)
	}
	if err := w.s.Bar(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "let in again", post(), coap.Created)
	wantCode(t, "let in again", w.call(ann.gm, coap.GET, "/ace-group/hall/num", -1, nil), coap.Content)
}

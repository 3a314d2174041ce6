package gm

import (
	"bytes"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

func Test58And59Rejoin(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	first := a.send(a.request(both))
	r1 := wantAnswer(t, first, coap.Created)
	before := w.group()
	second := a.send(a.request(both))
	r2 := wantAnswer(t, second, coap.Changed)
	if got, want := locationPath(second), locationPath(first); got != want || want != "/ace-group/hall/nodes/n0" {
		t.Errorf("Location-Path %q, then %q", want, got)
	}
	if bytes.Equal(r1.Key.SenderID, r2.Key.SenderID) {
		t.Errorf("the same Sender ID %x again", r1.Key.SenderID)
	}
	g := w.group()
	if !g.isStale(r1.Key.SenderID) || g.isStale(r2.Key.SenderID) {
		t.Errorf("stale %x, want %x", g.current().SIDs, r1.Key.SenderID)
	}
	if g.Num != before.Num || !bytes.Equal(g.GID, before.GID) {
		t.Error("a re-join rekeyed the group")
	}
	// By a new token, as after another browser's assistance.
	b := w.applicant("dev", both)
	b.node = a.node
	third := b.send(b.request(both))
	wantAnswer(t, third, coap.Changed)
	if locationPath(third) != locationPath(first) || len(w.members()) != 1 {
		t.Errorf("the new association made another member: %v", w.members())
	}
}

func locationPath(m *coap.Message) string {
	path := ""
	for segment := range coap.Each(m, coap.OptionLocationPath) {
		path += "/" + string(segment)
	}
	return path
}

// KGO, Section 6.2: a member may leave out what it proved before.
func TestRejoinWithoutProof(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	wantAnswer(t, a.send(a.request(both)), coap.Created)
	edit := func(cred, verify []byte) *coap.Message {
		jr := a.request(both)
		jr.ClientCred, jr.ClientCredVerify = cred, verify
		return a.send(jr)
	}
	wantAnswer(t, edit([]byte{}, nil), coap.Changed)
	wantAnswer(t, edit(a.cred, nil), coap.Changed)
	wantAnswer(t, edit(a.cred, []byte{}), coap.Changed)
	wantHints(t, "another credential", edit(w.node("x").cred, nil))
	wantHints(t, "none at all", edit(nil, nil))
	wantProblem(t, "another credential with an empty proof", edit(w.node("x").cred, []byte{}), coap.BadRequest, ace.ErrorPoP)
}

func TestAssistedNeedsTheMembersOwnProof(t *testing.T) {
	w := newWorld(t)
	dev := w.node("000b57fffe401ac2")
	thumb := cose.Thumbprint(dev.cred)
	bound := func(c *ace.CWTClaims) { c.CredThumbprint, c.Actor = thumb[:], "anna" }
	a := w.applicant(dev.subject, both, bound)
	evil := a.node // the applicant's own key: what the installer's browser could bring
	wantCode(t, "another credential than the token's", a.send(a.request(both)), coap.Forbidden)
	a.node = dev
	wantAnswer(t, a.send(a.request(both)), coap.Created)
	if m := w.members(); len(m) != 1 || m[0].Obtainer != "anna" || m[0].Subject != dev.subject {
		t.Errorf("members %+v", m)
	}
	for what, f := range map[string]func(*ace.JoinRequest){
		"no proof":    func(jr *ace.JoinRequest) { jr.ClientCredVerify = nil },
		"empty":       func(jr *ace.JoinRequest) { jr.ClientCred, jr.ClientCredVerify = []byte{}, nil },
		"empty proof": func(jr *ace.JoinRequest) { jr.ClientCredVerify = []byte{} },
	} {
		jr := a.request(both)
		f(&jr)
		wantProblem(t, what, a.send(jr), coap.BadRequest, ace.ErrorPoP)
	}
	a.node = evil
	wantCode(t, "another credential for a member", a.send(a.request(both)), coap.Forbidden)
}

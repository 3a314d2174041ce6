package gm

import (
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

func locationPath(m *coap.Message) string {
	path := ""
	for segment := range coap.Each(m, coap.OptionLocationPath) {
		path += "/" + string(segment)
	}
	return path
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

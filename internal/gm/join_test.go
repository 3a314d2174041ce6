package gm

import (
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// applicant is a node with a token that has not joined yet.
type applicant struct {
	*node
	w     *world
	assoc *join.Association
	gm    *direct
}

func (w *world) applicant(subject string, granted ace.Role, edits ...func(*ace.CWTClaims)) *applicant {
	w.t.Helper()
	c := w.claims(subject, scope(testGroup, granted))
	for _, edit := range edits {
		edit(c)
	}
	assoc, gm := w.transfer(w.seal(c))
	return &applicant{w.node(subject), w, assoc, gm}
}

// request is a good Join Request.
func (a *applicant) request(roles ace.Role) ace.JoinRequest {
	a.w.t.Helper()
	if !roles.NeedsCredential() {
		return join.NewOffer(testGroup, roles, nil, a.w.rand).Request(nil, true)
	}
	offer := join.NewOffer(testGroup, roles, a.cred, a.w.rand)
	proof, err := offer.ProveWith(a.signer(), a.assoc.NS, a.assoc.Info().DHCred(testGroup))
	if err != nil {
		a.w.t.Fatal(err)
	}
	return offer.Request(proof, true)
}

// send posts a Join Request and returns the bare answer.
func (a *applicant) send(jr any) *coap.Message {
	a.w.t.Helper()
	return a.w.call(a.gm, coap.POST, "/ace-group/hall", ace.FormatACEGroupcomm, ace.Encode(jr))
}

// wantAnswer checks for a success and decodes it.
func wantAnswer(t testing.TB, m *coap.Message, code coap.Code) *ace.JoinResponse {
	t.Helper()
	wantCode(t, "join", m, code)
	r, err := ace.Decode[ace.JoinResponse](m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func labels(t testing.TB, payload []byte) map[int64]cbor.RawMessage {
	t.Helper()
	var m map[int64]cbor.RawMessage
	if err := cbor.Unmarshal(payload, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func (w *world) members() []Member {
	w.t.Helper()
	m, err := w.s.Members(w.t.Context(), testGroup)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func TestControlURI(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.ControlURI = func(subject, uri string) bool { return subject == "dev" && uri == "coap://127.1.0.1/n" }
	})
	kept := func() (uri string) {
		_ = w.store.View(t.Context(), func(tx store.Tx) error {
			m, err := loadMember(tx, testGroup, "dev")
			uri = m.ControlURI
			return err
		})
		return uri
	}
	a := w.applicant("dev", both)
	jr := a.request(both)
	jr.ControlURI = "coap://evil/n"
	wantAnswer(t, a.send(jr), coap.Created)
	if got := kept(); got != "" {
		t.Errorf("kept %q", got)
	}
	jr = a.request(both)
	jr.ControlURI = "coap://127.1.0.1/n"
	wantAnswer(t, a.send(jr), coap.Changed)
	if got := kept(); got != jr.ControlURI {
		t.Errorf("kept %q", got)
	}
}

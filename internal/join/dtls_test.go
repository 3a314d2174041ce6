package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// session is a DTLS session with a Group Manager that answers as told.
type session struct {
	*answers
	err    error // of the next call
	export []byte
	ended  int
	done   chan struct{}
}

// Call implements [coap.Caller].
func (s *session) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.answers.Call(ctx, req)
}

// Observe implements [coap.Watcher].
func (s *session) Observe(context.Context, *coap.Message, func(*coap.Message, error)) (coap.Observation, error) {
	return nil, s.err
}

// Export implements [coap.Session].
func (s *session) Export(label string, n int) ([]byte, error) {
	if label != "EXPORTER-ACE-Pop-Input-coap-group-oscore-app" || n != 32 {
		return nil, fmt.Errorf("export of %q, %d bytes", label, n)
	}
	return s.export, nil
}

// End implements [coap.Session].
func (s *session) End() {
	if s.ended++; s.ended == 1 {
		close(s.done)
	}
}

// Done implements [coap.Session].
func (s *session) Done() <-chan struct{} { return s.done }

// dialer hands out sessions and notes with what identity.
type dialer struct {
	t          *testing.T
	sessions   []*session
	identities []string
	err        error
}

func (d *dialer) dial(_ context.Context, identity, key []byte) (coap.Session, error) {
	if d.err != nil {
		return nil, d.err
	}
	if string(key) != "sixteen byte key" {
		d.t.Errorf("key %q", key)
	}
	s := &session{answers: give(d.t, aceMessage(coap.Content, map[int]int{}), aceMessage(coap.Content, map[int]int{})), export: []byte("exported"), done: make(chan struct{})}
	d.sessions, d.identities = append(d.sessions, s), append(d.identities, string(identity))
	return s, nil
}

func pskToken() *ace.TokenResponse {
	return &ace.TokenResponse{
		AccessToken: []byte("token"), ExpiresIn: 60, Profile: ace.ProfileDTLS,
		Cnf: &ace.Confirmation{COSEKey: ace.SymmetricKey([]byte("kid"), []byte("sixteen byte key"))},
	}
}

func TestDTLSTransfer(t *testing.T) {
	d := &dialer{t: t}
	c, err := DTLS{Dial: d.dial, Rand: seeded("n")}.Transfer(t.Context(), pskToken())
	if err != nil || string(c.NS) != "exported" || d.identities[0] != "token" {
		t.Errorf("as psk_identity: %+v %v %q", c, err, d.identities)
	}
	gm := give(t, aceMessage(coap.Created, ace.AuthzInfoResponse{KDCChallenge: []byte("n_s from gm"), SignInfo: []ace.SignInfo{{Groups: ace.GroupNames{"hall"}}}}))
	c, err = DTLS{Dial: d.dial, Exchange: gm, GM: gmAddr, Rand: seeded("n")}.Transfer(t.Context(), pskToken())
	if err != nil || string(c.NS) != "n_s from gm" || len(c.Info.Sign) != 1 || d.identities[1] != string(ace.PSKIdentity([]byte("kid"))) {
		t.Errorf("uploaded: %+v %v %q", c, err, d.identities)
	}
	tok := pskToken() // rs_cnf names the key where there is one
	tok.RSCnf = &ace.Confirmation{COSEKey: ace.SymmetricKey([]byte("theirs"), nil)}
	gm = give(t, aceMessage(coap.Created, ace.AuthzInfoResponse{}))
	if _, err := (DTLS{Dial: d.dial, Exchange: gm, GM: gmAddr, Rand: seeded("n")}).Transfer(t.Context(), tok); err != nil || d.identities[2] != string(ace.PSKIdentity([]byte("theirs"))) {
		t.Errorf("with rs_cnf: %v %q", err, d.identities)
	}
}

func TestDTLSTransferRefuses(t *testing.T) {
	d := &dialer{t: t}
	for what, edit := range map[string]func(*ace.TokenResponse){
		"no cnf":       func(r *ace.TokenResponse) { r.Cnf = nil },
		"OSCORE's":     func(r *ace.TokenResponse) { r.Cnf = goodToken().Cnf },
		"no key":       func(r *ace.TokenResponse) { r.Cnf.COSEKey.K = nil },
		"a short key":  func(r *ace.TokenResponse) { r.Cnf.COSEKey.K = r.Cnf.COSEKey.K[:15] },
		"a long key":   func(r *ace.TokenResponse) { r.Cnf.COSEKey.K = bytes.Repeat([]byte{1}, 65) },
		"no kid":       func(r *ace.TokenResponse) { r.Cnf.COSEKey.KID = nil },
		"another type": func(r *ace.TokenResponse) { r.Cnf.COSEKey.KTY = 2 },
		"bad scope":    func(r *ace.TokenResponse) { r.Scope = []byte{0xff} },
	} {
		tok := pskToken()
		edit(tok)
		if _, err := (DTLS{Dial: d.dial, Rand: seeded("n")}).Transfer(t.Context(), tok); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", what, err)
		} else if strings.Contains(err.Error(), "sixteen") {
			t.Errorf("%s: the key is in %q", what, err)
		}
	}
	if len(d.sessions) != 0 {
		t.Error("it dialled")
	}
	d.err = coap.ErrIdentity
	if _, err := (DTLS{Dial: d.dial, Rand: seeded("n")}).Transfer(t.Context(), pskToken()); !errors.Is(err, ErrNoToken) {
		t.Errorf("an identity that is refused: %v", err)
	}
}

// A session that is over, or in which nobody answers, is replaced at the next call,
// under the identifier of the key.
func TestDTLSComesBack(t *testing.T) {
	d := &dialer{t: t}
	c, err := DTLS{Dial: d.dial, Rand: seeded("n")}.Transfer(t.Context(), pskToken())
	if err != nil {
		t.Fatal(err)
	}
	call := func() error {
		_, err := c.Call(t.Context(), coap.NewRequest(coap.GET, "/num", nil))
		return err
	}
	for i, failure := range []error{coap.ErrTimeout, coap.ErrSession, fmt.Errorf("asking: %w: %w", coap.ErrTimeout, context.DeadlineExceeded)} {
		s := d.sessions[i]
		if err := call(); err != nil || len(d.sessions) != i+1 {
			t.Errorf("session %d: %v", i, err)
		}
		s.err = failure
		if err := call(); !errors.Is(err, failure) || s.ended != 1 {
			t.Errorf("%v: %v, ended %d times", failure, err, s.ended)
		}
		if err := call(); err != nil || len(d.sessions) != i+2 || d.identities[i+1] != string(ace.PSKIdentity([]byte("kid"))) {
			t.Errorf("after %v: %v, identities %q", failure, err, d.identities)
		}
	}
	last := d.sessions[3]
	last.err = errors.New("this request only")
	if err := call(); err == nil || last.ended != 0 {
		t.Errorf("another failure: %v, ended %d times", err, last.ended)
	}
	last.err = nil
	last.End()
	if err := call(); err != nil || len(d.sessions) != 5 {
		t.Errorf("after the end: %v", err)
	}
	d.sessions[4].End()
	d.err = coap.ErrIdentity
	if err := call(); !errors.Is(err, ErrNoToken) {
		t.Errorf("when the token is gone: %v", err)
	}
}

package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

const annCode, bobCode = "ann-ann-ann-ann-ann-ann", "bob-bob-bob-bob-bob-bob"

func (s *site) signedIn(t *testing.T, code string) (string, *endpoint.WS) {
	t.Helper()
	token, err := endpoint.SignIn(t.Context(), s.web.URL, code)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := endpoint.DialExplained(t.Context(), s.web.URL, endpoint.WSOptions{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	return token, ws
}

// ended waits for the end of a connection.
func ended(t *testing.T, ws *endpoint.WS) {
	t.Helper()
	select {
	case <-ws.Done():
	case <-time.After(3 * time.Second):
		t.Error("the connection goes on")
	}
}

// TestRevoke: a person who is revoked loses the open connection and the session
// at once and is told why, at every door; another one notices nothing.
func TestRevoke(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Access = []Access{access(annCode), access(bobCode)} })
	lamp := device(t, endpoint.UDPOptions{}, "127.0.0.1:0", func(context.Context, *coap.Request) *coap.Message {
		return coap.Respond(coap.Content, 0, nil)
	})
	annToken, ann := s.signedIn(t, annCode)
	bobToken, bob := s.signedIn(t, bobCode)
	get := coap.NewRequest(coap.GET, "/", nil)
	for _, ws := range []*endpoint.WS{ann, bob} {
		if _, err := ws.Exchange(t.Context(), lamp, get); err != nil {
			t.Fatal(err)
		}
	}
	gone := access(annCode)
	gone.Revoked = true
	s.SetAccess([]Access{gone, access(bobCode)})
	ended(t, ann)
	if _, err := ann.Exchange(t.Context(), lamp, get); !errors.Is(err, coap.ErrLink) {
		t.Error("something still goes through:", err)
	}
	_, err := endpoint.DialExplained(t.Context(), s.web.URL, endpoint.WSOptions{Token: annToken})
	if !errors.Is(err, endpoint.ErrRevoked) || !errors.Is(err, endpoint.ErrSignedOut) || !errors.Is(err, coap.ErrRevoked) {
		t.Error("dialing:", err)
	}
	if _, err := endpoint.SignIn(t.Context(), s.web.URL, annCode); !errors.Is(err, endpoint.ErrRevoked) {
		t.Error("signing in:", err)
	}
	if state, err := endpoint.SessionState(t.Context(), s.web.URL, annToken); err != nil || state.SignedIn || !state.Revoked {
		t.Error("the session:", state, err)
	}
	if _, err := endpoint.SignIn(t.Context(), s.web.URL, "eve-eve-eve-eve-eve-eve"); !errors.Is(err, endpoint.ErrAccessCode) || errors.Is(err, endpoint.ErrRevoked) {
		t.Error("a stranger is told of a revocation:", err)
	}
	if state, err := endpoint.SessionState(t.Context(), s.web.URL, "x"+annToken[1:]); err != nil || state.Revoked {
		t.Error("a forged session is told of a revocation:", state, err)
	}
	if _, err := bob.Exchange(t.Context(), lamp, get); err != nil {
		t.Error("Bob's connection:", err)
	}
	if state, err := endpoint.SessionState(t.Context(), s.web.URL, bobToken); err != nil || !state.SignedIn || state.Revoked {
		t.Error("Bob's session:", state, err)
	}
	s.SetAccess([]Access{gone}) // taken off the list without a word
	ended(t, bob)
	if _, err := endpoint.DialExplained(t.Context(), s.web.URL, endpoint.WSOptions{Token: bobToken}); !errors.Is(err, endpoint.ErrSignedOut) || errors.Is(err, endpoint.ErrRevoked) {
		t.Error("Bob is off the list:", err)
	}
}

// TestRevokeBrowser: a page's session says why, and the cookie renews nothing.
func TestRevokeBrowser(t *testing.T) {
	s := newSite(t, nil)
	cookie := browser(t, s, "POST", "/session", s.web.URL, `{"code":"`+testCode+`"}`).Cookies()[0]
	gone := access(testCode)
	gone.Revoked = true
	s.SetAccess([]Access{gone})
	resp := browser(t, s, "GET", "/session", "", "", cookie)
	var state sessionState
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil || state != (sessionState{Revoked: true}) || len(resp.Cookies()) != 0 {
		t.Error(state, err, resp.Cookies())
	}
	for range 2 * failureBurst { // it is no wrong code, so nobody is slowed down
		resp = browser(t, s, "POST", "/session", s.web.URL, `{"code":"`+testCode+`"}`)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusForbidden || string(body) != `{"signedIn":false,"revoked":true}`+"\n" || len(resp.Cookies()) != 0 {
		t.Error(resp.Status, string(body), resp.Cookies())
	}
	h := http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}, "Origin": {s.web.URL}}
	if _, resp := s.handshake(t, h); resp.StatusCode != http.StatusUnauthorized {
		t.Error("the WebSocket opens:", resp.Status)
	}
	if _, ok := s.sessions.renew(cookie.Value); ok {
		t.Error("the session is renewed")
	}
}

// TestRevokeStuck: a client that does not hear, and one that goes on sending,
// are cut off as well.
func TestRevokeStuck(t *testing.T) {
	s := newSite(t, nil)
	requests := atomic.Int32{}
	lamp := device(t, endpoint.UDPOptions{}, "127.0.0.1:0", func(context.Context, *coap.Request) *coap.Message {
		requests.Add(1)
		return coap.Respond(coap.Content, 0, nil)
	})
	c := s.raw(t)
	c.send(to(lamp, coap.GET, "/", "1"))
	if m := c.receive(); m.Code != coap.Content || requests.Swap(0) != 1 {
		t.Fatal("before it is revoked:", m)
	}
	begun := time.Now()
	s.SetAccess(nil)
	time.Sleep(50 * time.Millisecond)
	for range 5 {
		c.send(to(lamp, coap.GET, "/", "2"))
	}
	for s.connections(t) > 0 && time.Since(begun) < 5*time.Second {
		time.Sleep(20 * time.Millisecond)
	}
	if left, took := s.connections(t), time.Since(begun); left > 0 || took > 3*lastWord {
		t.Errorf("%d connections after %s", left, took)
	}
	if requests.Load() > 0 {
		t.Error("requests after the revocation were forwarded")
	}
}

// TestAccessExpires: an invitation that nobody used opens the bridge until it
// expires, a session that began before included.
func TestAccessExpires(t *testing.T) {
	until := time.Now().Add(time.Hour)
	guest := access(annCode)
	guest.Expires = until
	s := newSessions(make([]byte, 32), []Access{guest})
	token, st := s.signIn(annCode, until.Add(-time.Second))
	if st != welcome {
		t.Fatal("before it expires:", st)
	}
	if _, st := s.check(token, until.Add(-time.Second)); st != welcome {
		t.Error("the session before:", st)
	}
	if _, st := s.check(token, until); st != stranger {
		t.Error("the session after:", st)
	}
	if _, st := s.signIn(annCode, until); st != stranger {
		t.Error("signing in after:", st)
	}
	s.set([]Access{access(annCode)})
	if _, st := s.check(token, until); st != welcome {
		t.Error("it was used in time:", st)
	}
}

// TestExpiredConnection: the end of an access ends its open connection.
func TestExpiredConnection(t *testing.T) {
	guest := access(testCode)
	guest.Expires = time.Now().Add(2 * time.Second)
	s := newSite(t, func(c *Config) { c.Access = []Access{guest} })
	ws := s.client(t)
	time.Sleep(time.Until(guest.Expires))
	select {
	case <-ws.Done():
	case <-time.After(tickInterval + time.Second):
		t.Error("the connection goes on")
	}
}

// TestUnknownCode: a code that was granted a moment ago is looked up once more.
func TestUnknownCode(t *testing.T) {
	var s *site
	asked := 0
	s = newSite(t, func(c *Config) {
		c.Unknown = func() { asked++; s.SetAccess([]Access{access(testCode), access(annCode)}) }
	})
	if _, err := endpoint.SignIn(t.Context(), s.web.URL, annCode); err != nil || asked != 1 {
		t.Error(asked, err)
	}
	if _, err := endpoint.SignIn(t.Context(), s.web.URL, bobCode); !errors.Is(err, endpoint.ErrAccessCode) || asked != 2 {
		t.Error(asked, err)
	}
	if _, err := endpoint.SignIn(t.Context(), s.web.URL, annCode); err != nil || asked != 2 {
		t.Error("a known one is looked up:", asked, err)
	}
	for range 3 * failureBurst {
		_, _ = endpoint.SignIn(t.Context(), s.web.URL, bobCode)
	}
	if asked > failureBurst+4 {
		t.Error("whoever is slowed down still has the list read:", asked)
	}
}

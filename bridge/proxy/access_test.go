package proxy

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

func TestSignInAndDial(t *testing.T) {
	s := newSite(t, nil)
	ctx := context.Background()
	if _, err := endpoint.SignIn(ctx, s.web.URL, "wrong-horse-battery-staple"); !errors.Is(err, endpoint.ErrAccessCode) {
		t.Error("a wrong code:", err)
	}
	if _, err := endpoint.DialExplained(ctx, s.web.URL, endpoint.WSOptions{}); !errors.Is(err, endpoint.ErrSignedOut) {
		t.Error("without a session:", err)
	}
	if _, err := endpoint.DialExplained(ctx, s.web.URL, endpoint.WSOptions{Token: "x" + s.token(t)}); !errors.Is(err, endpoint.ErrSignedOut) {
		t.Error("with a forged one:", err)
	}
	token := s.token(t)
	if state, err := endpoint.SessionState(ctx, s.web.URL, token); err != nil || !state.SignedIn || state.Expires < time.Now().Unix() {
		t.Error(state, err)
	}
	if state, err := endpoint.SessionState(ctx, s.web.URL, ""); err != nil || state.SignedIn {
		t.Error(state, err)
	}
	s.SetAccess([]Access{access("another-code-of-good-length")})
	if state, err := endpoint.SessionState(ctx, s.web.URL, token); err != nil || state.SignedIn {
		t.Error("the code is gone, the session is not:", state, err)
	}
	s.web.Close()
	if _, err := endpoint.DialExplained(ctx, s.web.URL, endpoint.WSOptions{Token: token}); !errors.Is(err, coap.ErrLink) {
		t.Error("the bridge is gone:", err)
	}
}

func TestSessionTokens(t *testing.T) {
	key := make([]byte, 32)
	a, b := newSessions(key, []Access{access(testCode)}), newSessions(append([]byte{1}, key[1:]...), []Access{access(testCode)})
	now := time.Now()
	token, st := a.signIn(testCode, now)
	if st != welcome {
		t.Fatal("the code is not known")
	}
	if _, st := newSessions(key, []Access{access(testCode)}).check(token, now); st != welcome {
		t.Error("a restart signs people out")
	}
	if _, st := b.check(token, now); st != stranger {
		t.Error("another key's token is valid")
	}
	if _, st := a.check(token, now.Add(sessionLifetime+time.Second)); st != stranger {
		t.Error("it never expires")
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	for i := range raw {
		raw[i] ^= 1
		if _, st := a.check(base64.RawURLEncoding.EncodeToString(raw), now); st != stranger {
			t.Errorf("byte %d may be changed", i)
		}
		raw[i] ^= 1
	}
	h := sha256.Sum256([]byte("unknown"))
	if _, st := a.check(a.token(h, now.Add(time.Hour)), now); st != stranger {
		t.Error("a token of an unknown code is valid")
	}
}

// browser does a request as a browser would.
func browser(t *testing.T, s *site, method, path, origin, body string, cookies ...*http.Cookie) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, s.web.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestBrowserSession(t *testing.T) {
	s := newSite(t, nil)
	resp := browser(t, s, "POST", "/session", s.web.URL, `{"code":"`+testCode+`"}`)
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || strings.Contains(string(body), "token") || len(resp.Cookies()) != 1 {
		t.Fatal(resp.Status, string(body))
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || !strings.HasPrefix(c.Name, "lamplighter-") {
		t.Errorf("cookie %+v", c)
	}
	open := func(origin string) int {
		h := http.Header{"Cookie": {c.Name + "=" + c.Value}}
		if origin != "" {
			h.Set("Origin", origin)
		}
		_, resp := s.handshake(t, h)
		return resp.StatusCode
	}
	if code := open(s.web.URL); code != http.StatusSwitchingProtocols {
		t.Error("own origin:", code)
	}
	for _, origin := range []string{"https://evil.example", "http://127.0.0.1:1", "null", "http://localhost.evil.example"} {
		if code := open(origin); code != http.StatusForbidden {
			t.Errorf("origin %s: %d", origin, code)
		}
		if resp := browser(t, s, "POST", "/session", origin, `{"code":"`+testCode+`"}`); resp.StatusCode != http.StatusForbidden {
			t.Errorf("origin %s may sign in: %s", origin, resp.Status)
		}
	}
	var state sessionState
	if err := json.NewDecoder(browser(t, s, "GET", "/session", "", "", c).Body).Decode(&state); err != nil || !state.SignedIn {
		t.Error(state, err)
	}
	if out := browser(t, s, "DELETE", "/session", s.web.URL, "", c); out.StatusCode != 204 || out.Cookies()[0].MaxAge >= 0 {
		t.Error("signing out:", out.Status, out.Cookies())
	}
	if r := browser(t, s, "POST", "/session", s.web.URL, "{"); r.StatusCode != http.StatusBadRequest {
		t.Error("half a body:", r.Status)
	}
	if r := browser(t, s, "POST", "/session", s.web.URL, strings.Repeat("x", 5000)); r.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error("a large body:", r.Status)
	}
	if r := browser(t, s, "PUT", "/session", s.web.URL, ""); r.StatusCode != http.StatusMethodNotAllowed {
		t.Error("PUT:", r.Status)
	}
}

func TestWrongCodesAreSlowedDown(t *testing.T) {
	s := newSite(t, nil)
	limited := false
	for i := range 20 {
		r := browser(t, s, "POST", "/session", "", `{"code":"wrong-wrong-wrong-wrong-wrong"}`)
		limited = limited || r.StatusCode == http.StatusTooManyRequests
		if limited && i < failureBurst {
			t.Fatal("a person who mistypes is locked out after", i)
		}
	}
	if !limited {
		t.Error("twenty wrong codes in a row are all tried")
	}
	if r := browser(t, s, "POST", "/session", "", `{"code":"`+testCode+`"}`); r.StatusCode != 200 {
		t.Error("the right one must still work:", r.Status)
	}
}

func TestHostsAndOrigins(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Origins = []string{"https://page.example"}; c.Hosts = []string{"bridge.example"} })
	for host, want := range map[string]int{"bridge.example": 200, "page.example": 200, "localhost": 200, "[::1]": 200, "evil.example": 421, "127.0.0.1.evil.example": 421, "": 421} {
		r := httptest.NewRequest("GET", "/session", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d", host, w.Code)
		}
	}
	r := httptest.NewRequest("POST", "/session", strings.NewReader(`{"code":"`+testCode+`"}`))
	r.Host = "bridge.example"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "https://page.example")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != "https://page.example" {
		t.Error("a page that is hosted apart:", w.Code, w.Header())
	}
	for _, bad := range []string{"page.example", "ftp://x", "https://x/y", "https://"} {
		if _, err := New(Config{Origins: []string{bad}}); err == nil {
			t.Errorf("%q is taken as an origin", bad)
		}
	}
}

func TestNoSignInOnLoopbackOnly(t *testing.T) {
	s := newSite(t, func(c *Config) { c.NoSignIn = true })
	if _, resp := s.handshake(t, http.Header{}); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Error(resp.Status)
	}
	if _, resp := s.handshake(t, http.Header{"Origin": {"https://evil.example"}}); resp.StatusCode != http.StatusForbidden {
		t.Error("any page may connect:", resp.Status)
	}
	r := httptest.NewRequest("GET", coap.WSPath, nil)
	r.Host, r.RemoteAddr = "127.0.0.1", "192.0.2.1:5"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Error("from elsewhere:", w.Code)
	}
}

func TestSubprotocol(t *testing.T) {
	s := newSite(t, nil)
	c, resp := s.handshake(t, http.Header{"Authorization": {"Bearer " + s.token(t)}, "Sec-Websocket-Protocol": {"chat"}})
	if resp.Header.Get("Sec-WebSocket-Protocol") != "" || !c.closed() {
		t.Error("another subprotocol is spoken")
	}
}

func TestPage(t *testing.T) {
	var zipped strings.Builder
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("wasm"))
	_ = z.Close()
	page := fstest.MapFS{
		"index.html":              {Data: []byte("<!doctype html>")},
		"sw.js":                   {Data: []byte("sw")},
		"assets/app-1234.wasm":    {Data: []byte("wasm")},
		"assets/app-1234.wasm.br": {Data: []byte("br")},
		"assets/app-1234.wasm.gz": {Data: []byte(zipped.String())},
		"manifest.webmanifest":    {Data: []byte("{}")},
	}
	s := newSite(t, func(c *Config) { c.Page = page })
	get := func(path, accept, etag string) *http.Response {
		req, _ := http.NewRequest("GET", s.web.URL+path, nil)
		req.Header.Set("Accept-Encoding", accept)
		req.Header.Set("If-None-Match", etag)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	const kept, asked = "public, max-age=31536000, immutable", "no-cache"
	for _, tc := range []struct {
		path, accept           string
		status                 int
		mime, encoding, caches string
		body                   string
	}{
		{"/", "br", 200, "text/html; charset=utf-8", "", asked, "<!doctype html>"},
		{"/index.html", "", 200, "text/html; charset=utf-8", "", asked, "<!doctype html>"},
		{"/sw.js", "br", 200, "text/javascript; charset=utf-8", "", asked, "sw"},
		{"/assets/app-1234.wasm", "gzip, deflate, br", 200, "application/wasm", "br", kept, "br"},
		{"/assets/app-1234.wasm", "gzip, br;q=0", 200, "application/wasm", "gzip", kept, zipped.String()},
		{"/assets/app-1234.wasm", "", 200, "application/wasm", "", kept, "wasm"},
		{"/manifest.webmanifest", "", 200, "application/manifest+json", "", asked, "{}"},
		{"/assets/app-1234.wasm.br", "", 404, "", "", "", ""},
		{"/assets", "", 404, "", "", "", ""},
		{"/../go.mod", "", 404, "", "", "", ""},
		{"/%2e%2e/go.mod", "", 404, "", "", "", ""},
		{"/nothing", "", 404, "", "", "", ""},
	} {
		r := get(tc.path, tc.accept, "")
		body, _ := io.ReadAll(r.Body)
		if r.StatusCode != tc.status {
			t.Errorf("%s: %s", tc.path, r.Status)
			continue
		}
		if r.Header.Get("Content-Security-Policy") == "" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: security headers are missing", tc.path)
		}
		if tc.status != 200 {
			continue
		}
		if r.Header.Get("Content-Type") != tc.mime || r.Header.Get("Content-Encoding") != tc.encoding || r.Header.Get("Cache-Control") != tc.caches || string(body) != tc.body || r.ContentLength != int64(len(body)) {
			t.Errorf("%s (%s): %v, %d bytes", tc.path, tc.accept, r.Header, r.ContentLength)
		}
	}
	tag := get("/", "", "").Header.Get("ETag")
	if r := get("/", "", tag); tag == "" || r.StatusCode != http.StatusNotModified {
		t.Error("the same page again:", tag, r.Status)
	}
	if r, err := http.Post(s.web.URL+"/", "", nil); err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Error("POST to the page:", r, err)
	}
}

package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	sessionKeySize  = 32
	sessionLifetime = 30 * 24 * time.Hour
	sessionRenewal  = 24 * time.Hour // a cookie older than that is renewed
	maxSignInBody   = 4 << 10
	codeIDSize      = 8
	macSize         = sha256.Size
)

// sessions signs people in. A session is a token that proves that its holder
// knew an access code: nothing is stored, it outlives a restart with the same
// key, and it ends with its access code.
//
//	token = base64url(code id ‖ expiry ‖ HMAC-SHA-256(key, label ‖ code hash ‖ expiry))
type sessions struct {
	key []byte

	mu     sync.Mutex
	codes  map[codeID]Access      // by the beginning of the code's hash
	failed map[netip.Addr]*bucket // wrong codes, by who tried
}

// codeID is the beginning of the hash of an access code.
type codeID [codeIDSize]byte

// Limits on wrong access codes; right ones are not counted.
const (
	failureRate   = 0.5 // a second and address
	failureBurst  = 10  // at once
	maxFailedFrom = 4096
)

func newSessions(key []byte, list []Access) *sessions {
	s := &sessions{key: key, failed: make(map[netip.Addr]*bucket)}
	s.set(list)
	return s
}

func (s *sessions) set(list []Access) {
	known := make(map[codeID]Access, len(list))
	for _, a := range list {
		known[codeID(a.Hash[:codeIDSize])] = a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes = known
}

// standing is how somebody stands with the bridge.
type standing int

const (
	stranger standing = iota // not signed in, or no longer
	welcome
	dismissed // was signed in, and was revoked
)

// session is what a valid token says.
type session struct {
	who     codeID
	expires time.Time
}

// signIn makes a token for who knows an access code.
func (s *sessions) signIn(code string, now time.Time) (string, standing) {
	h := sha256.Sum256([]byte(code))
	known, st := s.code(codeID(h[:codeIDSize]), now)
	if subtle.ConstantTimeCompare(h[:], known.Hash[:]) != 1 {
		return "", stranger
	}
	if st != welcome {
		return "", st
	}
	return s.token(h, now.Add(sessionLifetime)), welcome
}

// code finds an access and how it stands.
func (s *sessions) code(id codeID, now time.Time) (Access, standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.codes[id]
	switch {
	case !ok:
		return a, stranger
	case a.Revoked:
		return a, dismissed
	case !a.Expires.IsZero() && !now.Before(a.Expires):
		return a, stranger
	}
	return a, welcome
}

func (s *sessions) token(code [sha256.Size]byte, expires time.Time) string {
	b := binary.BigEndian.AppendUint64(append([]byte(nil), code[:codeIDSize]...), uint64(expires.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, s.mac(code, b[codeIDSize:])...))
}

func (s *sessions) mac(code [sha256.Size]byte, expiry []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte("lamplighter session"))
	h.Write(code[:])
	h.Write(expiry)
	return h.Sum(nil)
}

// check reads a token and says how its holder stands now.
func (s *sessions) check(token string, now time.Time) (session, standing) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != codeIDSize+8+macSize {
		return session{}, stranger
	}
	who, expiry := codeID(b[:codeIDSize]), b[codeIDSize:codeIDSize+8]
	a, st := s.code(who, now)
	if !hmac.Equal(b[codeIDSize+8:], s.mac(a.Hash, expiry)) {
		return session{}, stranger
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(expiry)), 0)
	if !now.Before(expires) {
		return session{}, stranger
	}
	return session{who, expires}, st
}

// of returns the session of a request and how its holder stands: a bearer token,
// or the cookie when a browser says where it comes from.
func (s *sessions) of(r *http.Request) (session, standing) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.check(token, time.Now())
	}
	if c, err := r.Cookie(cookieName(r)); err == nil {
		return s.check(c.Value, time.Now())
	}
	return session{}, stranger
}

// tries reports whether an address may try another access code.
func (s *sessions) tries(from netip.Addr, now time.Time) *bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failed) >= maxFailedFrom {
		clear(s.failed)
	}
	b := s.failed[from]
	if b == nil {
		full := fullBucket(failureRate, failureBurst, now)
		b = &full
		s.failed[from] = b
	}
	return b
}

// cookieName differs by port: browsers share cookies between the ports of a
// host, and two bridges on one machine must not sign each other's people out.
func cookieName(r *http.Request) string {
	name := "lamplighter"
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		name += "-" + port
	}
	if r.TLS != nil {
		name = "__Host-" + name
	}
	return name
}

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, token string, maxAge time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: token, Path: "/", MaxAge: int(maxAge.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

// serveSession signs in (POST), tells whether somebody is (GET), and signs out
// (DELETE).
func (s *Server) serveSession(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	origin := r.Header.Get("Origin")
	if origin != "" && !s.origins.allowed(origin, r.Host) {
		http.Error(w, "Pages of this origin may not sign in.", http.StatusForbidden)
		return
	}
	if origin != "" && s.origins.elsewhere(origin, r.Host) { // a page that is hosted apart
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Vary", "Origin")
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	switch r.Method {
	case http.MethodGet:
		s.tellSession(w, r)
	case http.MethodPost:
		s.signIn(w, r)
	case http.MethodDelete:
		s.setCookie(w, r, "", -time.Second)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodOptions:
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
		w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, POST, DELETE, OPTIONS")
		http.Error(w, "Unknown method.", http.StatusMethodNotAllowed)
	}
}

type sessionState struct {
	SignedIn bool   `json:"signedIn"`
	Revoked  bool   `json:"revoked,omitempty"` // was signed in, and nobody may be with this access any more
	Expires  int64  `json:"expires,omitempty"` // seconds since 1970
	Token    string `json:"token,omitempty"`   // for clients that are no browsers
}

// tellSession is open: it says no more than whether a WebSocket would be let in.
func (s *Server) tellSession(w http.ResponseWriter, r *http.Request) {
	if s.config.NoSignIn && loopbackOnly(r) {
		writeJSON(w, sessionState{SignedIn: true})
		return
	}
	session, standing := s.sessions.of(r)
	if standing != welcome {
		writeJSON(w, sessionState{Revoked: standing == dismissed})
		return
	}
	if c, err := r.Cookie(cookieName(r)); err == nil && time.Until(session.expires) < sessionLifetime-sessionRenewal {
		if renewed, ok := s.sessions.renew(c.Value); ok {
			s.setCookie(w, r, renewed, sessionLifetime)
		}
	}
	writeJSON(w, sessionState{SignedIn: true, Expires: session.expires.Unix()})
}

// renew makes a fresh token from a valid one.
func (s *sessions) renew(token string) (string, bool) {
	now := time.Now()
	old, st := s.check(token, now)
	if st != welcome {
		return "", false
	}
	a, st := s.code(old.who, now)
	return s.token(a.Hash, now.Add(sessionLifetime)), st == welcome
}

// signIn exchanges an access code for a session. A browser gets a cookie that
// scripts cannot read, and never the token.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	if ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); ct != "application/json" {
		http.Error(w, "Sign in with application/json.", http.StatusUnsupportedMediaType)
		return
	}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	now := time.Now()
	tries := s.sessions.tries(remote.Addr(), now)
	body, err := readBody(w, r)
	if err != nil {
		http.Error(w, "The request is too long.", http.StatusRequestEntityTooLarge)
		return
	}
	if s.config.Record != nil {
		s.config.Record(SignIn, remote, body)
	}
	var request struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		http.Error(w, `Send {"code": "…"}.`, http.StatusBadRequest)
		return
	}
	token, standing := s.sessions.signIn(request.Code, now)
	if standing == stranger && s.config.Unknown != nil { // it may have been granted a moment ago
		s.config.Unknown()
		token, standing = s.sessions.signIn(request.Code, now)
	}
	switch standing {
	case dismissed:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(sessionState{Revoked: true})
		return
	case stranger:
		if !s.sessions.mayFail(tries, now) {
			w.Header().Set("Retry-After", "10")
			http.Error(w, "Too many wrong access codes.", http.StatusTooManyRequests)
			return
		}
		http.Error(w, "This access code is not known.", http.StatusUnauthorized)
		return
	}
	answer := sessionState{SignedIn: true, Expires: now.Add(sessionLifetime).Unix()}
	if r.Header.Get("Origin") == "" {
		answer.Token = token
	} else {
		s.setCookie(w, r, token, sessionLifetime)
	}
	writeJSON(w, answer)
}

func (s *sessions) mayFail(b *bucket, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.allow(now)
}

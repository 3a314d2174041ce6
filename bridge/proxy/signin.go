package proxy

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

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
	if standing == stranger && !s.sessions.mayFail(tries, now) {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "Too many wrong access codes.", http.StatusTooManyRequests)
		return
	}
	if standing == stranger && s.config.Unknown != nil { // it may have been granted a moment ago
		s.config.Unknown()
		if token, standing = s.sessions.signIn(request.Code, now); standing != stranger {
			s.sessions.pardon(tries)
		}
	}
	switch standing {
	case dismissed:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(sessionState{Revoked: true})
		return
	case stranger:
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

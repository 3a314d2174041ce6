package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
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

// pardon takes back what counted as a wrong code and was none.
func (s *sessions) pardon(b *bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.level = min(b.level+1, b.size)
}

func (s *sessions) mayFail(b *bucket, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.allow(now)
}

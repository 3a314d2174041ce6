package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"lamplighter/internal/coap"
)

// HTTP status codes. Package net/http would come into the browser with them, and
// crypto/tls with it.
const (
	statusOK           = 200
	statusBadRequest   = 400
	statusUnauthorized = 401
	statusForbidden    = 403
	statusServerError  = 500 // and above
)

// ErrAccessCode says that the bridge does not know the access code.
var ErrAccessCode = errors.New("the bridge does not accept this invitation's access code")

// ErrRevoked says that the bridge lets us in no more: somebody ended the access.
// It wraps [ErrSignedOut]; only a new invitation helps.
var ErrRevoked = fmt.Errorf("%w: %w", coap.ErrRevoked, ErrSignedOut)

// Session is what a bridge says about the caller.
type Session struct {
	SignedIn bool  `json:"signedIn"`
	Revoked  bool  `json:"revoked,omitempty"` // was signed in, and may not be any more
	Expires  int64 `json:"expires,omitempty"` // seconds since 1970
}

// httpResult is as much of an HTTP response as is needed here.
type httpResult struct {
	status int
	body   []byte
}

// SignIn exchanges an access code for a session at the bridge with the base URL
// "http://127.0.0.1:8080". It returns the bearer token for [WSOptions]; in a
// browser it is empty and the session is a cookie that scripts cannot read.
func SignIn(ctx context.Context, baseURL, code string) (token string, err error) {
	body, err := json.Marshal(map[string]string{"code": code})
	if err != nil {
		return "", err
	}
	r, err := fetch(ctx, "POST", sessionURL(baseURL), "", body)
	if err != nil {
		return "", fmt.Errorf("signing in: %w: %w", coap.ErrLink, err)
	}
	switch {
	case r.status == statusOK:
	case r.status == statusForbidden && revoked(r.body):
		return "", ErrRevoked
	case r.status == statusBadRequest, r.status == statusUnauthorized, r.status == statusForbidden:
		return "", ErrAccessCode
	case r.status >= statusServerError: // also of a server between
		return "", fmt.Errorf("signing in: %w: the bridge answered %d", coap.ErrLink, r.status)
	default:
		return "", fmt.Errorf("signing in: the bridge answered %d", r.status)
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(r.body, &answer); err != nil {
		return "", fmt.Errorf("signing in: %w", err)
	}
	return answer.Token, nil
}

// revoked reports whether a refusal is because the access was ended.
func revoked(body []byte) bool {
	var s Session
	return json.Unmarshal(body, &s) == nil && s.Revoked
}

// SessionState asks the bridge whether the caller is signed in: a browser does
// not say why a WebSocket could not be opened. Unless the bridge answers, the
// error wraps [coap.ErrLink].
func SessionState(ctx context.Context, baseURL, token string) (Session, error) {
	var s Session
	r, err := fetch(ctx, "GET", sessionURL(baseURL), token, nil)
	if err != nil {
		return s, fmt.Errorf("asking for the session: %w: %w", coap.ErrLink, err)
	}
	if r.status != statusOK {
		return s, fmt.Errorf("asking for the session: %w: the bridge answered %d", coap.ErrLink, r.status)
	}
	if err := json.Unmarshal(r.body, &s); err != nil {
		return s, fmt.Errorf("asking for the session: %w", err)
	}
	return s, nil
}

// DialExplained dials and, when that fails, asks the bridge why: the error wraps
// [ErrSignedOut] when nobody is signed in, and [ErrRevoked] when nobody may be.
func DialExplained(ctx context.Context, baseURL string, opts WSOptions) (*WS, error) {
	ws, err := DialWS(ctx, linkURL(baseURL), opts)
	if err == nil || ctx.Err() != nil {
		return ws, err
	}
	s, askErr := SessionState(ctx, baseURL, opts.Token)
	switch {
	case askErr == nil && s.Revoked:
		return nil, fmt.Errorf("opening the link: %w", ErrRevoked)
	case askErr == nil && !s.SignedIn:
		return nil, fmt.Errorf("opening the link: %w", ErrSignedOut)
	}
	return nil, err
}

func sessionURL(baseURL string) string { return strings.TrimSuffix(baseURL, "/") + "/session" }

// linkURL is the address of the WebSocket of the bridge at baseURL. RFC 8323,
// Section 8.3.
func linkURL(baseURL string) string {
	return "ws" + strings.TrimPrefix(strings.TrimSuffix(baseURL, "/"), "http") + coap.WSPath
}

//go:build !js

package endpoint

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"lamplighter/internal/coap"
)

// TestSignInRefused tells a wrong access code from a bridge that is not well.
func TestSignInRefused(t *testing.T) {
	for status, want := range map[int]error{
		http.StatusUnauthorized: ErrAccessCode, http.StatusForbidden: ErrAccessCode,
		http.StatusBadGateway: coap.ErrLink, http.StatusServiceUnavailable: coap.ErrLink,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		if _, err := SignIn(t.Context(), s.URL, "code"); !errors.Is(err, want) {
			t.Errorf("%d: %v", status, err)
		}
		s.Close()
	}
}

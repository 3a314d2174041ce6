//go:build !js

package endpoint

import (
	"context"
	"net/http"
)

// setToken adds the bearer token to the handshake. RFC 6750, Section 2.1.
func setToken(o *dialOptions, token string) {
	if token != "" {
		o.HTTPHeader = http.Header{"Authorization": {"Bearer " + token}}
	}
}

func dialContext(ctx context.Context) context.Context { return ctx }

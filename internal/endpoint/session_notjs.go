//go:build !js

package endpoint

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

const maxHTTPBody = 64 << 10

var httpClient = &http.Client{Timeout: 10 * time.Second}

// fetch does one HTTP request.
func fetch(ctx context.Context, method, url, token string, body []byte) (httpResult, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return httpResult{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return httpResult{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxHTTPBody))
	return httpResult{resp.StatusCode, b}, err
}

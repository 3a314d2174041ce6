package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
)

// dial opens the socket of a role; when nobody listens, the error wraps
// [ErrNotRunning].
func dial(ctx context.Context, data, role string) (net.Conn, error) {
	file := socketFile(data, role)
	if _, err := os.Stat(file); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrNotRunning
		}
		return nil, err
	}
	address, free, err := shortPath(file)
	if err != nil {
		return nil, err
	}
	defer free()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", address)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		err = ErrNotRunning
	}
	return conn, err
}

// Do sends one request to the running role, with body as its body, and returns
// the answer when that is a success; the caller closes its body. An answer that
// is none comes as an [*Error]. When nobody listens the error wraps
// [ErrNotRunning].
func Do(ctx context.Context, data, role, method, path string, body io.Reader) (*http.Response, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, data, role) },
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+role+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	switch {
	case errors.Is(err, ErrNotRunning):
		return nil, fmt.Errorf("no %q with the data folder %s: %w", role, data, ErrNotRunning)
	case err != nil:
		return nil, err
	case resp.StatusCode/100 == 2:
		return resp, nil
	}
	defer resp.Body.Close()
	var told failure
	err = json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&told)
	if err != nil || told.Error == "" {
		told.Error = fmt.Sprintf("the running %q does not know this command (%s): is it of another version?", role, resp.Status)
	}
	return nil, &Error{resp.StatusCode, told.Error}
}

// Call sends in as JSON, nil for nothing, and reads the answer. Its errors are
// those of [Do].
func Call[Out any](ctx context.Context, data, role, method, path string, in any) (out Out, err error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return out, err
		}
		body = bytes.NewReader(text)
	}
	resp, err := Do(ctx, data, role, method, path, body)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16*maxBody)).Decode(&out); err != nil {
		return out, fmt.Errorf("reading the answer of the running %q: %w", role, err)
	}
	return out, nil
}

package endpoint

import (
	"context"
	"errors"
	"syscall/js"
)

// fetch does one HTTP request with the browser's own fetch, which keeps the
// session's cookie; net/http would pull a client's whole weight into the page.
func fetch(ctx context.Context, method, url, _ string, body []byte) (httpResult, error) {
	init := map[string]any{"method": method, "credentials": "same-origin", "cache": "no-store"}
	if body != nil {
		init["body"] = string(body)
		init["headers"] = map[string]any{"Content-Type": "application/json"}
	}
	controller := js.Global().Get("AbortController").New()
	init["signal"] = controller.Get("signal")
	stop := context.AfterFunc(ctx, func() { controller.Call("abort") })
	defer stop()
	resp, err := await(js.Global().Call("fetch", url, init))
	if err != nil {
		return httpResult{}, err
	}
	text, err := await(resp.Call("text"))
	if err != nil {
		return httpResult{}, err
	}
	return httpResult{resp.Get("status").Int(), []byte(text.String())}, nil
}

// await waits for a promise.
func await(promise js.Value) (js.Value, error) {
	type result struct {
		v   js.Value
		err error
	}
	done := make(chan result, 1)
	resolved := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- result{v: args[0]}
		return nil
	})
	defer resolved.Release()
	rejected := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- result{err: errors.New(args[0].Get("message").String())}
		return nil
	})
	defer rejected.Release()
	promise.Call("then", resolved, rejected)
	r := <-done
	return r.v, r.err
}

package endpoint

import "context"

// Session is what a bridge says about the caller.
type Session struct {
	SignedIn bool
}

// SignIn exchanges an access code for a session at the bridge with the base URL
// "http://127.0.0.1:8080". It returns the bearer token for [WSOptions]; in a
// browser it is empty and the session is a cookie that scripts cannot read.
func SignIn(ctx context.Context, baseURL, code string) (token string, err error) {
	panic("not built yet")
}

// SessionState asks the bridge whether the caller is signed in: a browser does
// not say why a WebSocket could not be opened.
func SessionState(ctx context.Context, baseURL, token string) (Session, error) {
	panic("not built yet")
}

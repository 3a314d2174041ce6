package endpoint

import "context"

// setToken does nothing: a browser sends the session's cookie by itself and lets
// nobody set headers.
func setToken(*dialOptions, string) {}

// dialContext never ends: the library would close a dialling WebSocket with a
// code that browsers refuse, and leave it open.
func dialContext(context.Context) context.Context { return context.Background() }

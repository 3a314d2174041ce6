package coap

import (
	"context"
	"slices"
	"strings"
)

// Mux finds the handler of a request by method and path. It is filled before it
// serves and not changed afterwards.
type Mux struct {
	routes []*route
}

type route struct {
	segments []string // "{name}" stands for any one segment
	methods  map[Code]Handler
}

// NewMux makes an empty Mux: it answers 4.04 to everything.
func NewMux() *Mux { return &Mux{} }

// Handle registers f. A segment in braces, as in "/ll/groups/{name}", matches
// any one segment; [Param] yields it. Routes without braces win.
func (x *Mux) Handle(method Code, path string, f HandlerFunc) {
	segments := splitPath(path)
	for _, r := range x.routes {
		if slices.Equal(r.segments, segments) {
			r.methods[method] = f
			return
		}
	}
	x.routes = append(x.routes, &route{segments: segments, methods: map[Code]Handler{method: f}})
}

// Serve answers req by its handler, with 4.04 when there is no such resource and
// 4.05 when it does not know the method. RFC 7252, Section 5.8.
func (x *Mux) Serve(ctx context.Context, req *Request) *Message {
	r, params := x.find(req.Message)
	if r == nil {
		return Problem(NotFound, "There is no resource "+quotePath(Path(req.Message))+" here.")
	}
	h, ok := r.methods[req.Code]
	if !ok {
		return Problem(MethodNotAllowed, "The resource does not know this method.")
	}
	if len(params) > 0 {
		ctx = context.WithValue(ctx, paramsKey{}, params)
	}
	return acceptable(req, h.Serve(ctx, req))
}

// acceptable answers 4.06 to a GET or FETCH that asked for another format than
// it would get. RFC 7252, Section 5.10.4.
func acceptable(req *Request, resp *Message) *Message {
	want, asked := OptionUint(req.Message, OptionAccept)
	if !asked || resp == nil || Class(resp.Code) != 2 || req.Code != GET && req.Code != FETCH {
		return resp
	}
	if got, has := ContentFormat(resp); has && got != int(want) {
		return Problem(NotAcceptable, "The resource has no such format.")
	}
	return resp
}

type paramsKey struct{}

// Param returns what stood where the route has {name}; "" when it has none.
func Param(ctx context.Context, name string) string {
	params, _ := ctx.Value(paramsKey{}).(map[string]string)
	return params[name]
}

func (x *Mux) find(m *Message) (*route, map[string]string) {
	var path []string
	for v := range Each(m, OptionURIPath) {
		path = append(path, string(v))
	}
	if len(path) == 1 && path[0] == "" {
		path = nil
	}
	var found *route
	var params map[string]string
	for _, r := range x.routes {
		p, ok := match(r.segments, path)
		if ok && (found == nil || len(p) < len(params)) {
			found, params = r, p
		}
	}
	return found, params
}

func match(segments, path []string) (map[string]string, bool) {
	if len(segments) != len(path) {
		return nil, false
	}
	var params map[string]string
	for i, s := range segments {
		name, isParam := strings.CutPrefix(s, "{")
		switch {
		case isParam:
			if params == nil {
				params = make(map[string]string)
			}
			params[strings.TrimSuffix(name, "}")] = path[i]
		case s != path[i]:
			return nil, false
		}
	}
	return params, true
}

func splitPath(path string) []string {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// quotePath keeps hostile paths short and printable in diagnostics.
func quotePath(p string) string {
	const longest = 60
	if len(p) > longest || !printable([]byte(p)) {
		return "of that name"
	}
	return p
}

package gm

import (
	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// unauthorized is the answer to whoever has no valid token, with where to get one.
// RFC 9200, Section 5.3.
func (s *Server) unauthorized() *coap.Message { return s.hints(nil) }

// unauthorizedTo is unauthorized with the scope that the request would need. It
// follows from the request alone, and says nothing about which groups there are. No
// cnonce is asked for, as the Group Manager has a clock. RFC 9200, Section 5.3.
func (s *Server) unauthorizedTo(path []string, method coap.Code) *coap.Message {
	if len(path) < 1 || len(path) > 1 && !ace.ValidGroupName(path[1]) {
		return s.hints(nil)
	}
	var scope ace.Scope
	switch {
	case path[0] == "ace-group" && len(path) > 1:
		scope.Users = []ace.ScopeEntry{{Group: path[1], Roles: ace.RoleRequester | ace.RoleResponder}}
	case path[0] == managePath && len(path) > 1:
		scope.Admins = []ace.AdminEntry{{Groups: ace.NamedGroup(path[1]), Perm: permOf(method)}}
	case path[0] == managePath && method == coap.POST:
		scope.Admins = []ace.AdminEntry{{Groups: ace.AnyGroup, Perm: ace.PermList | ace.PermCreate}}
	case path[0] == managePath:
		scope.Admins = []ace.AdminEntry{{Groups: ace.AnyGroup, Perm: ace.PermList}}
	default:
		return s.hints(nil)
	}
	return s.hints(scope.Encode())
}

// permOf is what a method on a group configuration takes. GMA, Section 6.
func permOf(method coap.Code) ace.Perm {
	switch method {
	case coap.GET, coap.FETCH:
		return ace.PermList | ace.PermRead
	case coap.DELETE:
		return ace.PermList | ace.PermDelete
	}
	return ace.PermList | ace.PermWrite
}

func (s *Server) hints(scope []byte) *coap.Message {
	if s.cfg.AS == "" {
		return coap.Problem(coap.Unauthorized, "A token is needed first.")
	}
	return coap.Respond(coap.Unauthorized, ace.FormatACE, ace.Encode(ace.ASHints{AS: s.cfg.AS, Audience: s.cfg.Audience, Scope: scope}))
}

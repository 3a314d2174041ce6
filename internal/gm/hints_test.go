package gm

import (
	"fmt"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// The hints in a 4.01 name the Authorization Server, the audience, and the scope that
// the request needs, whether or not there is such a group. RFC 9200, Section 5.3.
func TestHints(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AS = "coap://as.example/token" })
	for _, tt := range []struct {
		method coap.Code
		path   string
		want   string
	}{
		{coap.POST, "/ace-group/hall", "[{hall requester+responder}] []"},
		{coap.GET, "/ace-group/hall/num", "[{hall requester+responder}] []"},
		{coap.POST, "/ace-group/nowhere", "[{nowhere requester+responder}] []"},
		{coap.GET, "/manage", "[] [{* list}]"},
		{coap.POST, "/manage", "[] [{* list+create}]"},
		{coap.GET, "/manage/hall", "[] [{hall list+read}]"},
		{coap.PATCH, "/manage/hall", "[] [{hall list+write}]"},
		{coap.DELETE, "/manage/hall", "[] [{hall list+delete}]"},
		{coap.FETCH, "/ace-group", ""},
		{coap.GET, "/x", ""},
	} {
		resp := w.s.serve(t.Context(), &coap.Request{Message: request(tt.method, tt.path, -1, nil)})
		wantCode(t, tt.path, resp, coap.Unauthorized)
		hints, err := ace.Decode[ace.ASHints](resp.Payload)
		if err != nil || hints.AS != "coap://as.example/token" || hints.Audience != "gm" || hints.CNonce != nil {
			t.Errorf("%s: %+v, %v", tt.path, hints, err)
			continue
		}
		got := ""
		if hints.Scope != nil {
			scope, err := ace.ParseScope(hints.Scope)
			if err != nil {
				t.Errorf("%s: %v", tt.path, err)
			}
			users, admins := []string{}, []string{}
			for _, e := range scope.Users {
				users = append(users, fmt.Sprintf("{%s %v}", e.Group, e.Roles))
			}
			for _, e := range scope.Admins {
				admins = append(admins, fmt.Sprintf("{%v %v}", e.Groups, e.Perm))
			}
			got = fmt.Sprint(users, " ", admins)
		}
		if got != tt.want {
			t.Errorf("%v %s: scope %s, want %s", tt.method, tt.path, got, tt.want)
		}
	}
	// What no group can be called gets hints without a scope.
	m := coap.NewRequest(coap.GET, "/ace-group", nil)
	coap.AddOption(m, coap.OptionURIPath, []byte("a/b"))
	resp := w.s.serve(t.Context(), &coap.Request{Message: m})
	if hints, err := ace.Decode[ace.ASHints](resp.Payload); err != nil || hints.Scope != nil {
		t.Errorf("%+v, %v", hints, err)
	}
}

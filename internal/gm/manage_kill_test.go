//go:build !js

package gm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store/storetest"
)

// manageChildEnv names the store of a Group Manager that is going to be killed while
// administrators are at work.
const manageChildEnv = "LAMPLIGHTER_GM_MANAGE_CHILD"

// TestManageChild is no test: it is the process that [TestManageSIGKILL] kills.
// Each line says what is begun, or what was acknowledged, about one group.
func TestManageChild(t *testing.T) {
	path := os.Getenv(manageChildEnv)
	if path == "" {
		t.Skip("run by TestManageSIGKILL")
	}
	w, _ := killWorld(t, path)
	lines := make(chan string)
	for i := range 3 {
		go w.manageForEver(fmt.Sprint("adm", i), lines)
	}
	for line := range lines {
		fmt.Fprintf(os.Stdout, "\n#%s\n", line)
	}
}

// manageForEver makes a group, has somebody join, changes and deletes it, again and
// again. What a process before has left of it is deleted first.
func (w *world) manageForEver(name string, lines chan<- string) {
	boss := w.freshToken("boss "+name, ace.Scope{Admins: []ace.AdminEntry{may(ace.NamedGroup(name), ace.PermAll)}})
	member := w.freshToken("dev "+name, ace.Scope{Users: []ace.ScopeEntry{scope(name, ace.RoleMonitor)}})
	ask := func(gm *direct, method coap.Code, path string, payload any) coap.Code {
		var body []byte
		if payload != nil {
			body = ace.Encode(payload)
		}
		resp, err := gm.Call(context.Background(), request(method, path, cf261, body))
		if err != nil || coap.Class(resp.Code) == 5 {
			lines <- fmt.Sprintf("error %s %v %v", name, err, resp)
		}
		return resp.Code
	}
	steps := 0
	do := func(acknowledged, method coap.Code, payload any, state string) {
		lines <- "begin " + name
		path := "/manage/" + name
		if method == coap.POST {
			path = "/manage"
		}
		if code := ask(boss, method, path, payload); code == acknowledged {
			lines <- fmt.Sprint("is ", name, " ", state)
		} else if steps > 1 {
			lines <- fmt.Sprint("error ", name, " ", coap.CodeString(code))
		}
		steps++
	}
	off := ace.Configuration{Active: ace.Is(false)}
	do(coap.Changed, coap.IPATCH, off, "unknown")
	do(coap.Deleted, coap.DELETE, nil, "gone")
	for k := 0; ; k++ {
		do(coap.Created, coap.POST, named(name).With(ace.Configuration{Active: ace.Is(true)}), "-")
		ask(member, coap.POST, "/ace-group/"+name, ace.JoinRequest{
			Scope: ace.EncodeJoinScope(scope(name, ace.RoleMonitor)), CNonce: draw(w.rand, 8),
		})
		text := fmt.Sprint("x", k)
		do(coap.Changed, coap.IPATCH, ace.Configuration{GroupDescription: ace.Is(text), GpEncAlg: ace.Alg(1)}, text)
		do(coap.Changed, coap.IPATCH, off, text)
		do(coap.Deleted, coap.DELETE, nil, "gone")
	}
}

// freshToken is an association for a token that no process before had.
func (w *world) freshToken(subject string, s ace.Scope) *direct {
	c := w.claims(subject)
	c.CNF.OSCORE.ID = draw(w.rand, 8)
	c.Scope.Scope = s.Encode()
	_, gm := w.transfer(w.seal(c))
	return gm
}

// A Group Manager killed at any moment has done what it acknowledged to
// administrators, and of what it did not, all or nothing.
func TestManageSIGKILL(t *testing.T) {
	kills := 15
	if testing.Short() {
		kills = 3
	}
	path := filepath.Join(t.TempDir(), "gm.db")
	total := 0
	for range kills {
		last, count := manageAndKill(t, path)
		total += count
		w, closeStore := killWorld(t, path)
		checkStore(t, w.store)
		boss := w.freshToken("check", ace.Scope{Admins: []ace.AdminEntry{may(ace.AnyGroup, ace.PermAll)}})
		for name, want := range last {
			resp := w.call(boss, coap.GET, "/manage/"+name, -1, nil)
			got := "gone"
			if resp.Code == coap.Content {
				got = wantConfiguration(t, resp).GroupDescription.Or("-")
			}
			if want != "" && got != want {
				t.Errorf("%s is %q, and %q was acknowledged", name, got, want)
			}
		}
		closeStore()
		if t.Failed() {
			return
		}
	}
	if total < kills {
		t.Errorf("%d kills met %d acknowledged changes", kills, total)
	}
}

// manageAndKill runs a child for a random time and returns what it acknowledged last
// about each group ("" when something was begun since), and how often it did.
func manageAndKill(t *testing.T, path string) (last map[string]string, count int) {
	t.Helper()
	last = map[string]string{}
	storetest.Kill(t, "TestManageChild", manageChildEnv+"="+path, 80*time.Millisecond, func(line string) {
		switch f := strings.Fields(line); {
		case len(f) > 1 && f[0] == "begin":
			last[f[1]] = ""
		case len(f) == 3 && f[0] == "is" && f[2] != "unknown":
			last[f[1]] = f[2]
			count++
		case len(f) > 0 && f[0] == "error":
			t.Errorf("the child failed: %s", line)
		}
	})
	return last, count
}

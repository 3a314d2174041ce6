//go:build !js

package gm

import (
	"crypto/ed25519"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// storeEnv names the store that a child process opens to say how much memory it
// takes.
const storeEnv = "LAMPLIGHTER_GM_STORE"

const seededGroups, seededMembers = 1000, 100 // members a group

// seed fills a store with groups and members that have associations.
func (w *world) seed(t testing.TB) {
	t.Helper()
	key := newKey(crand.Reader)
	cred := cose.NewCCS("device", key.Public().(ed25519.PublicKey))
	for n := range seededGroups {
		name := fmt.Sprint("group", n)
		if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: name}); err != nil {
			t.Fatal(err)
		}
		if err := w.store.Update(t.Context(), func(tx store.Tx) error {
			g, err := load[groupRecord](tx, groupKey(name))
			if err != nil {
				return err
			}
			for i := range seededMembers {
				if err := w.seedMember(tx, g, n*seededMembers+i, cred); err != nil {
					return err
				}
			}
			return save(tx, groupKey(name), g)
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// seedMember writes what a join leaves.
func (w *world) seedMember(tx store.Tx, g *groupRecord, n int, cred []byte) error {
	id := binary.BigEndian.AppendUint32(nil, uint32(n))[1:]
	a := &associationRecord{
		ID: hex.EncodeToString(id), Serial: uint64(n), Token: binary.BigEndian.AppendUint32(nil, uint32(n)),
		Subject: fmt.Sprintf("000b57fffe%06x", n), Thumbprint: thumbprint(cred), Actor: "29725e30b91add43ddbca2a2ecac3b04",
		Scope: ace.EncodeScope([]ace.ScopeEntry{scope(g.Name, both)}), Expires: uint64(w.clock().Unix()) + 1<<25,
		MasterSecret: draw(crand.Reader, 16), MasterSalt: draw(crand.Reader, 24),
		SenderID: []byte{1}, RecipientID: id, NS: draw(crand.Reader, 8),
	}
	sid, err := g.assign(tx)
	if err != nil {
		return err
	}
	m := &memberRecord{
		Node: fmt.Sprint("n", g.NextNode), Subject: a.Subject, SenderID: sid, Cred: cred, Roles: both,
		NC: draw(crand.Reader, 8), Scope: ace.EncodeJoinScope(scope(g.Name, both)), Joined: w.clock().Unix(),
		ControlURI: "coap://192.0.2.7:5683/ace-group/" + g.Name + "/node",
	}
	g.NextNode++
	if err := a.save(tx); err != nil {
		return err
	}
	if err := save(tx, memberKey(g.Name, m.Node), m); err != nil {
		return err
	}
	if err := tx.Put(subjectKey(g.Name, m.Subject), []byte(m.Node)); err != nil {
		return err
	}
	return tx.Put(senderKey(g.Name, sid), []byte(m.Node))
}

// TestMemoryChild is no test: it is the process whose memory [BenchmarkMemory]
// measures. It has been asked by 2,000 members.
func TestMemoryChild(t *testing.T) {
	path := os.Getenv(storeEnv)
	if path == "" {
		t.Skip("run by BenchmarkMemory")
	}
	w := durableWorld(t, path)
	h := w.s.Handler()
	var total int
	_ = w.store.View(t.Context(), func(tx store.Tx) error {
		last, err := tx.Get("total")
		fmt.Sscan(string(last), &total)
		return err
	})
	for i := 0; i < total; i += max(total/2000, 1) {
		kid := binary.BigEndian.AppendUint32(nil, uint32(i))[1:]
		var a *associationRecord
		if err := w.store.View(t.Context(), func(tx store.Tx) (err error) {
			a, err = load[associationRecord](tx, associationKey(hex.EncodeToString(kid)))
			return err
		}); err != nil || a == nil {
			t.Fatal("no association", err)
		}
		c, err := oscore.New(oscore.Params{
			MasterSecret: a.MasterSecret, MasterSalt: a.MasterSalt, SenderID: a.RecipientID, RecipientID: a.SenderID,
		})
		if err != nil {
			t.Fatal(err)
		}
		ask(t, h, c, fmt.Sprint("/ace-group/group", i/seededMembers, "/num"))
	}
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "RssAnon") || strings.HasPrefix(line, "RssFile") {
			fmt.Print("#", line)
		}
	}
}

// ask makes a request and answers the challenge that it meets.
func ask(t *testing.T, h coap.Handler, c *oscore.Context, path string) {
	t.Helper()
	req := coap.NewRequest(coap.GET, path, nil)
	for range 2 {
		outer, binding, err := c.ProtectRequest(req)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.UnprotectResponse(h.Serve(t.Context(), &coap.Request{Message: outer, From: clientAddr}), binding)
		if err != nil {
			t.Fatal(err)
		}
		if !oscore.IsChallenge(resp) {
			wantCode(t, path, resp, coap.Content)
			return
		}
		req = oscore.WithEcho(req, resp)
	}
	t.Fatal("challenged twice")
}

// BenchmarkMemory measures the memory of a Group Manager with 1,000 groups and
// 100,000 members, of which 2,000 were at it since it started, beside one that has
// nothing to do.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		for name, n := range map[string]int{"empty": 0, "full": seededGroups * seededMembers} {
			path := filepath.Join(dir, name)
			w := durableWorld(b, path)
			if n > 0 {
				w.seed(b)
			}
			if err := w.store.Update(b.Context(), func(tx store.Tx) error { return tx.Put("total", fmt.Append(nil, n)) }); err != nil {
				b.Fatal(err)
			}
			if err := w.store.Close(); err != nil {
				b.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestMemoryChild$")
			cmd.Env = append(os.Environ(), storeEnv+"="+path)
			text, err := cmd.CombinedOutput()
			if err != nil {
				b.Fatalf("%v\n%s", err, text)
			}
			for line := range strings.Lines(string(text)) {
				var what string
				var kb float64
				if _, err := fmt.Sscanf(line, "#%s %g kB", &what, &kb); err == nil {
					b.ReportMetric(kb/1024, name+"-"+strings.Trim(what, ":")+"-MB")
				}
			}
			b.ReportMetric(float64(info.Size())/1e6, name+"-file-MB")
		}
	}
}

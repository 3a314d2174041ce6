package device

import (
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/admin"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// administrator is somebody who may do everything with every group.
func (w *world) administrator() *admin.Client {
	w.t.Helper()
	id := make([]byte, 8)
	secret := make([]byte, 16)
	for _, b := range [][]byte{id, secret} {
		if _, err := w.rand.Read(b); err != nil {
			w.t.Fatal(err)
		}
	}
	scope := ace.Scope{Admins: []ace.AdminEntry{{Groups: ace.AnyGroup, Perm: ace.PermAll}}}
	cnf := &ace.Confirmation{OSCORE: &ace.OSCOREMaterial{ID: id, MasterSecret: secret, Salt: id}}
	token, err := ace.SealToken(w.tokens, &ace.CWTClaims{
		SUB: "boss", AUD: "gm", EXP: uint64(w.clock.Now().Unix()) + 3600, CNF: cnf, Scope: ace.ScopeClaim{Scope: scope.Encode()}, Profile: ace.ProfileOSCORE,
	}, w.rand)
	if err != nil {
		w.t.Fatal(err)
	}
	p := join.OSCORE{Exchange: w.net.From(browserAddr), GM: gmAddr, RecipientID: []byte{0xad}, Sequence: oscore.NewSequence(0, nil), Rand: w.rand}
	c, err := p.Transfer(w.t.Context(), &ace.TokenResponse{AccessToken: token, ExpiresIn: 3600, Cnf: cnf, Scope: scope.Encode()})
	if err != nil {
		w.t.Fatal(err)
	}
	return admin.New(c, gmAddr.String())
}

// A lamp follows what an administrator does with its group: other algorithms, a
// pause, the end. It is told of each and asks for nothing but keys.
func TestAdministratedGroup(t *testing.T) {
	for _, where := range []string{"hall", "cellar"} {
		t.Run(where, func(t *testing.T) {
			w, in := toldWorld(t, where)
			boss := w.administrator()
			ctx := t.Context()
			change := func(c ace.Configuration) {
				t.Helper()
				if _, err := boss.Patch(ctx, where, c, nil); err != nil {
					t.Fatal(err)
				}
			}
			before := w.num(where)
			change(ace.Configuration{GpEncAlg: ace.Alg(cose.A128CTR), Alg: ace.Alg(cose.ChaCha20Poly1305)})
			w.eventually("new keys and algorithms", func() bool {
				w.lamp.mu.Lock()
				defer w.lamp.mu.Unlock()
				m := w.lamp.members[where]
				return m != nil && m.rec.Membership.Num == before+1 && m.rec.Membership.Algs.GroupEnc == cose.A128CTR
			})
			in.refresh()
			if l, err := in.light(on(true)); err != nil || !l.On {
				t.Errorf("under the new algorithms: %+v, %v", l, err)
			}
			change(ace.Configuration{Active: ace.Is(false)})
			if err := boss.Delete(ctx, where, nil); err != nil {
				t.Fatal(err)
			}
			w.eventually("the end of the membership", func() bool {
				w.lamp.mu.Lock()
				defer w.lamp.mu.Unlock()
				return w.lamp.members[where] == nil
			})
		})
	}
}

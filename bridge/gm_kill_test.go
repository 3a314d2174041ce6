package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// acked is what a Group Manager acknowledged to clients, over all its lives.
type acked struct {
	mu      sync.Mutex
	members map[string]string // subject -> latest acknowledged Sender ID
	left    map[string]bool
	given   map[string]string // Gid/Sender ID -> whom it was given to
	twice   []string
	gids    map[string]string // Gid -> Master Secret
}

func newAcked() *acked {
	return &acked{members: map[string]string{}, left: map[string]bool{}, given: map[string]string{}, gids: map[string]string{}}
}

// give notes one acknowledged assignment of a Sender ID.
func (a *acked) give(subject string, gid, senderID, masterSecret []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	slot := hex.EncodeToString(gid) + "/" + hex.EncodeToString(senderID)
	if before, used := a.given[slot]; used {
		a.twice = append(a.twice, fmt.Sprintf("%s: to %s, then to %s", slot, before, subject))
	}
	a.given[slot] = subject
	a.members[subject] = hex.EncodeToString(senderID)
	if ms, known := a.gids[string(gid)]; known && ms != string(masterSecret) {
		a.twice = append(a.twice, fmt.Sprintf("Gid %x has two Master Secrets", gid))
	}
	a.gids[string(gid)] = string(masterSecret)
}

// gmClient joins, renews and leaves as one subject after the other.
type gmClient struct {
	t      *testing.T
	number int
	key    ace.TokenKey
	gm     netip.AddrPort
	gmCred []byte
	acked  *acked
	udp    *endpoint.UDP
}

func (c *gmClient) run(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		c.life(ctx, fmt.Sprintf("node-%d-%d", c.number, i), i)
	}
}

// life is one subject's: join until it is acknowledged, sometimes join again or
// get a new Sender ID, sometimes leave.
func (c *gmClient) life(ctx context.Context, subject string, i int) {
	key := ed25519.NewKeyFromSeed(random(ed25519.SeedSize))
	cred := cose.NewCCS(subject, key.Public().(ed25519.PublicKey))
	for ctx.Err() == nil {
		member, m := c.join(ctx, subject, key, cred)
		if member == nil {
			continue
		}
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		switch i % 3 {
		case 0:
			if id, err := member.Renew(short); err == nil {
				c.acked.give(subject, m.GID, id, m.MasterSecret)
			}
		case 1:
			// What a lost answer leaves open counts for neither side.
			c.acked.leave(subject)
			member.Leave(short)
		}
		return
	}
}

func (a *acked) leave(subject string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left[subject] = true
}

func (c *gmClient) join(ctx context.Context, subject string, key ed25519.PrivateKey, cred []byte) (*join.Member, *join.Membership) {
	short, cancel := context.WithTimeout(ctx, 700*time.Millisecond)
	defer cancel()
	assoc, err := join.Transfer(short, c.udp, c.gm, c.token(subject), random(2), rand.Reader)
	if err != nil {
		return nil, nil
	}
	security, err := assoc.Context(oscore.NewSequence(assoc.NextSSN, nil))
	if err != nil {
		c.t.Error(err)
		return nil, nil
	}
	caller := oscore.NewClient(security, c.udp, c.gm)
	m, _, err := join.Self(short, caller, join.SelfParams{
		Group: "hall", Roles: ace.RoleResponder, Cred: cred, Key: cose.NewEd25519(key), GMCred: c.gmCred, NS: assoc.NS, Rand: rand.Reader,
	})
	if err != nil {
		return nil, nil
	}
	c.acked.give(subject, m.GID, m.SenderID, m.MasterSecret)
	return join.NewMember(caller, "hall", m.NodePath), m
}

func (c *gmClient) token(subject string) *ace.TokenResponse {
	cnf := &ace.Confirmation{OSCORE: &ace.OSCOREMaterial{ID: random(8), MasterSecret: random(16), Salt: random(8)}}
	now := uint64(time.Now().Unix())
	token, err := ace.SealToken(c.key, &ace.CWTClaims{
		ISS: asName, SUB: subject, AUD: gmName, EXP: now + 3600, IAT: now, CNF: cnf, Profile: ace.ProfileOSCORE,
		Scope: ace.ScopeClaim{Scope: ace.EncodeScope([]ace.ScopeEntry{{Group: "hall", Roles: ace.RoleResponder}})},
	}, rand.Reader)
	if err != nil {
		c.t.Error(err)
	}
	return &ace.TokenResponse{AccessToken: token, ExpiresIn: 3600, Cnf: cnf, Profile: ace.ProfileOSCORE}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// TestKillGM ends a Group Manager with SIGKILL at random moments under load:
// no member that it acknowledged is lost, no Sender ID is handed out twice in a
// Gid, and no Gid is issued with two Master Secrets.
func TestKillGM(t *testing.T) {
	data := t.TempDir()
	listen := freePort(t)
	keys := filepath.Join(data, "keys")
	tokenKey, err := secretFile(tokenKeyFile(data), 16)
	if err != nil {
		t.Fatal(err)
	}
	gm, err := loadIdentity(keys, gmName)
	if err != nil {
		t.Fatal(err)
	}
	told := newAcked()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	args := []string{"gm", "--data", data, "--listen", listen.String(), "--group", "hall"}
	p := startProcess(t, "Group Manager on", args...)
	var clients sync.WaitGroup
	for n := range 4 {
		udp, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), nil, endpoint.UDPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		c := &gmClient{t: t, number: n, key: ace.TokenKey{Key: tokenKey}, gm: listen, gmCred: gm.cred, acked: told, udp: udp}
		clients.Go(func() { c.run(ctx) })
	}
	kills := rounds(50, 1000)
	for range kills {
		time.Sleep(time.Duration(mathrand.Int64N(int64(150 * time.Millisecond))))
		p.kill()
		p = startProcess(t, "Group Manager on", args...)
	}
	stop()
	clients.Wait()
	p.kill()
	checkAcked(t, data, told)
	t.Logf("%d kills, %d members acknowledged, %d Sender IDs, %d Gids", kills, len(told.members), len(told.given), len(told.gids))
}

func checkAcked(t *testing.T, data string, told *acked) {
	t.Helper()
	for _, bad := range told.twice {
		t.Error(bad)
	}
	g, err := startGM(context.Background(), gmOptions{data: data, listen: netip.MustParseAddrPort("127.0.0.1:0"), logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	defer g.stop()
	members, err := g.server.Members(context.Background(), "hall")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]int{}
	for _, m := range members {
		has[m.Subject]++
	}
	for subject := range told.members {
		if !told.left[subject] && has[subject] != 1 {
			t.Errorf("%s was acknowledged and is a member %d times", subject, has[subject])
		}
	}
	if len(told.members) < 10 {
		t.Errorf("only %d joins were acknowledged: the test shows nothing", len(told.members))
	}
}

// freePort finds a UDP port that nobody has.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	udp, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), nil, endpoint.UDPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	return udp.Addr()
}

package main

import (
	"context"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/endpoint"
)

// killSite is an Authorization Server and a Group Manager in processes of their
// own, which are killed, and everybody who uses them in this one.
type killSite struct {
	t    *testing.T
	seed uint64
	rng  *mathrand.Rand // of the kills and the checks
	pace time.Duration  // between two requests of one client, at most

	data      string
	asAt      netip.AddrPort
	gmAt      netip.AddrPort
	multicast netip.AddrPort
	tokenKey  ace.TokenKey
	gmCred    []byte
	as, gm    *process
	udp       *endpoint.UDP // of the people

	gate   sync.RWMutex // held for reading by what is under way; a check waits for that
	ledger *ledger
	people *killPeople
	admin  *killAdmin
	ctx    context.Context
	busy   sync.WaitGroup

	mu    sync.Mutex
	nodes []*killNode
}

// killSeed is where a run's decisions come from: LAMPLIGHTER_SEED, or the clock. What
// real processes do meanwhile is not in it.
func killSeed(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LAMPLIGHTER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal("LAMPLIGHTER_SEED:", err)
		}
	}
	t.Logf("LAMPLIGHTER_SEED=%d", seed)
	return seed
}

func (s *killSite) rand(actor int) *mathrand.Rand {
	return mathrand.New(mathrand.NewPCG(s.seed, uint64(actor)))
}

func startKillSite(t *testing.T) *killSite {
	t.Helper()
	s := &killSite{
		t: t, seed: killSeed(t), pace: 40 * time.Millisecond, data: t.TempDir(), ledger: newLedger(),
		asAt: freePort(t), gmAt: freePort(t), multicast: netip.AddrPortFrom(netip.MustParseAddr("224.0.1.187"), freePort(t).Port()),
	}
	s.rng = s.rand(0)
	key, err := secretFile(tokenKeyFile(s.data), 16)
	if err != nil {
		t.Fatal(err)
	}
	id, err := loadIdentity(filepath.Join(s.data, "keys"), gmName)
	if err != nil {
		t.Fatal(err)
	}
	s.tokenKey, s.gmCred = ace.TokenKey{Key: key}, id.cred
	if s.udp, err = endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), nil, endpoint.UDPOptions{Params: hasty()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.udp.Close() })
	s.startAS()
	s.startGM()
	t.Cleanup(func() { s.as.kill(); s.gm.kill() })
	s.people = &killPeople{s: s, rng: s.rand(1)}
	s.admin = &killAdmin{s: s, rng: s.rand(2), etags: map[string]string{}}
	return s
}

func (s *killSite) startAS() {
	s.t.Helper()
	s.as = startProcess(s.t, "Authorization Server on", "as", "--data", s.data, "--listen", s.asAt.String(), "--gm", s.gmAt.String())
}

func (s *killSite) startGM() {
	s.t.Helper()
	s.gm = startProcess(s.t, "Group Manager on", "gm", "--data", s.data, "--listen", s.gmAt.String(), "--as", s.asAt.String(), "--multicast-interface", "lo")
}

// settle has the people enrol and the groups made, and everybody begin.
func (s *killSite) settle(ctx context.Context) {
	s.t.Helper()
	s.ctx = ctx
	for number := range 3 {
		if s.people.enrolOne(ctx, number) == nil {
			s.t.Fatal("nobody can enrol")
		}
	}
	for _, name := range []string{"hall", "many", "fresh"} {
		if err := s.admin.connect(ctx); err != nil {
			s.t.Fatal(err)
		}
		if err := s.admin.create(ctx, name, true); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, x := range s.people.list() {
		s.addOwn(x)
	}
	for number := range 12 {
		s.add(s.newNode(number, nil))
	}
	s.busy.Go(func() { s.admin.run(ctx) })
	s.busy.Go(func() { s.people.run(ctx) })
}

func (s *killSite) add(n *killNode) {
	if n == nil {
		return
	}
	s.mu.Lock()
	s.nodes = append(s.nodes, n)
	s.mu.Unlock()
	s.busy.Go(func() { n.run(s.ctx) })
}

// addOwn has a person be a member too.
func (s *killSite) addOwn(x *killPerson) { s.add(s.newNode(1000+len(s.everybody()), x)) }

func (s *killSite) everybody() []*killNode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nodes)
}

// anyNode picks one of those who are not being revoked.
func (s *killSite) anyNode(rng *mathrand.Rand) *killNode {
	all := slices.DeleteFunc(s.everybody(), (*killNode).goes)
	return all[rng.IntN(len(all))]
}

// insist repeats something until it is done; false when ctx ends first.
func (s *killSite) insist(ctx context.Context, fn func(context.Context) error) bool {
	for ctx.Err() == nil {
		s.gate.RLock()
		short, cancel := context.WithTimeout(ctx, patience)
		err := fn(short)
		cancel()
		s.gate.RUnlock()
		if err == nil {
			return true
		}
		sleep(ctx, 20*time.Millisecond)
	}
	return false
}

// insistLocked is insist for a check, in which both servers are up.
func (s *killSite) insistLocked(ctx context.Context, fn func(context.Context) error) bool {
	for range 12 {
		short, cancel := context.WithTimeout(ctx, patience)
		err := fn(short)
		cancel()
		if err == nil {
			return true
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return false
}

// sleep waits; false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// stuck ends the test, and has the servers print what they are at.
func (s *killSite) stuck(why string) {
	s.t.Helper()
	for _, p := range []*process{s.gm, s.as} {
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		_ = p.cmd.Wait()
	}
	s.t.Fatal(why)
}

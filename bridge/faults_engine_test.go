package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
	"lamplighter/internal/store"
)

var errKilled = errors.New("killed")

// mortal is the store and the network of an engine that ends without a warning
// at one of its writes: from then on nothing that it does has any effect. What
// it wrote before is there for the next one.
type mortal struct {
	store.Store
	coap.Exchanger
	left  atomic.Int64 // writes until the end
	after bool         // the last write takes place, but its caller does not hear of it
	dead  chan struct{}
}

func (m *mortal) over() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

func (m *mortal) Update(ctx context.Context, fn func(store.Tx) error) error {
	if m.over() {
		return errKilled
	}
	if m.left.Add(-1) != 0 {
		return m.Store.Update(ctx, fn)
	}
	if !m.after {
		close(m.dead)
		return errKilled
	}
	err := m.Store.Update(ctx, fn)
	close(m.dead)
	return errors.Join(err, errKilled)
}

func (m *mortal) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	if m.over() {
		return nil, errKilled
	}
	resp, err := m.Exchanger.Exchange(ctx, to, req)
	if m.over() {
		return nil, errKilled
	}
	return resp, err
}

func (m *mortal) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	if m.over() {
		return errKilled
	}
	return m.Exchanger.Multicast(ctx, to, req, wait, each)
}

func (m *mortal) Close() error { return nil }

// TestSoakKillEngine ends an engine at one of its writes in the middle of a batch
// that joins or releases, just before or just after the write is durable. The
// next engine over the same store goes on by itself, nobody is a member twice,
// and nobody stays a member who was released.
func TestSoakKillEngine(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 4)
	db := store.NewMemory()
	i := s.install(db)
	if _, err := i.AcceptInvitation(t.Context(), s.invitation("Ann").Encode()); err != nil {
		t.Fatal(err)
	}
	i.importAll()
	i.finish()
	for n := range rounds(5, 200) {
		next := s.killEngine(db, "join", n%2 == 0, func(i *installer) (commission.Job, error) {
			return i.Join(t.Context(), faultGroup, s.ids())
		})
		s.joinedOnce(1, s.ids()...)
		next.roll()
		next.finish()
		next = s.killEngine(db, "release", n%2 == 0, func(i *installer) (commission.Job, error) {
			return i.Release(t.Context(), s.ids())
		})
		s.joinedOnce(1)
		for n, l := range s.lamps.lamps {
			if l.current().State().Claimed {
				t.Errorf("lamp %d is still claimed", n)
			}
		}
		next.finish()
	}
}

// killEngine starts a job on an engine that does not see its end, and returns the
// next one over the same store, which does.
func (s *faultSite) killEngine(db store.Store, kind string, after bool, start func(*installer) (commission.Job, error)) *installer {
	s.t.Helper()
	m := &mortal{Store: db, after: after, dead: make(chan struct{})}
	m.left.Store(1 << 40)
	victim := s.install(db, func(c *commission.Config) {
		m.Exchanger = c.Exchange
		c.Store, c.Exchange = m, m
		c.Tuning.Concurrency = 2
	})
	writes := 1 + mathrand.Int64N(16)
	m.left.Store(writes)
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	if j, err := start(victim); err == nil {
		go func() {
			victim.WaitJob(ctx, j.ID) // it may have fewer writes
			cancel()
		}()
		select {
		case <-m.dead:
		case <-ctx.Done():
		}
	}
	joined := s.lampsIn()
	victim.finish()
	next := s.install(db)
	if jobs := next.Snapshot().Jobs; len(jobs) == 0 || jobs[0].Kind != kind || jobs[0].Ended != 0 {
		s.t.Logf("%s, write %d: the kill came before the job was durable, or after its end", kind, writes)
		next.done(next.wait(start(next)))
	} else {
		s.t.Logf("%s, write %d: goes on with %d of 4 lamps in the group", kind, writes, joined)
		next.done(next.wait(jobs[0], nil))
	}
	return next
}

func (s *faultSite) memberBrowsers() int {
	members, err := s.gm.server.Members(context.Background(), faultGroup)
	if err != nil {
		s.t.Error(err)
	}
	return len(members) - s.lampsIn()
}

// TestSoakKillCommission ends the program that commissions from a terminal with
// SIGKILL at random moments, and runs it again over its folder until it is
// through: all lamps verified, nobody a member twice, no nonce used twice, and
// the memory of its life holds against the next one's.
func TestSoakKillCommission(t *testing.T) {
	t.Parallel()
	lamps := rounds(6, 250)
	s := startFaultSite(t, lamps)
	dir := t.TempDir()
	nonces := filepath.Join(dir, "nonces")
	link := filepath.Join(dir, "link")
	invitation := s.invitation("Ann")
	if err := os.WriteFile(link, []byte(s.bridge.url()+"/#"+invitation.Encode()), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"commission", "--link", link, "--labels", s.labelsFile(), "--data", filepath.Join(dir, "site"), "--group", faultGroup, "--on", "--nonce-log", nonces}
	for range rounds(2, 100) {
		p := startProcess(t, "labels:", args...)
		enough := s.lampsIn() + mathrand.IntN(3)
		s.until("a join", func() bool { return s.memberBrowsers() > 0 && s.lampsIn() >= min(enough, lamps) })
		time.Sleep(time.Duration(mathrand.Int64N(int64(5 * time.Millisecond))))
		p.kill()
		s.seen.Write([]byte(p.printed()))
		t.Logf("killed after %d of %d joins", s.lampsIn(), lamps)
	}
	p := startProcess(t, "verified; ", args...)
	if err := p.cmd.Wait(); err != nil {
		t.Error(err)
	}
	s.seen.Write([]byte(p.printed()))
	if !strings.Contains(p.printed(), fmt.Sprintf("%d of %d verified", lamps, lamps)) {
		t.Errorf("it ended with:\n%s", p.printed())
	}
	s.joinedOnce(1, s.ids()...)
	for n := range lamps {
		s.lit(true, n)
	}
	noteNonceLog(t, nonces)
}

// TestCommissionBridgeGone takes the bridge away from the terminal's program in
// the middle of a batch: it waits, goes on and ends well.
func TestCommissionBridgeGone(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 8)
	link := s.bridge.url() + "/#" + s.invitation("Ann").Encode()
	p := startProcess(t, "labels:", "commission", "--link", link, "--labels", s.labelsFile(), "--data", filepath.Join(t.TempDir(), "site"), "--group", faultGroup)
	s.until("a join", func() bool { return s.lampsIn() > 0 })
	s.bridge.stop()
	joined := s.lampsIn()
	time.Sleep(700 * time.Millisecond)
	s.startBridge()
	if err := p.cmd.Wait(); err != nil || !strings.Contains(p.printed(), "8 of 8 verified") {
		t.Errorf("the bridge went away after %d joins: %v\n%s", joined, err, p.printed())
	}
	s.seen.Write([]byte(p.printed()))
	s.joinedOnce(1, s.ids()...)
}

// quickAge is what package backup does, without the second of work that its
// passphrase costs: under the race detector it would take longer than all else.
type quickAge struct{}

func (quickAge) Seal(_ context.Context, plaintext []byte, passphrase string) (string, error) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return "", err
	}
	to.SetWorkFactor(8)
	var file bytes.Buffer
	w, err := age.Encrypt(&file, to)
	if err != nil {
		return "", err
	}
	_, err = w.Write(plaintext)
	err = errors.Join(err, w.Close())
	return base64.StdEncoding.EncodeToString(file.Bytes()), err
}

func (quickAge) Open(_ context.Context, file, passphrase string) ([]byte, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(base64.NewDecoder(base64.StdEncoding, strings.NewReader(file)), id)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// TestBackup restores a site on another engine: it calls the roll, blinks, and
// takes more lamps in; the first one goes on, too.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	ann := s.enrolled("Ann")
	ann.importAll()
	ann.join(s.id(0), s.id(1))
	const passphrase = "a passphrase of the test"
	s.secret("the passphrase", []byte(passphrase))
	file, err := ann.Backup(t.Context(), passphrase)
	if err != nil {
		t.Fatal(err)
	}
	other := s.install(store.NewMemory())
	_, err = other.Restore(t.Context(), file, "another passphrase")
	s.told(err, "wrong-passphrase")
	_, err = other.Restore(t.Context(), file[:len(file)/2], passphrase)
	s.told(err, "wrong-passphrase")
	_, err = ann.Backup(t.Context(), "short")
	s.told(err, "short-passphrase")
	site, err := other.Restore(t.Context(), file, passphrase)
	if err != nil || site.Name != s.cmd.Site || !site.BackedUp {
		t.Fatalf("%+v, %v", site, err)
	}
	if call := other.roll(); len(call.Answers) != 2 {
		t.Errorf("%d rows after the restore", len(call.Answers))
	}
	if err := other.Blink(t.Context(), s.id(0), 1); err != nil {
		t.Error(err)
	}
	if !s.lamps.lamps[0].current().State().Blinking {
		t.Error("the lamp does not blink")
	}
	other.join(s.id(2))
	other.light(true)
	s.lit(true, 0, 1, 2)
	ann.light(false) // of her own two
	if err := ann.Blink(t.Context(), s.id(1), 1); err != nil {
		t.Error(err)
	}
	s.joinedOnce(s.memberBrowsers(), s.ids()...)
}

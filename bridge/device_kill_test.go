package main

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/label"
	"lamplighter/internal/store"
)

// nativeSite is AS and GM in this process and an engine that speaks UDP.
type nativeSite struct {
	t      *testing.T
	as     *asRole
	gm     *gmRole
	group  netip.AddrPort
	engine *commission.Engine
}

func startNativeSite(t *testing.T) *nativeSite {
	t.Helper()
	ctx, data := context.Background(), t.TempDir()
	any := netip.MustParseAddrPort("127.0.0.1:0")
	a, err := startAS(asOptions{data: data, listen: any, logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.stop)
	g, err := startGM(ctx, gmOptions{data: data, listen: any, groups: []string{"hall"}, logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.stop)
	s := &nativeSite{t: t, as: a, gm: g, group: netip.AddrPortFrom(netip.MustParseAddr("224.0.1.187"), freePort(t).Port())}
	s.engine = s.newEngine("first installer")
	return s
}

// quick does not wait long for a lamp that was killed.
var quick = commission.Tuning{
	Timeout: 1500 * time.Millisecond, Leisure: 50 * time.Millisecond, Grace: 250 * time.Millisecond,
	FollowUp: 2 * time.Second, Backoff: 50 * time.Millisecond,
}

// newEngine is another installer's, with an invitation of its own.
func (s *nativeSite) newEngine(name string) *commission.Engine {
	s.t.Helper()
	ctx := context.Background()
	udp, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), nil, endpoint.UDPOptions{Interface: "lo"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { udp.Close() })
	e, err := commission.New(commission.Config{Store: store.NewMemory(), Exchange: udp, Logger: silent, Tuning: quick})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(e.Close)
	if err := e.Start(ctx); err != nil {
		s.t.Fatal(err)
	}
	e.SetLink(true, 0, "")
	invitation, _, err := s.as.invite(ctx, inviteRequest{Name: name, Role: "installer", Groups: []string{"hall"}, Seconds: 3600})
	if err != nil {
		s.t.Fatal(err)
	}
	invitation.GMAddress, invitation.GMCred = s.gm.addr().String(), s.gm.identity.cred
	invitation.Multicast, invitation.Site = s.group.String(), "Test"
	if _, err := e.AcceptInvitation(ctx, invitation.Encode()); err != nil {
		s.t.Fatal(err)
	}
	return e
}

// lampProcess is a lamp in a process of its own.
type lampProcess struct {
	args  []string
	label label.Label
	*process
}

func (s *nativeSite) startLamp(n int, more ...string) *lampProcess {
	s.t.Helper()
	secret := fmt.Sprintf("%032x", 0xfeed0000+n)
	id := fmt.Sprintf("000b57fffe99%04x", n)
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 250, byte(1 + n%250)}), freePort(s.t).Port())
	l := &lampProcess{args: []string{"device", "--data", filepath.Join(s.t.TempDir(), id), "--id", id, "--secret", secret,
		"--listen", addr.String(), "--group", s.group.String(), "--leisure", "5ms", "--name", fmt.Sprintf("Lamp %d", n)}}
	l.args = append(l.args, more...)
	var table string
	l.process, table = startForLabel(s.t, l.args)
	labels, bad, err := label.ParseCSV(strings.NewReader(table))
	if err != nil || len(bad) > 0 || len(labels) != 1 {
		s.t.Fatalf("the lamp printed no label: %q", table)
	}
	l.label = labels[0]
	return l
}

// startForLabel starts a lamp and returns the table that it prints.
func startForLabel(t *testing.T, args []string) (*process, string) {
	t.Helper()
	p := startProcess(t, "lamp-dim-1", args...)
	return p, p.printed()
}

func (l *lampProcess) restart(t *testing.T) {
	l.kill()
	l.process, _ = startForLabel(t, l.args)
}

func (s *nativeSite) importLabels(ctx context.Context, lamps ...*lampProcess) {
	s.t.Helper()
	var table strings.Builder
	var labels []label.Label
	for _, l := range lamps {
		labels = append(labels, l.label)
	}
	if err := label.WriteCSV(&table, labels); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.engine.ImportLabels(ctx, table.String()); err != nil {
		s.t.Fatal(err)
	}
}

// TestKillDevice kills a lamp at a random moment of its join. Whatever it had
// done by then, a retry ends with one member of that device that answers.
func TestKillDevice(t *testing.T) {
	s := startNativeSite(t)
	for n := range rounds(50, 1000) {
		killDuringJoin(t, s, n)
	}
}

func killDuringJoin(t *testing.T, s *nativeSite, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	lamp := s.startLamp(n)
	defer func() { lamp.kill() }()
	s.importLabels(ctx, lamp)
	id := label.FormatID(lamp.label.ID)
	job, err := s.engine.Join(ctx, "hall", []string{id})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(mathrand.Int64N(int64(60 * time.Millisecond))))
	lamp.restart(t)
	for try := 0; ; try++ {
		if job, err = s.engine.WaitJob(ctx, job.ID); err != nil {
			t.Fatal(err)
		}
		if job.State == commission.JobDone {
			break
		}
		if try == 3 {
			t.Fatalf("lamp %d did not join after %d retries: %+v", n, try, job.Items[0].Problem)
		}
		if job, err = s.engine.RetryJob(ctx, job.ID); err != nil {
			t.Fatal(err)
		}
	}
	checkJoinedOnce(t, ctx, s, id)
	// Out of the way of the next one's roll call.
	if job, err = s.engine.Release(ctx, []string{id}); err != nil {
		t.Fatal(err)
	}
	if job, err = s.engine.WaitJob(ctx, job.ID); err != nil || job.State != commission.JobDone {
		t.Fatalf("releasing lamp %d: %v, %+v", n, err, job)
	}
}

func checkJoinedOnce(t *testing.T, ctx context.Context, s *nativeSite, id string) {
	t.Helper()
	members, err := s.gm.server.Members(ctx, "hall")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, m := range members {
		if m.Subject == id {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%s is a member %d times", id, count)
	}
	call, err := s.engine.RollCall(ctx, "hall")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range call.Answers {
		if a.Device == id && a.State != commission.AnswerVerified {
			t.Errorf("%s answered the roll call with %q: %+v", id, a.State, a.Problem)
		}
	}
}

// TestKillDeviceWhileItReceives kills a lamp while an image comes in, twice. It goes on
// with what its flash holds, and runs the image in the end, as the others do.
func TestKillDeviceWhileItReceives(t *testing.T) {
	s := startNativeSite(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	vendor := t.TempDir()
	key, err := vendorKey(vendor)
	if err != nil {
		t.Fatal(err)
	}
	file, err := demoFirmwares()[0].envelope(key)
	if err != nil {
		t.Fatal(err)
	}
	var lamps []*lampProcess
	var ids []string
	for n := range 3 {
		l := s.startLamp(2000+n, "--vendor-key", filepath.Join(vendor, "keys", "vendor.pem"), "--reboot", "50ms")
		defer func() { l.kill() }()
		lamps, ids = append(lamps, l), append(ids, label.FormatID(l.label.ID))
	}
	s.importLabels(ctx, lamps...)
	job, err := s.engine.Join(ctx, "hall", ids)
	if err == nil {
		job, err = s.engine.WaitJob(ctx, job.ID)
	}
	if err != nil || job.State != commission.JobDone {
		t.Fatalf("joining: %v, %+v", err, job)
	}
	img, err := s.engine.InspectFirmware(ctx, file)
	if err != nil {
		t.Fatal(err)
	}
	job, err = s.engine.StartFirmware(ctx, "hall", img.Digest, commission.FirmwareOptions{Profile: "wi-fi", Canary: len(ids), MaxUnavailable: len(ids)})
	if err != nil {
		t.Fatal(err)
	}
	away := 0 // bytes sent while there was nobody to take them
	for _, part := range []float64{0.3, 0.7} {
		for {
			r, err := s.engine.Firmware(ctx, job.ID)
			if err != nil || r.Ended != 0 {
				t.Fatalf("it ended before the lamp was killed: %v, %+v", err, r.Problem)
			}
			if r.Blocks > 0 && float64(r.Sent) >= part*float64(r.Blocks) {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		before, err := s.engine.Firmware(ctx, job.ID)
		if err != nil {
			t.Fatal(err)
		}
		lamps[0].restart(t)
		after, err := s.engine.Firmware(ctx, job.ID)
		if err != nil {
			t.Fatal(err)
		}
		away += after.Bytes - before.Bytes
	}
	for {
		if job, err = s.engine.WaitJob(ctx, job.ID); err != nil || job.State == commission.JobDone {
			break
		}
		if job, err = s.engine.RetryJob(ctx, job.ID); err != nil {
			break
		}
	}
	r, failed := s.engine.Firmware(ctx, job.ID)
	if err != nil || failed != nil {
		t.Fatal(err, failed, r.Problem)
	}
	for _, d := range r.Devices {
		if d.State != "confirmed" || d.Version != "2.0.0" {
			t.Errorf("%s is %q with %q: %+v", d.Device, d.State, d.Version, d.Problem)
		}
	}
	if r.Bytes-away > 5*img.Size/2 || r.Sent > 3*r.Blocks/2 {
		t.Errorf("%d bytes beside %d to a lamp without power, %d source blocks of %d, for an image of %d bytes: it began anew", r.Bytes-away, away, r.Sent, r.Blocks, img.Size)
	}
}

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
	"lamplighter/internal/cose"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/oscore"
)

// apart is an Authorization Server and a bridge in processes of their own, over
// one data folder, that a test kills and starts again.
type apart struct {
	t          *testing.T
	data, base string
	asArgs     []string
	bridgeArgs []string
	as, bridge *process
}

func startApart(t *testing.T) *apart {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	address := listener.Addr().String()
	a := &apart{t: t, data: t.TempDir(), base: "http://" + address}
	a.asArgs = []string{"as", "--data", a.data, "--listen", freePort(t).String(), "--bridge", a.base}
	a.bridgeArgs = []string{"bridge", "--data", a.data, "--listen", address}
	a.start()
	t.Cleanup(func() { a.as.kill(); a.bridge.kill() })
	return a
}

func (a *apart) start() {
	a.t.Helper()
	a.as = startProcess(a.t, "Authorization Server on", a.asArgs...)
	a.bridge = startProcess(a.t, "Bridge on", a.bridgeArgs...)
}

// kill ends both at once, and starts them again.
func (a *apart) kill() {
	a.t.Helper()
	a.as.kill()
	a.bridge.kill()
	a.start()
}

// invites somebody and signs in with the link.
func (a *apart) invites(name string) (commission.Invitation, string) {
	a.t.Helper()
	made, err := callAS[invited](a.t.Context(), atAS{a.data}, "POST", "/invite", inviteRequest{Name: name, Role: "installer", Groups: []string{"hall"}, Seconds: 60})
	if err != nil {
		a.t.Fatal(err)
	}
	i, err := commission.ParseInvitation(made.Link)
	if err != nil {
		a.t.Fatal(err)
	}
	token, err := endpoint.SignIn(a.t.Context(), a.base, i.AccessCode)
	if err != nil {
		a.t.Fatal(err)
	}
	return i, token
}

func (a *apart) dial(token string) *endpoint.WS {
	a.t.Helper()
	ws, err := endpoint.DialExplained(a.t.Context(), a.base, endpoint.WSOptions{Token: token})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { ws.Close() })
	return ws
}

// enrol does what a browser does with an invitation.
func (a *apart) enrol(i commission.Invitation, ws coap.Exchanger) error {
	a.t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	session := oscore.NewPSKClient(oscore.NewPSK(i.ID, i.Secret, oscore.SaltInvitation), ws, netip.MustParseAddrPort(i.ASAddress), rand.Reader)
	req := coap.NewRequest(coap.POST, "/enroll", cbor.MustMarshal(map[int]any{1: cose.NewCCS(i.Installer, public), 2: i.Installer}))
	coap.AddUint(req, coap.OptionContentFormat, 60)
	ctx, cancel := context.WithTimeout(a.t.Context(), 5*time.Second)
	defer cancel()
	resp, err := session.Call(ctx, req)
	if err != nil {
		return err
	}
	return coap.CheckResponse(resp)
}

// session is how the bridge sees a token.
func (a *apart) session(token string) string {
	a.t.Helper()
	s, err := endpoint.SessionState(a.t.Context(), a.base, token)
	switch {
	case err != nil:
		a.t.Fatal(err)
	case s.Revoked:
		return "revoked"
	case s.SignedIn:
		return "signed in"
	}
	return "signed out"
}

func (a *apart) names() (names []string) {
	a.t.Helper()
	list, err := callAS[[]person](a.t.Context(), atAS{a.data}, "GET", "/people", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, p := range list {
		names = append(names, p.Name+" "+p.state()[:5])
	}
	return names
}

// TestKillPeople: what a command or an enrolment was told to be done is done, even
// when the Authorization Server and the bridge are killed the next moment.
func TestKillPeople(t *testing.T) {
	t.Parallel()
	a := startApart(t)
	ann, annToken := a.invites("Ann")
	bob, bobToken := a.invites("Bob")
	_, cidToken := a.invites("Cid")
	a.kill()
	for name, token := range map[string]string{"Ann": annToken, "Bob": bobToken, "Cid": cidToken} {
		if got := a.session(token); got != "signed in" {
			t.Errorf("%s after the first kill: %s", name, got)
		}
	}
	for token, i := range map[string]commission.Invitation{annToken: ann, bobToken: bob} {
		if err := a.enrol(i, a.dial(token)); err != nil {
			t.Fatalf("%s enrols: %v", i.Installer, err)
		}
	}
	a.kill()
	if err := a.enrol(ann, a.dial(annToken)); err == nil {
		t.Error("a second browser enrolled with a used link")
	}
	annLink, bobLink := a.dial(annToken), a.dial(bobToken)
	begun := time.Now()
	for _, who := range []string{"Ann", "Cid"} {
		if _, err := callAS[[]person](t.Context(), atAS{a.data}, "POST", "/revoke", revokeRequest{who}); err != nil {
			t.Fatal(err)
		}
	}
	a.as.kill() // the bridge does not need it
	select {
	case <-annLink.Done():
		t.Logf("the connection ended after %s", time.Since(begun).Round(time.Millisecond))
	case <-time.After(3 * time.Second):
		t.Error("Ann's connection goes on")
	}
	if bobLink.Err() != nil {
		t.Error("Bob's connection ended:", bobLink.Err())
	}
	a.kill()
	for token, want := range map[string]string{annToken: "revoked", bobToken: "signed in", cidToken: "revoked"} {
		if got := a.session(token); got != want {
			t.Errorf("after the last kill: %s, want %s", got, want)
		}
	}
	// The record of who was revoked stays; the invitation is gone.
	if got := a.names(); !slices.Equal(got, []string{"Ann revok", "Bob since"}) {
		t.Error(got)
	}
	if err := a.enrol(ann, a.dial(bobToken)); err == nil {
		t.Error("a revoked person's invitation opens the Authorization Server")
	}
}

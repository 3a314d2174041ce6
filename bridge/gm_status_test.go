package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"lamplighter/bridge/control"

	"github.com/alecthomas/kong"
)

// TestGMCommands: `gm` alone runs a Group Manager, with its flags; the commands to
// a running one stand beside.
func TestGMCommands(t *testing.T) {
	for line, want := range map[string]string{
		"gm --data x --listen 127.0.0.1:1": "gm run", "gm run --data x": "gm run", "gm status --data x": "gm status",
		"gm": "", "gm dance --data x": "", "gm status --data x --listen 127.0.0.1:1": "",
	} {
		var c cli
		parser, err := kong.New(&c, kong.Vars{"version": "1"})
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.Parse(strings.Fields(line))
		switch {
		case (err == nil) != (want != ""):
			t.Errorf("%s: %v", line, err)
		case err == nil && parsed.Command() != want:
			t.Errorf("%s runs %q", line, parsed.Command())
		}
	}
}

// TestGMStatus asks a running Group Manager, and one that does not run.
func TestGMStatus(t *testing.T) {
	at := atGM{t.TempDir()}
	status := func() (gmStatus, error) {
		s, err := control.Call[gmStatus](t.Context(), at.Data, gmName, "GET", "/status", nil)
		return s, at.notRunning(err)
	}
	if _, err := status(); err == nil || !strings.Contains(err.Error(), "start it with: lamplighter gm --data "+at.Data) {
		t.Error(err)
	}
	g, err := startGM(t.Context(), gmOptions{data: at.Data, listen: netip.MustParseAddrPort("127.0.0.1:0"), logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	defer g.stop()
	s, err := status()
	if err != nil || s.Address != g.addr().String() || s.Version != version || s.Since == 0 {
		t.Error(s, err)
	}
	var out bytes.Buffer
	if err := s.print(&out); err != nil || !strings.Contains(out.String(), "on coap://"+s.Address+" since 20") {
		t.Error(out.String(), err)
	}
}

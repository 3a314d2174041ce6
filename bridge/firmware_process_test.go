package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runProcess runs lamplighter to its end and returns what it printed and its exit
// code.
func runProcess(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), argsEnv+"="+strings.Join(args, "\n"), "LAMPLIGHTER_LOG=error")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestFirmwareFromTerminal pushes from a terminal: a dry run sends nothing; another
// terminal sees and pauses the push; Ctrl-C ends it, and it can be resumed; what
// runs already is not sent again.
func TestFirmwareFromTerminal(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 4, func(c *demoCmd) { c.Reboot = 50 * time.Millisecond })
	data := filepath.Join(t.TempDir(), "site")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.WriteFile(link, []byte(s.bridge.url()+"/#"+s.invitation("Ann").Encode()), 0o600); err != nil {
		t.Fatal(err)
	}
	at := []string{"--link", link, "--data", data}
	out, code := runProcess(t, append([]string{"commission", "--labels", s.labelsFile(), "--group", faultGroup}, at...)...)
	if code != 0 {
		t.Fatalf("%d\n%s", code, out)
	}
	push := func(more ...string) []string {
		file := filepath.Join(s.cmd.Data, "firmware", "lamp-2.0.0.suit")
		return append(append([]string{"firmware", "push", file, "--group", faultGroup, "--profile", "wi-fi", "--yes"}, at...), more...)
	}
	if out, code = runProcess(t, push("--dry-run")...); code != 0 || !strings.Contains(out, "4 of 4 devices can take it") || s.running("1.0.0") != 4 {
		t.Errorf("dry run: %d\n%s", code, out)
	}
	if out, code = runProcess(t, "firmware", "status", "--data", data); code != 1 || !strings.Contains(out, "no rollout") {
		t.Errorf("no status: %d\n%s", code, out)
	}

	p := startProcess(t, "sending", push()...)
	if out, code = runProcess(t, "firmware", "pause", "--data", data); code != 0 || !strings.Contains(out, "paused") {
		t.Errorf("pause: %d\n%s", code, out)
	}
	if out, code = runProcess(t, "firmware", "status", "--data", data); code != 0 || !strings.Contains(out, "lamp-dim-1 2.0.0 to "+faultGroup) {
		t.Errorf("status: %d\n%s", code, out)
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("interrupted: %d\n%s", code, p.printed())
	}
	if out, code = runProcess(t, "firmware", "status", "--data", data); code != 0 || !strings.Contains(out, "paused") {
		t.Errorf("status when nobody sends: %d\n%s", code, out)
	}

	out, code = runProcess(t, append([]string{"firmware", "resume"}, at...)...)
	if code != 0 || !strings.Contains(out, "4 of 4 devices run 2.0.0") || s.running("2.0.0") != 4 {
		t.Errorf("resumed: %d, %v\n%s", code, s.run(), out)
	}
	if out, code = runProcess(t, "firmware", "report", "--data", data); code != 0 || !strings.Contains(out, s.id(3)) {
		t.Errorf("report: %d\n%s", code, out)
	}
	if out, code = runProcess(t, push()...); code != 0 || !strings.Contains(out, "All run it already.") {
		t.Errorf("again: %d\n%s", code, out)
	}
}

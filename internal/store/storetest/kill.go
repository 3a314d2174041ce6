package storetest

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Kill runs one test of this binary in a process of its own, with a variable set in
// its environment, and kills it at a random moment within a time after its first line
// "#…". Every such line is handed on without the "#".
func Kill(t *testing.T, test, variable string, within time.Duration, line func(string)) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), variable)
	pipe, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	started := false
	for scan := bufio.NewScanner(pipe); scan.Scan(); {
		text, ok := strings.CutPrefix(scan.Text(), "#")
		if !ok {
			continue
		}
		if !started { // it is at work: it has this long to live
			started = true
			time.AfterFunc(rand.N(within), func() { _ = cmd.Process.Kill() })
		}
		line(text)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the child was not killed: %v", err)
	}
}

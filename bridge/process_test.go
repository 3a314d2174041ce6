package main

import (
	"bufio"
	"crypto/rand"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/endpoint"
)

// argsEnv makes the test binary run the program itself, so that a test can kill
// a real process.
const argsEnv = "LAMPLIGHTER_TEST_ARGS"

func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv(argsEnv); ok {
		os.Args = append([]string{"lamplighter"}, strings.Split(args, "\n")...)
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a running lamplighter.
type process struct {
	cmd *exec.Cmd

	mu   sync.Mutex
	text strings.Builder
}

// printed is what the process has written to its standard output.
func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// startProcess runs lamplighter with args and waits for a line with the word.
func startProcess(t testing.TB, word string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), argsEnv+"="+strings.Join(args, "\n"), "LAMPLIGHTER_LOG=error")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	ready := make(chan bool, 1)
	var found sync.Once
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			p.mu.Lock()
			p.text.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			if strings.Contains(lines.Text(), word) {
				found.Do(func() { ready <- true })
			}
		}
		found.Do(func() { ready <- false })
	}()
	select {
	case ok := <-ready:
		if !ok {
			t.Fatalf("lamplighter %s ended before it was ready", args[0])
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("lamplighter %s is not ready after 20 s", args[0])
	}
	return p
}

// kill ends the process with SIGKILL and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
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

// rounds is how often a test that kills something does so: the short form in
// `make test`, the long one in `make soak`.
func rounds(short, soak int) int {
	if os.Getenv("LAMPLIGHTER_SOAK") != "" {
		return soak
	}
	return short
}

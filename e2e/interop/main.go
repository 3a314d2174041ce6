// Command interop checks OSCORE, Group OSCORE, CoAP over UDP and WebSockets, and SUIT
// envelopes against other implementations, live over loopback. The peers are small
// programs in peers/ and programs of distributions, which it starts and ends. Run
// it from the project's root, by `make interop`, which installs them first.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Bounds of the suite, for machines that are busy otherwise.
const (
	suiteTime = 4 * time.Minute
	caseTime  = 20 * time.Second
)

// testCase is one thing that we and a peer do with each other.
type testCase struct {
	name string
	run  func(ctx context.Context, l *lab) error
}

// implementation is another one, with the cases in which we meet it.
type implementation struct {
	name     string
	identify func(context.Context, tools) (string, error) // name and version
	cases    []testCase
}

// implementations are the suite.
var implementations = []implementation{
	{"aiocoap", identifyAiocoap, aiocoapCases},
	{"libcoap", identifyLibcoap, libcoapCases},
	{"pycose", identifySUIT, suitCases},
}

// tools say where the peers' programs are; what is empty is missing.
type tools struct {
	python string
	peers  *processes // of python
}

// errMissing says that an implementation is not installed.
var errMissing = errors.New("not installed")

// unavailable is the error of a case for which the peer lacks the feature: what
// it says is printed.
type unavailable string

// Error says what is missing.
func (u unavailable) Error() string { return string(u) }

func main() {
	s := suite{Writer: os.Stdout, tools: tools{peers: &processes{}}}
	flag.StringVar(&s.python, "python", "build/venv/bin/python", "Python `program` that has aiocoap and pycose; empty: there is none")
	flag.IntVar(&s.lanes, "lanes", 3, "run so many cases side by side")
	only := flag.String("only", "", "run only the cases whose names match this `expression`")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop: -only:", err)
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), suiteTime)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	well := s.run(ctx, wanted)
	s.peers.close()
	if !well {
		os.Exit(1)
	}
}

// runOne runs one case in a lab of its own and returns what the peers wrote to
// standard error.
func runOne(ctx context.Context, t tools, c testCase) (log []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, caseTime)
	defer cancel()
	l := &lab{tools: t}
	err = c.run(ctx, l)
	l.failed = err != nil
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return l.close(), err
}

// indented sets a peer's log off from the lines of the cases.
func indented(log []byte) string {
	log = bytes.TrimSpace(log)
	if len(log) == 0 {
		return ""
	}
	return "      | " + strings.ReplaceAll(string(log), "\n", "\n      | ") + "\n"
}

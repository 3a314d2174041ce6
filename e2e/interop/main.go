// Interop plays our side of OSCORE, Group OSCORE and CoAP over WebSockets
// against other implementations, live over loopback. The peers are small
// programs in peers/, which it starts and ends. Run it from the project's root,
// by `make interop`, which installs the peers' packages first.
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

// Bounds of the suite.
const (
	suiteTime = 55 * time.Second
	caseTime  = 8 * time.Second
)

// testCase is one thing that we and a peer do with each other.
type testCase struct {
	name string
	run  func(ctx context.Context, l *lab) error
}

// unavailable is the error of a case for which the peer lacks the feature: what
// it says is printed.
type unavailable string

// Error says what is missing.
func (u unavailable) Error() string { return string(u) }

func main() {
	python := flag.String("python", "build/venv/bin/python", "Python `program` that has the peers' packages")
	only := flag.String("only", "", "run only the cases whose names match this `expression`")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), suiteTime)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := runAll(ctx, *python, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
	}
	if failed || err != nil {
		os.Exit(1)
	}
}

// runAll runs the cases one after the other and prints a line for each and a
// last one that counts them.
func runAll(ctx context.Context, python, only string) (failed bool, err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return false, fmt.Errorf("-only: %w", err)
	}
	peer, err := identify(ctx, python)
	if err != nil {
		return false, fmt.Errorf("asking the peer who it is: %w", err)
	}
	var ok, bad, missing int
	for _, c := range cases {
		if !wanted.MatchString(c.name) {
			continue
		}
		log, err := runOne(ctx, python, c)
		var lacks unavailable
		switch {
		case err == nil:
			ok++
			fmt.Printf("ok    %-66s %s\n", c.name, peer)
		case errors.As(err, &lacks):
			missing++
			fmt.Printf("n/a   %-66s %s (%s)\n", c.name, peer, lacks)
		default:
			bad++
			fmt.Printf("FAIL  %-66s %s: %v\n%s", c.name, peer, err, indented(log))
		}
	}
	fmt.Printf("%d cases: %d ok, %d failed, %d not available at the peer\n", ok+bad+missing, ok, bad, missing)
	if ok+bad+missing == 0 {
		return false, errors.New("no case matches -only")
	}
	return bad > 0, nil
}

// runOne runs one case in a lab of its own and returns what the peers wrote to
// standard error.
func runOne(ctx context.Context, python string, c testCase) (log []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, caseTime)
	defer cancel()
	l := &lab{python: python}
	err = c.run(ctx, l)
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

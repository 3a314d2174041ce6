package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// inBubbles measures where time is simulated: it passes when all goroutines wait.
// Only tests can ask for that, so the program calls itself to be one: with -bubbles
// it comes to [bubbles].
func inBubbles(section string) func() ([]result, error) {
	return func() ([]result, error) { return callItself(section) }
}

func callItself(section string) ([]result, error) {
	dir, err := os.MkdirTemp("", "lamplighter-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	out := filepath.Join(dir, "figures.json")
	cmd := exec.Command(self, "-bubbles", out, "-only", section)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	failed := cmd.Run()
	var all []result
	text, err := os.ReadFile(out)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	return all, errors.Join(failed, err)
}

// bubbles runs measure as a test, writes the figures to out, and exits.
func bubbles(out string, measure func(bubble func(func() error) error) ([]result, error)) {
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "figures", F: func(t *testing.T) {
		list, err := measure(func(f func() error) (err error) {
			synctest.Test(t, func(*testing.T) { err = f() })
			return err
		})
		if err = errors.Join(err, write(out, list)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			t.Fail()
		}
	}}}, nil, nil)
}

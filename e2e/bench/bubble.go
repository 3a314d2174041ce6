package main

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
)

// bubble calls f where time is simulated: it passes when all of f's goroutines wait.
// Only a test can ask for that, so f runs as one.
func bubble(f func() error) (err error) {
	if flag.Lookup("test.v") == nil {
		testing.Init()
	}
	out := os.Stdout
	os.Stdout = os.Stderr // what a test prints when it fails
	defer func() { os.Stdout = out }()
	ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "bubble", F: func(t *testing.T) { synctest.Test(t, func(*testing.T) { err = f() }) },
	}})
	if !ok && err == nil {
		return fmt.Errorf("the simulation failed")
	}
	return err
}

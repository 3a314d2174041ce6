package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestOutlined: all that is compiled without inlining is part of the engine, and
// nothing that handles messages is among it.
func TestOutlined(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "./wasm")
	list.Dir = "../.."
	list.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	text, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(text))
	fast := regexp.MustCompile(`^(crypto|runtime|filippo\.io|golang\.org/x/crypto|vendor/golang\.org/x/crypto|lamplighter/internal/(cbor|coap|cose|oscore)|lamplighter/wasm/webcrypto)(/|$)`)
	for _, pattern := range outlined {
		prefix, below := strings.CutSuffix(pattern, "/...")
		matches := 0
		for _, p := range packages {
			if p != prefix && !(below && strings.HasPrefix(p, prefix+"/")) {
				continue
			}
			matches++
			if fast.MatchString(p) {
				t.Errorf("%s, which has to be fast, is not inlined", p)
			}
		}
		if matches == 0 {
			t.Errorf("%s is no part of the engine", pattern)
		}
	}
}

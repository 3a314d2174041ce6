package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Programs are the WebAssembly binaries, and the glue that comes with the Go
// that compiled them.
type programs struct {
	engine, backup []byte
	glue           string // path of wasm_exec.js
}

// outlined are packages in which the compiler does not inline calls: what runs
// once for a click or a row. The engine is about 5 % smaller for it. Cryptography,
// whatever handles messages, and Go's runtime keep inlining, where it is speed; all
// of them together would save as much again.
var outlined = []string{
	"bufio", "context", "encoding/base64", "encoding/csv", "encoding/hex", "encoding/json", "fmt", "internal/fmtsort",
	"internal/poll", "internal/strconv", "io/fs", "log", "math/big", "net/netip", "net/url", "os", "path", "reflect",
	"strconv", "strings", "time", "unique",
	"github.com/fxamacker/...",
	"lamplighter/internal/ace", "lamplighter/internal/admin", "lamplighter/internal/commission",
	"lamplighter/internal/endpoint", "lamplighter/internal/firmware", "lamplighter/internal/groupcomm", "lamplighter/internal/join",
	"lamplighter/internal/label", "lamplighter/internal/rollout", "lamplighter/internal/settings/...", "lamplighter/internal/store/...",
	"lamplighter/internal/suit", "lamplighter/wasm",
}

func compile(root, work string, fresh bool) (programs, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return programs{}, fmt.Errorf("asking for GOROOT: %w", err)
	}
	p := programs{glue: filepath.Join(strings.TrimSpace(string(goroot)), "lib", "wasm", "wasm_exec.js")}
	if p.engine, err = program(root, work, "engine", "./wasm", fresh); err != nil {
		return programs{}, err
	}
	p.backup, err = program(root, work, "backup", "./wasm/backup", fresh)
	return p, err
}

// program compiles one package. Without fresh it takes the last result, or
// nothing.
func program(root, work, name, pkg string, fresh bool) ([]byte, error) {
	path := filepath.Join(work, name+".wasm")
	if fresh {
		args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path}
		for _, pattern := range outlined {
			args = append(args, "-gcflags="+pattern+"=-l")
		}
		cmd := exec.Command("go", append(args, pkg)...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("compiling %s: %w", pkg, err)
		}
	}
	content, err := os.ReadFile(path)
	if !fresh && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if content, err = oneSegment(content); err != nil {
		return nil, fmt.Errorf("packing %s: %w", pkg, err)
	}
	return content, nil
}

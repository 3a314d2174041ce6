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
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, pkg)
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
	return content, err
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// peerFolder holds the peer programs.
const peerFolder = "e2e/interop/peers"

// parting is how long a peer may take to end by itself.
const parting = 2 * time.Second

// lab is what one case has started. It ends with the case.
type lab struct {
	tools
	blockSize int          // of our lamps' blocks; 0: the default
	log       bytes.Buffer // the peers' standard error
	ends      []func()
}

// later has f called at the end of the case, the last one first.
func (l *lab) later(f func()) { l.ends = append(l.ends, f) }

// close ends everything and returns what the peers wrote to standard error.
func (l *lab) close() []byte {
	for i := len(l.ends) - 1; i >= 0; i-- {
		l.ends[i]()
	}
	return l.log.Bytes()
}

// folder makes a folder for what a peer stores.
func (l *lab) folder() (string, error) {
	dir, err := os.MkdirTemp("", "lamplighter-interop-")
	if err != nil {
		return "", err
	}
	l.later(func() { _ = os.RemoveAll(dir) })
	return dir, nil
}

// hello is the first line of a peer: who it is and where it listens.
type hello struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	UDP     uint16 `json:"udp"` // port
	WS      uint16 `json:"ws"`  // port
}

// peer is a running peer program. It speaks JSON, one object a line.
type peer struct {
	hello
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
}

// start starts a peer program and waits until it is ready. It is killed by its
// process id when ctx ends.
func (l *lab) start(ctx context.Context, program string, config any) (*peer, error) {
	// -B: no compiled files among the sources.
	cmd := exec.CommandContext(ctx, l.python, "-B", filepath.Join(peerFolder, program))
	cmd.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*") // loopback, whatever the environment
	cmd.WaitDelay = parting
	var log bytes.Buffer
	cmd.Stderr = &log
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	p := &peer{cmd: cmd, in: in, answers: json.NewDecoder(out)}
	l.later(func() {
		p.end()
		l.log.Write(log.Bytes())
	})
	if err := p.ask(config, &p.hello); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	return p, nil
}

// ask sends one line and reads one. When the peer is gone it fails with io.EOF.
func (p *peer) ask(question, answer any) error {
	line, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("asking the peer: %w", err)
	}
	if err := p.answers.Decode(answer); err != nil {
		return fmt.Errorf("hearing the peer: %w", err)
	}
	return nil
}

// end lets the peer go, and kills it when it does not.
func (p *peer) end() {
	_ = p.in.Close()
	kill := time.AfterFunc(parting, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	_ = p.cmd.Wait() // how it ended says nothing about the case
}

// identifyAiocoap returns name and version of aiocoap.
func identifyAiocoap(ctx context.Context, t tools) (string, error) {
	if t.python == "" {
		return "", errMissing
	}
	l := &lab{tools: t}
	p, err := l.start(ctx, "client.py", struct{}{})
	log := l.close()
	if err != nil {
		return "", errors.Join(err, errors.New(string(bytes.TrimSpace(log))))
	}
	return p.Name + " " + p.Version, nil
}

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
	"sync"
	"time"
)

// peerProgram is aiocoap in the roles of the suite.
const peerProgram = "e2e/interop/peers/peer.py"

// parting is how long a peer may take to end.
const parting = 2 * time.Second

// hello is the first line of a peer: who it is and where it listens.
type hello struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	UDP     uint16 `json:"udp"` // port
	WS      uint16 `json:"ws"`  // port
}

// peer is aiocoap in one role. It speaks JSON, one object a line.
type peer struct {
	hello
	*process
}

// process is a Python that has loaded aiocoap, which takes long: it is used for
// one case after the other.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
	log     *journal
}

// journal is what a process writes to standard error.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements [io.Writer].
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

// take returns what has been written since the last take.
func (j *journal) take() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.buf.Reset()
	return bytes.Clone(j.buf.Bytes())
}

// processes are those that no case uses now.
type processes struct {
	mu   sync.Mutex
	idle []*process
}

// get returns an idle process, or nil.
func (p *processes) get() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	last := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return last
}

func (p *processes) put(idle *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, idle)
}

// close ends all idle processes.
func (p *processes) close() {
	for one := p.get(); one != nil; one = p.get() {
		one.end()
	}
}

// newProcess starts a process. It ends with its standard input.
func (t tools) newProcess() (*process, error) {
	p := &process{log: &journal{}}
	p.cmd = exec.Command(t.python, "-B", peerProgram)            // -B: no compiled files among the sources
	p.cmd.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*") // loopback, whatever the environment
	p.cmd.WaitDelay = parting
	p.cmd.Stderr = p.log
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = json.NewDecoder(out)
	return p, p.cmd.Start()
}

// start has a peer begin in a role and waits until it is ready.
func (l *lab) start(ctx context.Context, role string, config peerConfig) (*peer, error) {
	one := l.peers.get()
	if one == nil {
		var err error
		if one, err = l.newProcess(); err != nil {
			return nil, fmt.Errorf("starting a peer: %w", err)
		}
	}
	p := &peer{process: one}
	giveUp := context.AfterFunc(ctx, one.kill) // ask hears of it
	l.later(func() {
		giveUp()
		again := !l.failed && one.rest()
		if !again {
			one.kill()
			one.end()
		}
		_, _ = l.log.Write(one.log.take())
		if again {
			l.peers.put(one)
		}
	})
	config.Role = role
	if err := p.ask(config, &p.hello); err != nil {
		return nil, fmt.Errorf("starting a %s: %w", role, err)
	}
	return p, nil
}

// ask sends one line and reads one. When the peer is gone it fails with io.EOF.
func (p *process) ask(question, answer any) error {
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

// rest ends a role and says whether the process is ready for another.
func (p *process) rest() bool {
	slow := time.AfterFunc(parting, p.kill)
	defer slow.Stop()
	var answer struct {
		Over bool `json:"over"`
	}
	return p.ask(nil, &answer) == nil && answer.Over
}

// kill ends a process by its process id.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// end lets a process go, and kills it when it does not.
func (p *process) end() {
	_ = p.in.Close()
	slow := time.AfterFunc(parting, p.kill)
	defer slow.Stop()
	_ = p.cmd.Wait() // how it ended says nothing about a case
}

// identifyAiocoap returns name and version of aiocoap.
func identifyAiocoap(ctx context.Context, t tools) (string, error) {
	if t.python == "" {
		return "", errMissing
	}
	l := &lab{tools: t}
	p, err := l.start(ctx, "client", peerConfig{})
	log := l.close()
	if err != nil {
		return "", errors.Join(err, errors.New(string(bytes.TrimSpace(log))))
	}
	return p.Name + " " + p.Version, nil
}

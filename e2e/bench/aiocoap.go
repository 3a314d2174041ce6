package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"lamplighter/e2e/bench/rounds"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// python is where `make interop` installs aiocoap.
const python = "build/venv/bin/python"

// aiocoapAim is how many times as fast as aiocoap the pairwise mode shall be.
const aiocoapAim = 10

// contests are what is measured against aiocoap; names get an operation and a
// size.
var contests = []struct {
	name  string
	share func() (*shared, error)
	aim   float64
}{
	{"oscore_%s_%d", shareOSCORE, 0},
	{"group_%s_%d", shareGroup(cose.EdDSA, group.Group), 0},
	{"group_%s_es256_%d", shareGroup(cose.ES256, group.Group), 0},
	{"pairwise_%s_%d", shareGroup(cose.EdDSA, group.Pairwise), aiocoapAim},
}

// againstAiocoap measures aiocoap and us on the same messages, one after the
// other. The value is how many times as fast we are. Without aiocoap these
// figures are missing, which is said loudly.
func againstAiocoap() ([]result, error) {
	if err := install(); err != nil {
		fmt.Fprintf(os.Stderr, "\n*** BENCH: NO aiocoap: %v: all figures *_vs_aiocoap are missing ***\n\n", err)
		return nil, nil
	}
	peer, err := startTiming()
	if err != nil {
		return nil, err
	}
	defer peer.end()
	var all []result
	for _, c := range contests {
		for _, size := range []int{16, 64, 1024} {
			s, err := c.share()
			if err != nil {
				return nil, err
			}
			protect, unprotect, err := s.compare(peer, size)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", fmt.Sprintf(c.name, "compare", size), err)
			}
			all = append(all,
				measured(fmt.Sprintf(c.name+"_vs_aiocoap", "protect", size), protect, "×", c.aim),
				measured(fmt.Sprintf(c.name+"_vs_aiocoap", "unprotect", size), unprotect, "×", c.aim))
		}
	}
	return all, nil
}

// install has the interop suite install aiocoap, and run no case.
func install() error {
	if _, err := os.Stat(python); err == nil {
		return nil
	}
	text, failed := exec.Command("bash", "e2e/interop/run.sh", "-only", "^$").CombinedOutput()
	if _, err := os.Stat(python); err != nil {
		return fmt.Errorf("%w (%v: %s)", err, failed, text)
	}
	return nil
}

// Both sides take turns, in each of which they do these rounds of the same
// messages; the medians of the turns' ratios count.
const (
	contestMessages = 64
	turns           = 5
	ourRounds       = 31
	theirRounds     = 3
)

// timing is what peers/timing.py answers.
type timing struct {
	Protect   float64  `json:"protect"`   // ns for a message
	Unprotect float64  `json:"unprotect"` // the context is at hand
	Made      []string `json:"made"`
	Opened    []string `json:"opened"`
}

// compare returns how many times as fast as the peer we are.
func (s *shared) compare(peer *timingPeer, size int) (protect, unprotect float64, err error) {
	plain, sealed, err := s.messages(size)
	if err != nil {
		return 0, 0, err
	}
	first, sealed := sealed[0], sealed[1:] // the first is ours to derive keys with
	question := map[string]any{s.kind: s.config, "rounds": theirRounds}
	requests, err := datagrams(plain)
	if err != nil {
		return 0, 0, err
	}
	question["plain"] = requests
	if question["protected"], err = datagrams(sealed); err != nil {
		return 0, 0, err
	}
	var protecting, unprotecting []float64
	for range turns {
		var theirs timing
		if err := peer.ask(question, &theirs); err != nil {
			return 0, 0, err
		}
		if err := s.check(&theirs, requests); err != nil {
			return 0, 0, err
		}
		p, err1 := s.time(first, func(a side) error { return each(plain, a.protect) })
		u, err2 := s.time(first, func(a side) error { return each(sealed, a.unprotect) })
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, err
		}
		protecting, unprotecting = append(protecting, theirs.Protect/p), append(unprotecting, theirs.Unprotect/u)
	}
	return rounds.Median(protecting), rounds.Median(unprotecting), nil
}

// messages makes requests and protects them at B, with one more before them.
func (s *shared) messages(size int) (plain, sealed []*coap.Message, err error) {
	b, err := s.b()
	if err != nil {
		return nil, nil, err
	}
	for i := range contestMessages + 1 {
		payload := make([]byte, size)
		payload[0] = byte(i)
		m := coap.NewRequest(coap.PUT, "/light", payload)
		m.MessageID, m.Type = 0, coap.Confirmable
		if i > 0 {
			plain = append(plain, m)
		}
		outer, err := b.protect(m)
		if err != nil {
			return nil, nil, err
		}
		sealed = append(sealed, outer)
	}
	return plain, sealed, nil
}

// check fails unless the peer did the same work: it opened all that B made, and
// B opens what it made.
func (s *shared) check(t *timing, plain []string) error {
	b, err := s.b()
	if err != nil {
		return err
	}
	if len(t.Made) != len(plain) || len(t.Opened) != len(plain) {
		return fmt.Errorf("aiocoap made %d and opened %d of %d messages", len(t.Made), len(t.Opened), len(plain))
	}
	for i := range plain {
		datagram, err := hex.DecodeString(t.Made[i])
		if err != nil {
			return err
		}
		outer, err := coap.UnmarshalUDP(datagram)
		if err != nil {
			return err
		}
		req, err := b.unprotect(outer)
		if err != nil {
			return fmt.Errorf("opening what aiocoap made: %w", err)
		}
		again, err := datagrams([]*coap.Message{req})
		if err != nil {
			return err
		}
		if again[0] != plain[i] || t.Opened[i] != plain[i] {
			return fmt.Errorf("aiocoap did other work: %s and %s of %s", again[0], t.Opened[i], plain[i])
		}
	}
	return nil
}

// time returns the median of work at A in nanoseconds for a message. A's keys
// are derived before, by opening the first message.
func (s *shared) time(first *coap.Message, work func(side) error) (float64, error) {
	var times []float64
	for range ourRounds {
		a, err := s.a()
		if err != nil {
			return 0, err
		}
		if _, err := a.unprotect(first); err != nil {
			return 0, err
		}
		start := time.Now()
		err = work(a)
		times = append(times, float64(time.Since(start))/contestMessages)
		if err != nil {
			return 0, err
		}
	}
	return rounds.Median(times), nil
}

func each(list []*coap.Message, f func(*coap.Message) (*coap.Message, error)) error {
	for _, m := range list {
		if _, err := f(m); err != nil {
			return err
		}
	}
	return nil
}

// datagrams encodes messages for the peer, in hex.
func datagrams(list []*coap.Message) ([]string, error) {
	var out []string
	for _, m := range list {
		framed := *m
		framed.MessageID, framed.Type = 0, coap.Confirmable
		datagram, err := coap.MarshalUDP(&framed)
		if err != nil {
			return nil, err
		}
		out = append(out, hex.EncodeToString(datagram))
	}
	return out, nil
}

// timingPeer is peers/timing.py of the interop suite: JSON, one object a line.
type timingPeer struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
}

func startTiming() (*timingPeer, error) {
	cmd := exec.Command(python, "-B", "e2e/interop/peers/timing.py") // -B: no compiled files among the sources
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting aiocoap: %w", err)
	}
	p := &timingPeer{cmd, in, json.NewDecoder(out)}
	if err := p.ask(struct{}{}, &struct{}{}); err != nil {
		p.end()
		return nil, fmt.Errorf("starting aiocoap: %w", err)
	}
	return p, nil
}

func (p *timingPeer) ask(question, answer any) error {
	if err := json.NewEncoder(p.in).Encode(question); err != nil {
		return fmt.Errorf("asking aiocoap: %w", err)
	}
	if err := p.answers.Decode(answer); err != nil {
		return fmt.Errorf("hearing aiocoap: %w", err)
	}
	return nil
}

// end lets the peer go.
func (p *timingPeer) end() {
	_ = p.in.Close()
	_ = p.cmd.Wait() // how it ended says nothing about the figures
}

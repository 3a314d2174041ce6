package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"lamplighter/internal/coap"
)

// libcoap's programs, of the Debian package libcoap3-bin.
const (
	libcoapClient = "coap-client-notls"
	libcoapServer = "coap-server-notls"
)

// libcoapCases are the cases with libcoap: CoAP without OSCORE, which Debian's
// libcoap does not have. A case's name says who asks whom.
var libcoapCases = slices.Concat(plainLibcoapCases, dtlsCases)

var plainLibcoapCases = []testCase{
	{"coap: it asks", libcoapAsks},
	{"coap: it sends in blocks of 1024, 64 and 16 bytes", libcoapSends},
	{"coap: it gets in blocks of 1024, 64 and 16 bytes", libcoapGets},
	{"coap: it sends in blocks and is answered in blocks", libcoapSendsAndGets},
	{"coap: it sends more than we take", libcoapSendsTooMuch},
	{"coap: it sends and gets in blocks, and datagrams are lost", libcoapLoses},
	{"coap: it observes, in one piece and in blocks, and cancels", libcoapObserves},
	{"coap: we ask", askLibcoap},
	{"coap: we send and get in blocks of 1024, 64 and 16 bytes", askLibcoapInBlocks},
	{"coap: we observe, in one piece and in blocks, and cancel", observeLibcoap},
}

// identifyLibcoap returns name and version of libcoap.
func identifyLibcoap(ctx context.Context, _ tools) (string, error) {
	for _, program := range append([]string{libcoapClient, libcoapServer}, libcoapDTLS...) {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%w: %w", errMissing, err)
		}
	}
	usage, _ := exec.CommandContext(ctx, libcoapClient, "-?").CombinedOutput() // it calls that an error
	version := regexp.MustCompile(`\bv(\d+\.\d+\.\d+\S*)`).FindSubmatch(usage)
	if version == nil {
		return "", fmt.Errorf("%s does not say its version", libcoapClient)
	}
	return "libcoap " + string(version[1]), nil
}

// blockRoom is the largest body that our server takes from libcoap.
const blockRoom = 8 << 10

// run runs libcoap's client and returns the code and the payload of its last
// response. It prints messages at verbosity 7.
func (l *lab) run(ctx context.Context, to netip.AddrPort, path string, body []byte, args ...string) (reply, error) {
	return l.runProgram(ctx, libcoapClient, "coap://"+to.String()+path, body, args...)
}

func (l *lab) runProgram(ctx context.Context, program, uri string, body []byte, args ...string) (reply, error) {
	dir, err := l.folder()
	if err != nil {
		return reply{}, err
	}
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	args = append([]string{"-v", "7", "-o", out}, args...)
	if body != nil {
		if err := os.WriteFile(in, body, 0o600); err != nil {
			return reply{}, err
		}
		args = append(args, "-f", in)
	}
	cmd := exec.CommandContext(ctx, program, append(args, uri)...)
	cmd.WaitDelay = parting
	log, err := cmd.CombinedOutput()
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w\n%s", program, err, log)
	}
	codes := regexp.MustCompile(`received \d+ bytes\s+v:1 t:\w+ c:(\d)\.(\d\d)`).FindAllSubmatch(log, -1)
	if codes == nil {
		return reply{}, fmt.Errorf("%s got no answer:\n%s", program, log)
	}
	last := codes[len(codes)-1]
	class, _ := strconv.Atoi(string(last[1]))
	detail, _ := strconv.Atoi(string(last[2]))
	payload, err := os.ReadFile(out)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // it writes no file without a payload
		return reply{}, err
	}
	return reply{coap.Code(class<<5 | detail), payload, plain}, nil
}

// expect runs the client and checks its answer.
func (l *lab) expect(ctx context.Context, code coap.Code, want []byte, to netip.AddrPort, body []byte, args ...string) error {
	r, err := l.run(ctx, to, "/light", body, args...)
	if err != nil {
		return err
	}
	if r.code != code || want != nil && !bytes.Equal(r.payload, want) {
		return fmt.Errorf("%s: answered %s with %d bytes, not %s with %d", strings.Join(args, " "), coap.CodeString(r.code), len(r.payload), coap.CodeString(code), len(want))
	}
	return nil
}

func libcoapAsks(ctx context.Context, l *lab) error {
	_, to, err := l.newShelf()
	if err != nil {
		return err
	}
	return walk(ctx, func(ctx context.Context, s step) (reply, error) {
		var body []byte
		if s.payload != "" {
			body = []byte(s.payload)
		}
		return l.run(ctx, to, s.path, body, "-m", strings.ToLower(s.method.String()))
	}, plain)
}

// blockSizes are those that the cases try; libcoap begins with 1024 by itself.
var blockSizes = []struct {
	size int
	args []string
}{{1024, nil}, {64, []string{"-b", "64"}}, {16, []string{"-b", "16"}}}

func libcoapSends(ctx context.Context, l *lab) error {
	for _, b := range blockSizes {
		s, to, err := l.newShelf()
		if err != nil {
			return err
		}
		body := text(5000 + b.size)
		err = l.expect(ctx, coap.Changed, nil, to, body, append([]string{"-m", "put"}, b.args...)...)
		if err := errors.Join(err, s.holds(body, b.size)); err != nil {
			return err
		}
	}
	return nil
}

func libcoapGets(ctx context.Context, l *lab) error {
	for _, b := range blockSizes {
		s, to, err := l.newShelf()
		if err != nil {
			return err
		}
		body := text(5000)
		s.set(body)
		err = l.expect(ctx, coap.Content, body, to, nil, append([]string{"-m", "get"}, b.args...)...)
		if err := errors.Join(err, s.holds(body, b.size)); err != nil {
			return err
		}
	}
	return nil
}

func libcoapSendsAndGets(ctx context.Context, l *lab) error {
	s, to, err := l.newShelf()
	if err != nil {
		return err
	}
	body := text(3000)
	for _, method := range []string{"post", "fetch"} {
		for _, size := range []int{256, 32} {
			if err := l.expect(ctx, coap.Content, body, to, body, "-m", method, "-b", strconv.Itoa(size)); err != nil {
				return err
			}
			if err := s.holds([]byte("off"), size); err != nil {
				return err
			}
		}
	}
	return nil
}

func libcoapSendsTooMuch(ctx context.Context, l *lab) error {
	s, to, err := l.newShelf()
	if err != nil {
		return err
	}
	err = l.expect(ctx, coap.RequestEntityTooLarge, nil, to, text(blockRoom+1), "-m", "put")
	return errors.Join(err, s.holds([]byte("off"), 1024))
}

// libcoapLoses has the client lose some of the datagrams that it sends; each costs
// it two to three seconds.
func libcoapLoses(ctx context.Context, l *lab) error {
	s, to, err := l.newShelf()
	if err != nil {
		return err
	}
	body := text(3000)
	err = l.expect(ctx, coap.Changed, nil, to, body, "-m", "put", "-l", "2")
	if err := errors.Join(err, s.holds(body, 1024)); err != nil {
		return err
	}
	return l.expect(ctx, coap.Content, body, to, nil, "-m", "get", "-l", "3")
}

func libcoapObserves(ctx context.Context, l *lab) error {
	s, to, err := l.newShelf()
	if err != nil {
		return err
	}
	states := [][]byte{[]byte("<one>"), text(3000), []byte("<three>")}
	go func() {
		until := func(done func() bool) {
			for !done() && ctx.Err() == nil {
				time.Sleep(10 * time.Millisecond)
			}
		}
		until(func() bool { return s.observers.Len() > 0 })
		for _, state := range states { // a newer one replaces one that is not out yet
			time.Sleep(400 * time.Millisecond)
			s.set(state)
			until(func() bool { return s.furtherBlocks() >= (len(state)-1)/1024 })
		}
	}()
	r, err := l.run(ctx, to, "/light", nil, "-m", "get", "-s", "5") // seconds: the machine may be busy
	if err != nil {
		return err
	}
	if want := append([]byte("off"), bytes.Join(states, nil)...); !bytes.HasPrefix(r.payload, want) {
		return fmt.Errorf("it got %d bytes, which do not begin with the %d of all states", len(r.payload), len(want))
	}
	select {
	case <-s.gone:
		return nil
	case <-time.After(time.Second):
		return fmt.Errorf("it did not cancel: %d observe", s.observers.Len())
	}
}

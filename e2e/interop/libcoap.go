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
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
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

// shelf is our server: it keeps what is put, gives back what is posted, and
// notifies of what comes from next.
type shelf struct {
	observers *coap.Observers
	gone      chan struct{} // closed when an observer has cancelled

	mu    sync.Mutex
	state []byte
	seen  map[int]bool // block sizes that requests asked for
	asked int          // further blocks that were asked for
}

// blockRoom is the largest body that our server takes from libcoap.
const blockRoom = 8 << 10

func (l *lab) newShelf() (*shelf, netip.AddrPort, error) {
	s := &shelf{observers: coap.NewObservers(4), gone: make(chan struct{}), state: []byte("off"), seen: map[int]bool{}}
	blocks := coap.NewBlockServer(coap.BlockLimits{MaxBody: blockRoom}, time.Now)
	udp, err := endpoint.ListenUDP(loopback, s.count(blocks.Wrap(s)), endpoint.UDPOptions{})
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	l.later(func() { _ = udp.Close() })
	return s, udp.Addr(), nil
}

// sized notes the block sizes of requests on their way to a handler.
type sized struct {
	coap.Handler
	shelf *shelf
}

func (s *shelf) count(h coap.Handler) coap.Handler { return &sized{h, s} }

// Understands implements what [coap.Understands] looks for.
func (c *sized) Understands(id coap.OptionID) bool { return coap.Understands(c.Handler, id) }

// Serve implements [coap.Handler].
func (c *sized) Serve(ctx context.Context, req *coap.Request) *coap.Message {
	for _, id := range []coap.OptionID{coap.OptionBlock1, coap.OptionBlock2} {
		if b, has, err := coap.BlockOption(req.Message, id); has && err == nil {
			c.shelf.mu.Lock()
			c.shelf.seen[b.Size] = true
			if id == coap.OptionBlock2 && b.Num > 0 {
				c.shelf.asked++
			}
			c.shelf.mu.Unlock()
		}
	}
	return c.Handler.Serve(ctx, req)
}

// Serve implements [coap.Handler].
func (s *shelf) Serve(_ context.Context, req *coap.Request) *coap.Message {
	if coap.Path(req.Message) != "/light" {
		return coap.Problem(coap.NotFound, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch req.Code {
	case coap.PUT:
		s.state = bytes.Clone(req.Payload)
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	case coap.GET:
		before := s.observers.Len()
		resp := s.observers.Register(time.Now(), req, coap.Respond(coap.Content, coap.FormatText, s.state))
		if before > s.observers.Len() {
			close(s.gone)
		}
		return resp
	}
	return coap.Respond(coap.Content, coap.FormatText, req.Payload)
}

// set changes the state and tells who observes.
func (s *shelf) set(state []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	s.observers.Notify(time.Now(), func(*coap.Request) *coap.Message {
		return coap.Respond(coap.Content, coap.FormatText, state)
	})
}

// furtherBlocks says how many blocks but the first ones were asked for.
func (s *shelf) furtherBlocks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// holds checks what the shelf has.
func (s *shelf) holds(body []byte, blockSize int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.state, body) {
		return fmt.Errorf("we hold %d bytes, not the %d that were sent", len(s.state), len(body))
	}
	if blockSize > 0 && !s.seen[blockSize] {
		return fmt.Errorf("no blocks of %d bytes came", blockSize)
	}
	return nil
}

// text is a body of n bytes of which no two blocks are the same.
func text(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "line %d of what is large\n", i)
	}
	return b[:n]
}

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

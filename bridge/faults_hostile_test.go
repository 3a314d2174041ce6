package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"lamplighter/bridge/proxy"
	"lamplighter/internal/coap"
)

// harvest keeps the datagrams of a real commissioning by where they went, as
// seeds for what an attacker makes of them.
type harvest struct {
	mu   sync.Mutex
	sent map[netip.AddrPort][][]byte
}

func (h *harvest) record(d proxy.Direction, peer netip.AddrPort, b []byte) {
	if d != proxy.ToDevice || len(b) < 5 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[peer] = append(h.sent[peer], bytes.Clone(b))
}

func (h *harvest) to(peer netip.AddrPort) [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.sent[peer])
}

// TestSoakHostileDatagrams lets a site run, then throws random, truncated, oversized,
// damaged and repeated datagrams at the Authorization Server, the Group Manager, a
// lamp and the group address. Nothing crashes, nothing happens, and a join and a
// roll call work as before.
func TestSoakHostileDatagrams(t *testing.T) {
	s := startFaultSite(t, 3)
	h := &harvest{sent: map[netip.AddrPort][][]byte{}}
	s.bridgeOptions.config.Record = h.record
	s.startBridge()
	i := s.enrolled("Ann")
	i.importAll()
	i.join(s.id(0), s.id(1))
	i.light(true)
	i.roll()
	before, routines := s.lampsInWords(), runtime.NumGoroutine()

	seed := hostileSeed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	from := hostileSocket(t)
	lamp := s.lamps.lamps[0].addr
	for _, to := range []netip.AddrPort{s.as.addr(), s.gm.addr(), lamp, s.slot.group} {
		seeds := h.to(to)
		if len(seeds) == 0 {
			t.Fatalf("nothing was recorded on its way to %v", to)
		}
		for n := range rounds(3000, 200000) {
			if _, err := from.WriteToUDPAddrPort(hostile(random, seeds), to); err != nil {
				t.Fatalf("sending to %v: %v", to, err)
			}
			if n%64 == 63 {
				time.Sleep(time.Millisecond) // the sockets' buffers are not what is tested
			}
		}
	}
	s.settled(routines)
	if after := s.lampsInWords(); after != before {
		t.Errorf("the lamps are\n%s\nand were\n%s", after, before)
	}
	s.joinedOnce(1, s.id(0), s.id(1))
	i.roll()
	i.light(false)
	s.lit(false, 0, 1)
	bob := s.enrolled("Bob")
	bob.importAll()
	bob.join(s.id(2))
	bob.roll()
	s.joinedOnce(2, s.ids()...)
}

// lampsInWords is all that the lamps are, as the inspector tells it.
func (s *faultSite) lampsInWords() string {
	s.t.Helper()
	b, err := json.Marshal(s.lampStates())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// hostileSeed is new each time, told when the test fails, and taken from the
// environment to see it again.
func hostileSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LAMPLIGHTER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("LAMPLIGHTER_SEED=%d", seed)
		}
	})
	return seed
}

// hostile makes one datagram of an attacker.
func hostile(random *rand.Rand, seeds [][]byte) []byte {
	b := bytes.Clone(seeds[random.IntN(len(seeds))])
	flip := func() {
		for range 1 + random.IntN(3) {
			b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
		}
	}
	switch random.IntN(8) {
	case 0: // random, any size
		b = make([]byte, random.IntN(200))
		fill(random, b)
	case 1: // a header that is right, then nothing that is
		b = make([]byte, 4+random.IntN(60))
		fill(random, b)
		b[0] = 0x40 | b[0]&0x3f
	case 2:
		b = b[:random.IntN(len(b))]
	case 3: // far too long
		b = append(b, make([]byte, 1000+random.IntN(60000))...)
		fill(random, b[len(b)-1000:])
	case 4, 5:
		flip()
	case 6: // bytes put in
		at := random.IntN(len(b))
		more := make([]byte, 1+random.IntN(20))
		fill(random, more)
		b = append(b[:at:at], append(more, b[at:]...)...)
	case 7: // the same again with another message ID and token: a replay
		if len(b) > 12 {
			fill(random, b[2:4])
			fill(random, b[4:4+min(int(b[0]&15), 8)])
		}
	}
	return b
}

func fill(random *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(random.Uint32())
	}
}

// hostileSocket sends to anybody on loopback, groups included.
func hostileSocket(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInet4Addr(int(fd), syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, [4]byte{127, 0, 0, 1})
	})
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	go func() { // what comes back is of no interest, but must not fill a buffer
		b := make([]byte, 1<<16)
		for {
			if _, err := conn.Read(b); err != nil {
				return
			}
		}
	}()
	return conn
}

// settled waits until the goroutines of what was thrown at the site have ended.
func (s *faultSite) settled(routines int) {
	s.t.Helper()
	for range 100 {
		if runtime.NumGoroutine() <= routines+20 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Errorf("%d goroutines, before the attack %d", runtime.NumGoroutine(), routines)
}

// TestFlood keeps random messages coming while a batch is joined: the site gets
// slower, not stuck.
func TestFlood(t *testing.T) {
	s := startFaultSite(t, 4)
	i := s.enrolled("Ann")
	i.importAll()
	from := hostileSocket(t)
	stop := make(chan struct{})
	var flood sync.WaitGroup
	request := func(random *rand.Rand) []byte { // one that looks right and asks for work before any proof
		m := coap.NewRequest(coap.POST, []string{"/authz-info", "/token", "/ll/claim", "/ll/id", "/.well-known/core"}[random.IntN(5)], make([]byte, 40))
		if random.IntN(2) == 0 {
			coap.AddOption(m, coap.OptionOSCORE, append([]byte{0x19, 1, 8}, make([]byte, 8+random.IntN(8))...))
		}
		m.MessageID, m.Type = int32(random.IntN(1<<16)), coap.Confirmable
		m.Token = coap.Token(strconv.Itoa(random.IntN(1 << 20)))
		fill(random, m.Payload)
		b, err := coap.MarshalUDP(m)
		if err != nil {
			t.Error(err)
		}
		return b
	}
	flood.Go(func() {
		random := rand.New(rand.NewPCG(1, 1))
		for n := 0; ; n++ {
			select {
			case <-stop:
				t.Logf("%d messages came in between", n)
				return
			default:
			}
			to := []netip.AddrPort{s.slot.as, s.slot.gm, s.lamps.lamps[n%4].addr}[random.IntN(3)]
			if _, err := from.WriteToUDPAddrPort(request(random), to); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(200 * time.Microsecond)
		}
	})
	i.join(s.ids()...)
	i.roll()
	close(stop)
	flood.Wait()
	s.joinedOnce(1, s.ids()...)
}

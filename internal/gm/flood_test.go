package gm

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// heap returns how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// junk is a message that nobody who is somebody sends, each another.
func (l *line) junk(n int, tokens [][]byte) *coap.Message {
	number := binary.BigEndian.AppendUint32(nil, uint32(n))
	post := func(path string, format uint32, payload []byte) *coap.Message {
		m := coap.NewRequest(coap.POST, path, payload)
		coap.AddUint(m, coap.OptionContentFormat, format)
		return m
	}
	transfer := func(token []byte) *coap.Message {
		return post("/authz-info", ace.FormatACE, ace.Encode(ace.AuthzInfoRequest{AccessToken: token, Nonce1: append(number, number...), ID1: []byte{1}}))
	}
	switch n % 6 {
	case 0: // noise
		return transfer(append(make([]byte, 200), number...))
	case 1: // a token that was changed
		token := append([]byte(nil), tokens[0]...)
		token[len(token)-1-n%40] ^= byte(n) | 1
		return transfer(token)
	case 2:
		return post("/authz-info", ace.FormatACE, number)
	case 3: // a kid that is nobody's, or somebody's without the key
		m := coap.NewRequest(coap.POST, "/", append([]byte("not a ciphertext of ours"), number...))
		coap.SetOption(m, coap.OptionOSCORE, oscore.AppendOption(nil, oscore.Option{PIV: number[2:], KID: number[1:]}))
		return m
	case 4:
		return coap.NewRequest(coap.GET, fmt.Sprint("/ace-group/g", n), nil)
	default: // a token of ours that somebody recorded, again and again
		return transfer(tokens[n%len(tokens)])
	}
}

// A flood of messages of nobody costs bounded memory, and whoever is somebody is
// served meanwhile.
func TestFlood(t *testing.T) {
	const messages = 100_000
	l := newLine(t)
	member := l.joinOver("member")
	var recorded [][]byte
	for i := range 3 {
		recorded = append(recorded, l.seal(l.claims(fmt.Sprint("victim", i), scope(testGroup, both))).AccessToken)
	}
	h := l.s.Handler()
	flood := func(from, to int) {
		for n := from; n < to; n++ {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)}), 5683)
			resp := h.Serve(t.Context(), &coap.Request{Message: l.junk(n, recorded), From: addr})
			if resp != nil && coap.Class(resp.Code) == 5 {
				t.Fatalf("message %d: %s", n, coap.CodeString(resp.Code))
			}
		}
	}
	flood(0, messages/10) // tables fill up
	before := heap()
	start := time.Now()
	for step := 1; step < 10; step++ {
		flood(step*messages/10, (step+1)*messages/10)
		if _, err := member.client.Num(t.Context()); err != nil {
			t.Fatalf("a member in the flood: %v", err)
		}
		l.joinOver(fmt.Sprint("honest", step))
	}
	after := heap()
	t.Logf("%v for each message, heap %d kB, then %d kB", time.Since(start)/(messages*9/10), before>>10, after>>10)
	if after > before+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if n := len(l.s.transfers.count); n > maxLimitTable {
		t.Errorf("the limiter holds %d tokens", n)
	}
	stored := 0
	if err := l.store.View(t.Context(), countAssociations(&stored)); err != nil {
		t.Fatal(err)
	}
	if stored > 1+3*maxPerToken+9 {
		t.Errorf("%d associations are stored", stored)
	}
}

// What is too large for a token is refused before it is looked at.
func TestTransferTooLarge(t *testing.T) {
	w := newWorld(t)
	for size, want := range map[int]coap.Code{maxTransfer: coap.BadRequest, maxTransfer + 1: coap.RequestEntityTooLarge} {
		m := request(coap.POST, "/authz-info", ace.FormatACE, make([]byte, size))
		wantCode(t, fmt.Sprint(size, " bytes"), w.s.serve(t.Context(), &coap.Request{Message: m}), want)
	}
}

// A clock that is set back and forth leaves tokens, the limiter and the keys as
// they have to be at its time; nothing that was given out is given out again.
func TestClockSteps(t *testing.T) {
	l := newLine(t)
	l.joinOver("a")
	tok := l.claims("b", scope(testGroup, both))
	for range maxTransfers {
		wantCode(t, "within the limit", l.upload(tok), coap.Created)
	}
	wantCode(t, "beyond it", l.upload(tok), coap.TooManyRequests)
	seen := map[string]bool{string(l.group().GID): true}
	num := l.group().Num
	for _, step := range []time.Duration{-time.Hour, 2 * time.Hour, -30 * 24 * time.Hour, 90 * 24 * time.Hour, -60 * 24 * time.Hour} {
		l.pass(step)
		if err := l.s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		fresh := l.claims(fmt.Sprint("after", step), scope(testGroup, both))
		wantCode(t, fmt.Sprint("a fresh token after ", step), l.upload(fresh), coap.Created)
		expired := l.claims("late", scope(testGroup, both))
		expired.EXP = uint64(l.clock().Unix()) - 1
		wantCode(t, fmt.Sprint("an expired token after ", step), l.upload(expired), coap.Unauthorized)
		l.joinOver(fmt.Sprint("joins after", step))
		g := l.group()
		if g.Num < num || g.Num > num && seen[string(g.GID)] {
			t.Errorf("after %v: version %d, Gid %x", step, g.Num, g.GID)
		}
		num = g.Num
		seen[string(g.GID)] = true
	}
	if len(seen) < 2 {
		t.Error("the keys have never expired")
	}
	l.reboot()
	b := l.joinOver("b")
	if _, err := b.client.Num(t.Context()); err != nil {
		t.Error(err)
	}
}

package gm

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
)

// cutting is a proxy that passes OSCORE messages on in small blocks. RFC 8613,
// Section 4.1.3.4.2.
type cutting struct {
	coap.Exchanger
	next coap.Caller
}

func (c cutting) Exchange(ctx context.Context, _ netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	return c.next.Call(ctx, req)
}

func TestAnswersThroughCuttingProxy(t *testing.T) {
	l := newLine(t)
	node := l.node("asker")
	a, _ := l.connect(l.seal(l.claims(node.subject, scope(testGroup, both))), []byte{9})
	c, err := a.Context(oscore.NewSequence(a.NextSSN, nil))
	if err != nil {
		t.Fatal(err)
	}
	var largest int
	l.net.Record = func(d sim.Datagram) { largest = max(largest, len(d.Bytes)) }
	ex := l.net.From(clientAddr)
	proxy := coap.NewBlockCaller(coap.To(ex, gmAddr), coap.BlockLimits{Size: 64, Early: true}, l.rand)
	gm := oscore.NewClient(c, cutting{ex, proxy}, gmAddr)
	if _, _, err := join.Self(t.Context(), gm, l.self(node, both, a.NS)); err != nil {
		t.Fatal(err)
	}
	if largest > 128 {
		t.Errorf("a datagram of %d bytes", largest)
	}
}

// Who asks for blocks gets them, inside OSCORE; who does not gets the answer in
// one datagram, however large.
func TestAnswersInBlocks(t *testing.T) {
	l := newLine(t)
	const n = 20
	for i := range n {
		l.joinOver(fmt.Sprint("dev", i))
	}
	node := l.node("asker")
	a, gm := l.connect(l.seal(l.claims(node.subject, scope(testGroup, both))), []byte{9})
	var largest int
	l.net.Record = func(d sim.Datagram) { largest = max(largest, len(d.Bytes)) }
	blocks := coap.NewBlockCaller(gm, coap.BlockLimits{Size: 128, Early: true}, l.rand)
	m, _, err := join.Self(t.Context(), blocks, l.self(node, both, a.NS))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Peers) != n || largest > 256 {
		t.Errorf("%d peers, a datagram of %d bytes", len(m.Peers), largest)
	}
	for _, c := range []struct {
		gm    coap.Caller
		small bool
	}{{blocks, true}, {gm, false}} {
		largest = 0
		peers, _, err := join.NewMember(c.gm, testGroup, m.NodePath).AllCreds(t.Context())
		if err != nil || len(peers) != n+1 || (largest <= 256) != c.small {
			t.Errorf("%d credentials, a datagram of %d bytes: %v", len(peers), largest, err)
		}
	}
}

package gm

import (
	"fmt"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/sim"
)

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

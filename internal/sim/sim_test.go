package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

var group = netip.MustParseAddrPort("224.0.1.187:5683")

func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 0, byte(i)}), 5683)
}

// counter answers with how often it was asked.
type counter struct{ calls, group int }

func (c *counter) Serve(_ context.Context, req *coap.Request) *coap.Message {
	c.calls++
	if req.Multicast {
		c.group++
	}
	if coap.Path(req.Message) == "/bad" {
		return coap.Problem(coap.BadRequest, "bad")
	}
	return coap.Respond(coap.Content, coap.NoFormat, fmt.Append(nil, c.calls))
}

func ask(n *Network, to netip.AddrPort) (*coap.Message, error) {
	return n.From(addr(200)).Exchange(context.Background(), to, coap.NewRequest(coap.GET, "/a", nil))
}

func TestExchange(t *testing.T) {
	n := NewNetwork(1)
	c := &counter{}
	n.Attach(addr(1), c)
	if m, err := ask(n, addr(1)); err != nil || string(m.Payload) != "1" {
		t.Fatal(m, err)
	}
	if _, err := ask(n, addr(2)); !errors.Is(err, coap.ErrTimeout) {
		t.Error("nobody is there:", err)
	}
	n.Down(addr(1), true)
	if _, err := ask(n, addr(1)); !errors.Is(err, coap.ErrTimeout) || c.calls != 1 {
		t.Error("it is down:", err)
	}
	n.Down(addr(1), false)
	if m, err := ask(n, addr(1)); err != nil || string(m.Payload) != "2" {
		t.Fatal(m, err)
	}
	critical := coap.NewRequest(coap.GET, "/a", nil)
	coap.AddOption(critical, 9999, nil)
	if m, err := n.From(addr(200)).Exchange(context.Background(), addr(1), critical); err != nil || m.Code != coap.BadOption {
		t.Error(m, err)
	}
}

// Requests are handled once, whatever the link does.
func TestFaults(t *testing.T) {
	n := NewNetwork(2)
	c := &counter{}
	n.Attach(addr(1), c)
	n.SetFaults(Faults{Loss: 0.2, Dup: 0.3, Reorder: 0.3})
	lost := 0
	n.Record = func(d Datagram) {
		if d.Lost {
			lost++
		}
	}
	asked := 0
	for range 500 {
		before := c.calls
		m, err := ask(n, addr(1))
		if err == nil {
			asked++
			if string(m.Payload) != fmt.Sprint(before+1) {
				t.Fatalf("answer %s after %d calls", m.Payload, before)
			}
		}
		if c.calls > before+1 {
			t.Fatal("a request was handled twice")
		}
	}
	if asked < 450 || lost < 100 {
		t.Errorf("%d answered, %d lost", asked, lost)
	}
}

func TestMulticast(t *testing.T) {
	n := NewNetwork(3)
	counters := make([]*counter, 50)
	for i := range counters {
		counters[i] = &counter{}
		n.Attach(addr(i), counters[i])
		n.JoinGroup(group, addr(i))
	}
	n.Down(addr(7), true)
	roll := func(path string) map[netip.AddrPort]int {
		got := map[netip.AddrPort]int{}
		err := n.From(addr(200)).Multicast(context.Background(), group, coap.NewRequest(coap.GET, path, nil), time.Second,
			func(m *coap.Message, from netip.AddrPort) { got[from]++ })
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := roll("/a"); len(got) != 49 || got[addr(7)] != 0 {
		t.Errorf("%d answers", len(got))
	}
	if got := roll("/bad"); len(got) != 0 {
		t.Error("errors were sent to a group request")
	}
	n.SetFaults(Faults{Dup: 0.5, Reorder: 0.5})
	repeated := 0
	for range 20 {
		for _, times := range roll("/a") {
			repeated += times - 1
		}
	}
	if repeated == 0 {
		t.Error("nothing was repeated")
	}
	n.SetFaults(Faults{})
	roll("/a") // brings the last ones that were held back
	for i, c := range counters {
		if i != 7 && (c.group != 23 || c.calls != 23) {
			t.Errorf("member %d was asked %d times", i, c.calls)
		}
	}
}

func TestInjectPassesDeduplication(t *testing.T) {
	n := NewNetwork(4)
	c := &counter{}
	n.Attach(addr(1), c)
	var request []byte
	n.Record = func(d Datagram) {
		if d.Kind == Request {
			request = d.Bytes
		}
	}
	if _, err := ask(n, addr(1)); err != nil {
		t.Fatal(err)
	}
	if answer := n.Inject(context.Background(), addr(200), addr(1), request, false); answer == nil || c.calls != 2 {
		t.Error("a replay did not reach the handler")
	}
	if answer := n.Inject(context.Background(), addr(200), addr(1), []byte{1, 2}, false); answer != nil {
		t.Error("garbage was answered")
	}
	n.Inject(context.Background(), addr(200), addr(9), request, false)
}

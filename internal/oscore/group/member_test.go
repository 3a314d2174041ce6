package group

import (
	"errors"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// An exchange that outlives two rekeyings, the old contexts with it.
func TestMemberRekey(t *testing.T) {
	w := newWorld(t, 3)
	client, server := NewMember(w.members[0]), NewMember(w.members[1])
	req := get("/a")
	coap.AddUint(req, coap.OptionObserve, 0)
	outer, cb, err := client.ProtectRequest(req, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	notify := func() *coap.Message {
		t.Helper()
		n := content("n")
		coap.AddUint(n, coap.OptionObserve, 1)
		resp, err := server.ProtectResponse(n, sb, Group)
		if err != nil {
			t.Fatal(err)
		}
		return over(t, resp)
	}
	first, late := notify(), notify()
	if _, _, _, err := client.UnprotectResponse(first, cb); err != nil {
		t.Fatal(err)
	}
	w.rekey()
	client.Rekey(w.members[0])
	if len(client.contexts) != 2 || client.Current() != w.members[0] {
		t.Fatalf("%d contexts", len(client.contexts))
	}
	if _, _, _, err := client.UnprotectResponse(late, cb); err != nil {
		t.Errorf("a response of the old epoch, under way at the rekeying: %v", err)
	}
	server.Rekey(w.members[1])
	if len(server.contexts) != 1 {
		t.Errorf("the server keeps %d contexts", len(server.contexts))
	}
	if _, _, _, err := client.UnprotectResponse(notify(), cb); err != nil {
		t.Error(err)
	}
	if _, _, _, err := client.UnprotectResponse(late, cb); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("the late one again: %v", err)
	}
	client.Close(cb)
	client.Close(cb)
	client.Close(sb)
	if len(client.contexts) != 1 {
		t.Errorf("%d contexts after the exchange", len(client.contexts))
	}
	if _, _, _, err := client.UnprotectResponse(notify(), cb); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("after the exchange: %v", err)
	}
}

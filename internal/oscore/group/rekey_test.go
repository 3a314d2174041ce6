package group

import (
	"crypto/ed25519"
	"crypto/subtle"
	"errors"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// A request under the old keys, its responses under the new ones. RFC 10021,
// Sections 7.1 to 7.4.
func TestResponseAcrossRekeying(t *testing.T) {
	for _, to := range [][]byte{nil, {1}} {
		for _, mode := range []Mode{Group, Pairwise} {
			w := newWorld(t, 2)
			req := get("/a")
			coap.AddUint(req, coap.OptionObserve, 0)
			oldClient := w.members[0]
			outer, cb, err := oldClient.ProtectRequest(req, to)
			if err != nil {
				t.Fatal(err)
			}
			_, sb, err := w.members[1].UnprotectRequest(over(t, outer))
			if err != nil {
				t.Fatal(err)
			}
			notify := func() *coap.Message {
				n := content("n")
				coap.AddUint(n, coap.OptionObserve, 1)
				resp, err := w.members[1].ProtectResponse(n, sb, mode)
				if err != nil {
					t.Fatal(err)
				}
				return over(t, resp)
			}
			var before []*coap.Message
			for range 4 {
				before = append(before, notify())
			}
			for _, m := range before[:3] {
				if _, _, _, err := oldClient.UnprotectResponse(m, cb); err != nil {
					t.Fatal(err)
				}
			}
			w.rekey()
			after := notify()
			o := optionOf(t, after)
			if string(o.KIDContext) != string(w.gid) || o.KID == nil || o.PIV == nil {
				t.Errorf("first response in the new epoch: %+v", o)
			}
			if _, _, _, err := oldClient.UnprotectResponse(after, cb); !errors.Is(err, coap.ErrNoContext) {
				t.Errorf("under the old keys: %v", err)
			}
			// The new epoch counts from 0: the Response Number starts anew.
			_, from, got, err := w.members[0].UnprotectResponse(after, cb)
			if err != nil || got != mode || from.KID[0] != 1 {
				t.Errorf("to %x in %v: %v, from %+v", to, mode, err, from)
			}
			if _, _, _, err := w.members[0].UnprotectResponse(after, cb); !errors.Is(err, oscore.ErrReplay) {
				t.Errorf("replayed: %v", err)
			}
		}
	}
}

// The additional data of a response in a new epoch have the kid and the Gid of the
// request, its keystream the new Gid; written out here, as the vectors have no such
// case. RFC 10021, Sections 3.4 and 4.2.
func TestBytesAcrossRekeying(t *testing.T) {
	w := newWorld(t, 2)
	w.members[0] = w.member(0, func(p *Params) { p.Sequence = oscore.NewSequence(0x1234, nil) })
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := w.members[1].UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	oldGID := w.gid
	w.rekey()
	server := w.members[1]
	resp, err := server.ProtectResponse(content("x"), sb, Group)
	if err != nil {
		t.Fatal(err)
	}
	option := append([]byte{0x39, 0, byte(len(w.gid))}, append(w.gid, 1)...)
	equal(t, "option", coap.GetOption(resp, coap.OptionOSCORE), option)
	aad := cbor.MustMarshal([]any{
		1, []int{10, 10, -8, -27}, []byte{0}, []byte{0x12, 0x34}, []byte{}, oldGID, option, w.creds[1], w.gmCred,
	})
	equal(t, "external_aad", server.structures.externalAAD(t), aad)

	cut := len(resp.Payload) - 64
	info := cbor.MustMarshal([]any{[]byte{1}, w.gid, false, 64})
	sig := cose.HKDF(server.seKey, []byte{0}, info, 64)
	subtle.XORBytes(sig, sig, resp.Payload[cut:])
	signed := cbor.MustMarshal([]any{"CounterSignature0", []byte{}, []byte{}, aad, resp.Payload[:cut]})
	if !ed25519.Verify(w.keys[1].Public().(ed25519.PublicKey), signed, sig) {
		t.Error("the countersignature is not over these bytes, or hidden by another keystream")
	}
}

// Without a Partial IV a response of another epoch would lend it the nonce of
// the request.
func TestNoncelessResponseOfAnotherEpoch(t *testing.T) {
	w := newWorld(t, 2)
	outer, cb, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := w.members[1].UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.members[1].ProtectResponse(content("x"), sb, Group)
	if err != nil {
		t.Fatal(err)
	}
	w.rekey()
	if _, _, _, err := w.members[0].UnprotectResponse(resp, cb); !errors.Is(err, oscore.ErrDecode) {
		t.Errorf("got %v", err)
	}
	if _, _, err := w.members[1].UnprotectRequest(outer); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("a request of the old epoch: %v", err)
	}
}

// The client has a new Sender ID in the new epoch: the credential finds it.
func TestClientWithNewSenderID(t *testing.T) {
	w := newWorld(t, 2)
	outer, cb, err := w.members[0].ProtectRequest(get("/a"), []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := w.members[1].UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	w.rekey()
	client := w.member(0, func(p *Params) { p.SenderID = []byte{7} })
	server := w.members[1]
	server.RemovePeer([]byte{0})
	if _, err := server.ProtectResponse(content("x"), sb, Pairwise); !errors.As(err, new(*UnknownPeerError)) {
		t.Errorf("got %v", err)
	}
	if err := server.SetPeer(Peer{KID: []byte{7}, Cred: w.creds[0]}); err != nil {
		t.Fatal(err)
	}
	resp, err := server.ProtectResponse(content("x"), sb, Pairwise)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.UnprotectResponse(over(t, resp), cb); err != nil {
		t.Error(err)
	}
}

// A server that changes its Sender ID within an exchange: kid1 and kid2 of RFC
// 10021, Section 7.4.
func TestServerWithNewSenderID(t *testing.T) {
	w := newWorld(t, 2)
	client, server := w.members[0], w.members[1]
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.ProtectResponse(content("1"), sb, Group)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.UnprotectResponse(resp, cb); err != nil {
		t.Fatal(err)
	}
	renamed := w.member(1, func(p *Params) { p.SenderID = []byte{8} })
	if err := client.SetPeer(Peer{KID: []byte{8}, Cred: w.creds[1]}); err != nil {
		t.Fatal(err)
	}
	resp, err = renamed.ProtectResponse(content("2"), sb, Group)
	if err != nil {
		t.Fatal(err)
	}
	if optionOf(t, resp).PIV == nil {
		t.Error("no Partial IV of its own under another Sender ID")
	}
	if _, _, _, err := client.UnprotectResponse(resp, cb); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("kid2: %v", err)
	}
}

// After the client has seen a response of the new epoch one of an old epoch is
// late, whether it was accepted before or is the first of that epoch, and does not
// end what follows.
func TestOldEpochAfterNew(t *testing.T) {
	for name, accepted := range map[string]bool{"accepted before": true, "the first of its epoch": false} {
		t.Run(name, func(t *testing.T) { testOldEpochAfterNew(t, accepted) })
	}
}

func testOldEpochAfterNew(t *testing.T, accepted bool) {
	w := newWorld(t, 2)
	req := get("/a")
	coap.AddUint(req, coap.OptionObserve, 0)
	old := w.members[0]
	outer, cb, err := old.ProtectRequest(req, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := w.members[1].UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	notify := func() *coap.Message {
		n := content("n")
		coap.AddUint(n, coap.OptionObserve, 1)
		resp, err := w.members[1].ProtectResponse(n, sb, Group)
		if err != nil {
			t.Fatal(err)
		}
		return over(t, resp)
	}
	notify()
	before := notify()
	if accepted {
		if _, _, _, err := old.UnprotectResponse(before, cb); err != nil {
			t.Fatal(err)
		}
	}
	w.rekey()
	between, missed := w.members[0], notify()
	w.rekey()
	for range 2 {
		if _, _, _, err := w.members[0].UnprotectResponse(notify(), cb); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := old.UnprotectResponse(before, cb); !errors.Is(err, oscore.ErrReplay) {
			t.Errorf("a response of the old epoch: %v", err)
		}
		if _, _, _, err := between.UnprotectResponse(missed, cb); !errors.Is(err, oscore.ErrReplay) {
			t.Errorf("a response of the epoch between: %v", err)
		}
	}
}

// The client asks in pairwise mode by the server's earlier Sender ID, under which
// the keys are the same; each response names the new one. RFC 10021, Sections 7.3
// and 8.5.
func TestServerNamesItsSenderID(t *testing.T) {
	w := newWorld(t, 2)
	client := w.members[0]
	renamed := w.member(1, func(p *Params) { p.SenderID = []byte{8} })
	for _, mode := range []Mode{Group, Pairwise} {
		outer, cb, err := client.ProtectRequest(get("/a"), []byte{1})
		if err != nil {
			t.Fatal(err)
		}
		_, sb, err := renamed.UnprotectRequest(over(t, outer))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := renamed.ProtectResponse(content("lost"), sb, mode); err != nil {
			t.Fatal(err)
		}
		resp, err := renamed.ProtectResponse(content("x"), sb, mode)
		if err != nil {
			t.Fatal(err)
		}
		if mode == Group { // it does not know of 8 yet
			if _, _, _, err := client.UnprotectResponse(over(t, resp), cb); !errors.As(err, new(*UnknownPeerError)) {
				t.Fatalf("got %v, want the new Sender ID to be asked for", err)
			}
			if err := client.SetPeer(Peer{KID: []byte{8}, Cred: w.creds[1]}); err != nil {
				t.Fatal(err)
			}
		}
		if _, from, _, err := client.UnprotectResponse(over(t, resp), cb); err != nil || from.KID[0] != 8 {
			t.Errorf("in %v mode: %+v, %v", mode, from, err)
		}
	}
}

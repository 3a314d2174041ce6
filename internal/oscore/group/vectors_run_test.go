package group

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// Every message of the vectors, and every one that must be refused.
func TestVectors(t *testing.T) {
	for name, file := range vectorFiles(t) {
		t.Run(name, func(t *testing.T) {
			tested := 0
			for i := range file.Groups {
				g := &file.Groups[i]
				t.Run(g.Name, func(t *testing.T) { tested += testGroup(t, file, g) })
			}
			if all := len(file.Cases) + len(file.Negative); tested != all {
				t.Errorf("%d of %d messages were tested", tested, all)
			}
			if name == ownVectors && (len(file.Cases) != 98 || len(file.Negative) != 36) {
				t.Errorf("%d messages, and %d to be refused", len(file.Cases), len(file.Negative))
			}
		})
	}
}

func (f *vectors) byName() map[string]*vectorCase {
	cases := map[string]*vectorCase{}
	for i := range f.Cases {
		cases[f.Cases[i].Name] = &f.Cases[i]
	}
	return cases
}

func testGroup(t *testing.T, file *vectors, g *vectorGroup) (tested int) {
	defer separate(t.Name())()
	t.Run("derivation", func(t *testing.T) { testDerivation(t, g) })
	cases := file.byName()
	for i := range file.Cases {
		v := &file.Cases[i]
		if v.Group != g.Name {
			continue
		}
		tested++
		if v.Kind != "request" && cases[v.Request] == nil {
			t.Fatalf("the request of %s is not there", v.Name)
		}
		t.Run(strings.TrimPrefix(v.Name, g.Name+"/"), func(t *testing.T) {
			if v.Kind == "request" {
				testRequest(t, g, v)
			} else {
				testResponse(t, g, v, cases[v.Request])
			}
		})
	}
	for _, n := range file.Negative {
		based := cases[n.BasedOn]
		if based == nil {
			t.Fatalf("%s is based on %s, which is not there", n.Name, n.BasedOn)
		}
		if based.Group != g.Name {
			continue
		}
		tested++
		t.Run(strings.TrimPrefix(n.Name, g.Name+"/"), func(t *testing.T) {
			m, err := coap.UnmarshalUDP(n.Message)
			if err == nil {
				err = refuse(t, g, based, cases[based.Request], n.Recv, m)
			}
			known := errors.Is(err, oscore.ErrVerify) || errors.Is(err, oscore.ErrDecode)
			if err == nil || file.name == ownVectors && !known {
				t.Errorf("got %v, want: %s", err, n.Expect)
			}
		})
	}
	return tested
}

// refuse opens a message that must be refused and returns the error.
func refuse(t *testing.T, g *vectorGroup, based, request *vectorCase, receiver []byte, m *coap.Message) error {
	t.Helper()
	if based.Kind == "response" {
		client, _, b := g.request(t, request)
		_, _, _, err := client.UnprotectResponse(m, b)
		return err
	}
	c := g.context(t, receiver, 0)
	before := c.Window(based.Sender)
	_, _, err := c.UnprotectRequest(m)
	if c.Window(based.Sender) != before {
		t.Error("the replay window moved")
	}
	return err
}

func testDerivation(t *testing.T, g *vectorGroup) {
	for _, m := range g.Members {
		c := g.context(t, m.ID, 0)
		equal(t, "sender key", c.senderKey, m.SenderKey)
		equal(t, "Common IV", c.commonIV, g.CommonIV)
		equal(t, "Signature Encryption Key", c.seKey, g.SEKey)
	}
	for _, k := range g.PairwiseK {
		c := g.context(t, k.Sender, 0)
		r := c.peers[string(k.Recipient)]
		shared, err := c.key.SharedSecret(r.cred.Public)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "shared secret", shared, k.Shared)
		equal(t, "pairwise key", pairwiseKey(t, c, r.peer, shared), k.Key)
	}
}

// pairwiseKey recomputes the key that Context.pairwise puts into the cipher.
func pairwiseKey(t *testing.T, c *Context, p Peer, shared []byte) []byte {
	t.Helper()
	ikm := append(append(append([]byte(nil), c.cred...), p.Cred...), shared...)
	size := cose.KeySize(c.algs.AEAD)
	return c.kdf(ikm, c.senderKey, oscore.AppendInfo(nil, c.senderID, c.gid, c.algs.AEAD, "Key", size), size)
}

// request protects the request of v again, at its sender.
func (g *vectorGroup) request(t testing.TB, v *vectorCase) (*Context, *coap.Message, *Binding) {
	t.Helper()
	c := g.context(t, v.Sender, v.ssn())
	var to []byte
	if v.Mode == "pairwise" {
		to = v.Recipient
	}
	outer, b, err := c.ProtectRequest(v.message(), to)
	if err != nil {
		t.Fatal(err)
	}
	return c, outer, b
}

func testRequest(t *testing.T, g *vectorGroup, v *vectorCase) {
	c, outer, _ := g.request(t, v)
	checkSealed(t, c, v, outer)
	if v.Mode == "group" {
		checked, err := g.checker(t).CheckRequest(decode(t, v.Message))
		if err != nil || !bytes.Equal(checked.From.KID, v.Sender) {
			t.Errorf("the checker: %v", err)
		}
	}
	for _, m := range g.Members {
		if bytes.Equal(m.ID, v.Sender) || v.Recipient != nil && !bytes.Equal(m.ID, v.Recipient) {
			continue
		}
		peer := g.context(t, m.ID, 0)
		req, b, err := peer.UnprotectRequest(decode(t, v.Message))
		if err != nil {
			t.Fatalf("member %x: %v", m.ID, err)
		}
		checkOpened(t, v, req)
		equal(t, "sender", b.From.KID, v.Sender)
		if _, _, err := peer.UnprotectRequest(decode(t, v.Message)); !errors.Is(err, oscore.ErrReplay) {
			t.Errorf("replayed: %v", err)
		}
	}
}

func testResponse(t *testing.T, g *vectorGroup, v, request *vectorCase) {
	server := g.context(t, v.Sender, v.ssn())
	_, sb, err := server.UnprotectRequest(decode(t, request.Message))
	if err != nil {
		t.Fatal(err)
	}
	sb.used = v.OwnPIV != nil
	o, err := oscore.ParseOption(v.Option)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := server.protectResponse(v.message(), sb, modeOf(o), o.KID != nil)
	if err != nil {
		t.Fatal(err)
	}
	checkSealed(t, server, v, outer)
	testCheckedResponse(t, g, v, request)

	client, _, cb := g.request(t, request)
	u, err := client.BeginResponse(decode(t, v.Message), cb)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "signature", u.Sig, v.Inter.Signature)
	equal(t, "to be signed", u.Message, v.Inter.ToBeSigned)
	resp, from, mode, err := client.UnprotectResponse(decode(t, v.Message), cb)
	if err != nil {
		t.Fatal(err)
	}
	checkOpened(t, v, resp)
	equal(t, "sender", from.KID, v.Sender)
	if mode.String() != v.Mode {
		t.Errorf("mode %v", mode)
	}
	if _, _, _, err := client.FinishResponse(u, true); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("begun before and finished after: %v", err)
	}
	if _, _, _, err := client.UnprotectResponse(decode(t, v.Message), cb); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("replayed: %v", err)
	}
}

// checker makes a signature checker that knows all members.
func (g *vectorGroup) checker(t testing.TB) *Checker {
	t.Helper()
	key := g.context(t, g.Members[0].ID, 0).SignatureEncryptionKey()
	c, err := NewChecker(CheckerParams{
		GID: g.GID, GMCred: g.GMCred, Algs: g.algorithms(), SignatureEncryptionKey: key, ParseCred: parseAny,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range g.Members {
		if err := c.SetPeer(Peer{KID: m.ID, Cred: m.Cred}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// testCheckedResponse has a signature checker look at a response, whose request
// it may not be able to check.
func testCheckedResponse(t *testing.T, g *vectorGroup, v, request *vectorCase) {
	t.Helper()
	if !g.algorithms().hasGroup() {
		return
	}
	c := g.checker(t)
	checked, err := c.ReadRequest(decode(t, request.Message))
	if err != nil {
		t.Fatal(err)
	}
	checked.Server = v.Sender
	from, err := c.CheckResponse(decode(t, v.Message), checked)
	switch {
	case v.Mode == "pairwise" && !errors.Is(err, ErrMode):
		t.Errorf("the checker about a response in pairwise mode: %v", err)
	case v.Mode == "group" && (err != nil || !bytes.Equal(from.KID, v.Sender)):
		t.Errorf("the checker: %v", err)
	}
}

// checkSealed compares a message that c just made, and what led to it.
func checkSealed(t *testing.T, c *Context, v *vectorCase, outer *coap.Message) {
	t.Helper()
	equal(t, "plaintext", c.plaintext, v.Plaintext)
	equal(t, "option", coap.GetOption(outer, coap.OptionOSCORE), v.Option)
	equal(t, "Enc_structure", c.structures.encrypt(), v.Inter.EncStructure)
	equal(t, "external_aad", c.structures.externalAAD(t), v.Inter.AAD)
	if byte(outer.Code) != v.OuterCode {
		t.Errorf("outer code %v", outer.Code)
	}
	for _, o := range v.OuterOptions {
		if got := coap.GetOption(outer, o.ID); o.ID != coap.OptionOSCORE && !bytes.Equal(got, o.Value) {
			t.Errorf("outer option %d: %x", o.ID, got)
		}
	}
	if v.Mode == "group" {
		checkCountersigned(t, c, v, outer)
	} else {
		equal(t, "nonce", c.nonce(Pairwise, v.parts(t)), v.Inter.Nonce)
		r := c.peers[string(v.Recipient)]
		shared, err := c.key.SharedSecret(r.cred.Public)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "shared secret", shared, v.Inter.Shared)
		equal(t, "key", pairwiseKey(t, c, r.peer, shared), v.Inter.Key)
	}
	if v.Deterministic {
		equal(t, "payload", outer.Payload, v.Payload)
		equal(t, "message", encode(t, outer), v.Message)
	} else if len(outer.Payload) != len(v.Payload) {
		t.Errorf("payload of %d bytes, not %d", len(outer.Payload), len(v.Payload))
	}
}

// checkCountersigned compares what group mode has beside the rest. A signature
// that is not deterministic is verified, the vector's too.
func checkCountersigned(t *testing.T, c *Context, v *vectorCase, outer *coap.Message) {
	t.Helper()
	equal(t, "nonce", c.nonce(Group, v.parts(t)), v.Inter.Nonce)
	equal(t, "key", c.senderKey, v.Inter.Key)
	cut := len(outer.Payload) - c.sigSize
	equal(t, "ciphertext", outer.Payload[:cut], v.Inter.Ciphertext)
	toBeSigned := c.structures.countersign(outer.Payload[:cut])
	equal(t, "to be signed", toBeSigned, v.Inter.ToBeSigned)
	keystream := make([]byte, c.sigSize)
	c.keystream.hide(keystream, c.seKey, c.gid, v.parts(t))
	equal(t, "keystream", keystream, v.Inter.Keystream)
	sig := bytes.Clone(outer.Payload[cut:])
	c.keystream.hide(sig, c.seKey, c.gid, v.parts(t))
	if v.Deterministic {
		equal(t, "encrypted signature", outer.Payload[cut:], v.Inter.Encrypted)
		equal(t, "signature", sig, v.Inter.Signature)
	}
	for name, sig := range map[string][]byte{"own": sig, "the vector's": v.Inter.Signature} {
		if sig != nil && !c.key.Public().Verify(toBeSigned, sig) {
			t.Errorf("%s signature does not verify", name)
		}
	}
}

// externalAAD takes external_aad out of the structure that contains it.
func (s *structures) externalAAD(t *testing.T) (aad []byte) {
	t.Helper()
	if err := cbor.Unmarshal(s.buf[len(countersignHead):s.end], &aad); err != nil {
		t.Fatal(err)
	}
	return aad
}

// parts are what goes into nonce and keystream, from what is on the wire.
func (v *vectorCase) parts(t *testing.T) *message {
	t.Helper()
	o, err := oscore.ParseOption(v.Option)
	if err != nil {
		t.Fatal(err)
	}
	if o.PIV == nil {
		return &message{nonceID: v.ReqKID, noncePIV: v.ReqPIV}
	}
	return &message{isRequest: v.Kind == "request", nonceID: v.Sender, noncePIV: o.PIV}
}

func checkOpened(t *testing.T, v *vectorCase, m *coap.Message) {
	t.Helper()
	if byte(m.Code) != v.Input.Code || m.MessageID != v.Input.MID || int(m.Type) != v.Input.Type {
		t.Errorf("code %v, message ID %d, type %v", m.Code, m.MessageID, m.Type)
	}
	equal(t, "token", m.Token, v.Input.Token)
	if !bytes.Equal(m.Payload, v.Input.Payload) {
		t.Errorf("payload %x", m.Payload)
	}
	if len(m.Options) != len(v.Input.Options) {
		t.Fatalf("options %v", m.Options)
	}
	for i, o := range v.Input.Options {
		if m.Options[i].ID != o.ID || !bytes.Equal(m.Options[i].Value, o.Value) {
			t.Errorf("option %d: %v", i, m.Options[i])
		}
	}
}

package group

import (
	"bytes"
	"crypto/ed25519"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	udp "github.com/plgd-dev/go-coap/v3/message"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/oscore"
)

//go:embed testdata/group-oscore.json
var vectorFile []byte

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = append([]byte{}, b...)
	return err
}

// hexOption is [number, "hex value"].
type hexOption struct {
	ID    coap.OptionID
	Value hexBytes
}

func (o *hexOption) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &[]any{&o.ID, &o.Value}) }

type vectors struct {
	Groups   []vectorGroup `json:"groups"`
	Cases    []vectorCase  `json:"cases"`
	Negative []struct {
		Name    string   `json:"name"`
		BasedOn string   `json:"based_on"`
		Recv    hexBytes `json:"receiver"`
		Message hexBytes `json:"coap_message"`
		Expect  string   `json:"expect"`
	} `json:"negative"`
}

type vectorGroup struct {
	Name      string         `json:"name"`
	AEAD      cose.Algorithm `json:"alg_aead"`
	GroupEnc  cose.Algorithm `json:"alg_group_enc"`
	Sign      cose.Algorithm `json:"alg_signature"`
	Pairwise  cose.Algorithm `json:"alg_pairwise_key_agreement"`
	Hash      string         `json:"hkdf_hash"`
	Secret    hexBytes       `json:"master_secret"`
	Salt      hexBytes       `json:"master_salt"`
	GID       hexBytes       `json:"gid"`
	GMCred    hexBytes       `json:"gm_cred"`
	CommonIV  hexBytes       `json:"common_iv"`
	SEKey     hexBytes       `json:"signature_encryption_key"`
	Members   []vectorMember `json:"members"`
	PairwiseK []struct {
		Sender, Recipient hexBytes
		Shared            hexBytes `json:"shared_secret"`
		Key               hexBytes `json:"key"`
	} `json:"pairwise_keys"`
}

type vectorMember struct {
	ID        hexBytes `json:"id"`
	Cred      hexBytes `json:"cred"`
	Private   hexBytes `json:"private_key"`
	SenderKey hexBytes `json:"sender_key"`
}

type vectorCase struct {
	Name      string   `json:"name"`
	Group     string   `json:"group"`
	Mode      string   `json:"mode"`
	Kind      string   `json:"kind"`
	Sender    hexBytes `json:"sender"`
	Recipient hexBytes `json:"recipient"`
	SSN       *uint64  `json:"ssn"`
	OwnPIV    hexBytes `json:"own_piv"`
	ReqKID    hexBytes `json:"request_kid"`
	ReqPIV    hexBytes `json:"request_piv"`
	Input     struct {
		Code    byte        `json:"code"`
		Options []hexOption `json:"options"`
		Payload hexBytes    `json:"payload"`
		Type    int         `json:"mtype"`
		MID     int32       `json:"mid"`
		Token   hexBytes    `json:"token"`
	} `json:"input"`
	Plaintext    hexBytes    `json:"plaintext"`
	OuterCode    byte        `json:"outer_code"`
	OuterOptions []hexOption `json:"outer_options"`
	Option       hexBytes    `json:"oscore_option"`
	Payload      hexBytes    `json:"protected_payload"`
	Message      hexBytes    `json:"coap_message"`
	Request      string      `json:"request_case"`
	Inter        struct {
		AAD          hexBytes `json:"external_aad"`
		EncStructure hexBytes `json:"enc_structure"`
		Nonce        hexBytes `json:"nonce"`
		Key          hexBytes `json:"key"`
		Ciphertext   hexBytes `json:"ciphertext"`
		ToBeSigned   hexBytes `json:"to_be_signed"`
		Signature    hexBytes `json:"signature"`
		Keystream    hexBytes `json:"keystream"`
		Encrypted    hexBytes `json:"encrypted_signature"`
		Shared       hexBytes `json:"shared_secret"`
	} `json:"intermediate"`
	Deterministic bool `json:"deterministic"`
}

func (g *vectorGroup) algorithms() Algorithms {
	hash := map[string]cose.Algorithm{"sha256": cose.HMAC256, "sha512": cose.HMAC512}[g.Hash]
	return Algorithms{AEAD: g.AEAD, GroupEnc: g.GroupEnc, Sign: g.Sign, Pairwise: g.Pairwise, HKDF: hash}
}

func (g *vectorGroup) key(t *testing.T, private []byte) cose.PrivateKey {
	t.Helper()
	if g.Sign == cose.EdDSA {
		return cose.NewEd25519(ed25519.NewKeyFromSeed(private))
	}
	key, err := p256.NewKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// context makes one member's context with all others as peers.
func (g *vectorGroup) context(t *testing.T, id []byte, ssn uint64) *Context {
	t.Helper()
	var own vectorMember
	for _, m := range g.Members {
		if bytes.Equal(m.ID, id) {
			own = m
		}
	}
	c, err := New(Params{
		Name: g.Name, GID: g.GID, MasterSecret: []byte(g.Secret), MasterSalt: g.Salt,
		Algs: g.algorithms(), GMCred: g.GMCred, SenderID: own.ID, Cred: own.Cred,
		Key: g.key(t, own.Private), Sequence: oscore.NewSequence(ssn, nil),
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

// message makes the plain message. A notification's Observe value is only seen
// outside.
func (v *vectorCase) message() *coap.Message {
	m := &coap.Message{
		Code: coap.Code(v.Input.Code), Payload: v.Input.Payload, Token: coap.Token(v.Input.Token),
		Type: udp.Type(v.Input.Type), MessageID: v.Input.MID,
	}
	for _, o := range v.Input.Options {
		if o.ID == coap.OptionObserve && v.Kind == "response" {
			for _, outer := range v.OuterOptions {
				if outer.ID == o.ID {
					o = outer
				}
			}
		}
		coap.AddOption(m, o.ID, o.Value)
	}
	return m
}

func (v *vectorCase) ssn() uint64 {
	if v.SSN == nil {
		return 0
	}
	return *v.SSN
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if want != nil && !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

func decode(t *testing.T, b []byte) *coap.Message {
	t.Helper()
	m, err := coap.UnmarshalUDP(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encode(t *testing.T, m *coap.Message) []byte {
	t.Helper()
	b, err := coap.MarshalUDP(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectorFiles is the embedded file and those named in LAMPLIGHTER_VECTORS,
// separated by colons.
func vectorFiles(t *testing.T) map[string]*vectors {
	t.Helper()
	raw := map[string][]byte{"group-oscore.json": vectorFile}
	for _, path := range strings.Split(os.Getenv("LAMPLIGHTER_VECTORS"), ":") {
		if path == "" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		raw["LAMPLIGHTER_VECTORS/"+filepath.Base(path)] = b
	}
	files := map[string]*vectors{}
	for name, b := range raw {
		v := &vectors{}
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(v.Groups) == 0 {
			t.Logf("%s holds no groups", name)
		}
		files[name] = v
	}
	return files
}

func TestVectors(t *testing.T) {
	for name, file := range vectorFiles(t) {
		t.Run(name, func(t *testing.T) {
			for i := range file.Groups {
				g := &file.Groups[i]
				t.Run(g.Name, func(t *testing.T) { testGroup(t, file, g) })
			}
		})
	}
}

func testGroup(t *testing.T, file *vectors, g *vectorGroup) {
	defer separate(t.Name())()
	t.Run("derivation", func(t *testing.T) { testDerivation(t, g) })
	cases := map[string]*vectorCase{}
	for i := range file.Cases {
		cases[file.Cases[i].Name] = &file.Cases[i]
	}
	tested := 0
	for i := range file.Cases {
		v := &file.Cases[i]
		if v.Group != g.Name {
			continue
		}
		tested++
		name := strings.TrimPrefix(v.Name, g.Name+"/")
		t.Run(name, func(t *testing.T) {
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
			err := refuse(t, g, based, cases[based.Request], n.Recv, decode(t, n.Message))
			if !errors.Is(err, oscore.ErrVerify) && !errors.Is(err, oscore.ErrDecode) {
				t.Errorf("got %v, want: %s", err, n.Expect)
			}
		})
	}
	t.Logf("%s: %d messages", g.Name, tested)
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
	return cose.HKDF(ikm, c.senderKey, oscore.AppendInfo(nil, c.senderID, c.gid, c.algs.AEAD, "Key", size), size)
}

// request protects the request of v again, at its sender.
func (g *vectorGroup) request(t *testing.T, v *vectorCase) (*Context, *coap.Message, *Binding) {
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
	checkSealed(t, g, c, v, outer)
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
	checkSealed(t, g, server, v, outer)

	client, _, cb := g.request(t, request)
	resp, from, mode, err := client.UnprotectResponse(decode(t, v.Message), cb)
	if err != nil {
		t.Fatal(err)
	}
	checkOpened(t, v, resp)
	equal(t, "sender", from.KID, v.Sender)
	if mode.String() != v.Mode {
		t.Errorf("mode %v", mode)
	}
	if _, _, _, err := client.UnprotectResponse(decode(t, v.Message), cb); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("replayed: %v", err)
	}
}

// checkSealed compares a message that c just made, and what led to it.
func checkSealed(t *testing.T, g *vectorGroup, c *Context, v *vectorCase, outer *coap.Message) {
	t.Helper()
	equal(t, "plaintext", c.plaintext, v.Plaintext)
	equal(t, "option", coap.GetOption(outer, coap.OptionOSCORE), v.Option)
	equal(t, "Enc_structure", c.structures.encrypt(), v.Inter.EncStructure)
	equal(t, "external_aad", c.structures.externalAAD(t), v.Inter.AAD)
	if byte(outer.Code) != v.OuterCode {
		t.Errorf("outer code %v", outer.Code)
	}
	o, _ := oscore.ParseOption(v.Option)
	m := &wire{c: c, v: v, o: o}
	equal(t, "nonce", m.nonce(), v.Inter.Nonce)
	if o.Group {
		equal(t, "key", c.senderKey, v.Inter.Key)
		cut := len(outer.Payload) - c.sigSize
		equal(t, "to be signed", c.structures.countersign(outer.Payload[:cut]), v.Inter.ToBeSigned)
		keystream := make([]byte, c.sigSize)
		c.keystream.hide(keystream, c.seKey, c.gid, m.message())
		equal(t, "keystream", keystream, v.Inter.Keystream)
		equal(t, "ciphertext", outer.Payload[:cut], v.Inter.Ciphertext)
		if v.Deterministic {
			equal(t, "encrypted signature", outer.Payload[cut:], v.Inter.Encrypted)
			for i := range keystream {
				keystream[i] ^= outer.Payload[cut+i]
			}
			equal(t, "signature", keystream, v.Inter.Signature)
		}
	} else {
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

// wire recomputes nonce and keystream inputs from what is on the wire.
type wire struct {
	c *Context
	v *vectorCase
	o oscore.Option
}

func (m *wire) message() *message {
	out := &message{isRequest: m.v.Kind == "request", nonceID: m.v.Sender, noncePIV: m.o.PIV}
	if m.o.PIV == nil {
		out.nonceID, out.noncePIV = m.v.ReqKID, m.v.ReqPIV
	}
	return out
}

func (m *wire) nonce() []byte {
	if m.o.Group {
		return m.c.nonce(m.c.algs.GroupEnc, m.message())
	}
	return m.c.nonce(m.c.algs.AEAD, m.message())
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

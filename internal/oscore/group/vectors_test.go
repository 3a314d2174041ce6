package group

import (
	"bytes"
	"crypto/ed25519"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	udp "github.com/plgd-dev/go-coap/v3/message"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	_ "lamplighter/internal/cose/x509cert"
	"lamplighter/internal/oscore"
)

const ownVectors = "group-oscore.json"

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
	name     string
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
	name := strings.ReplaceAll(strings.ToLower(g.Hash), "-", "")
	hash := map[string]cose.Algorithm{"sha256": cose.HMAC256, "sha512": cose.HMAC512}[name]
	return Algorithms{AEAD: g.AEAD, GroupEnc: g.GroupEnc, Sign: g.Sign, Pairwise: g.Pairwise, HKDF: hash}
}

// parseAny reads a credential of whichever format: the vectors do not name it.
func parseAny(raw []byte) (cred cose.Credential, err error) {
	for _, f := range []cose.Format{cose.C5C, cose.X5Chain, cose.KCWT, cose.KCCS} {
		if cred, err = f.Parse(raw); err == nil {
			break
		}
	}
	return cred, err
}

// key makes the private key that goes with a credential.
func (m *vectorMember) key(t testing.TB) cose.PrivateKey {
	t.Helper()
	cred, err := parseAny(m.Cred)
	if err != nil {
		t.Fatal(err)
	}
	var key cose.PrivateKey
	switch cred.Public.Curve() {
	case cose.Ed25519:
		return cose.NewEd25519(ed25519.NewKeyFromSeed(m.Private))
	case cose.X25519:
		key, err = cose.NewX25519(m.Private)
	default:
		key, err = p256.NewKey(m.Private)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// context makes one member's context with all others as peers.
func (g *vectorGroup) context(t testing.TB, id []byte, ssn uint64) *Context {
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
		Key: own.key(t), Sequence: oscore.NewSequence(ssn, nil), ParseCred: parseAny,
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

func decode(t testing.TB, b []byte) *coap.Message {
	t.Helper()
	m, err := coap.UnmarshalUDP(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encode(t testing.TB, m *coap.Message) []byte {
	t.Helper()
	b, err := coap.MarshalUDP(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectorFiles is the embedded file and those named in LAMPLIGHTER_VECTORS,
// separated by colons.
func vectorFiles(t testing.TB) map[string]*vectors {
	t.Helper()
	raw := map[string][]byte{ownVectors: vectorFile}
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
		v := &vectors{name: name}
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files[name] = v
	}
	return files
}

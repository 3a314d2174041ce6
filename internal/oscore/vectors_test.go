package oscore

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// Both files of testdata: RFC 8613, Appendix C, and what aiocoap made with every
// algorithm.
var (
	//go:embed testdata/oscore-rfc8613.json
	vectorsRFC []byte
	//go:embed testdata/oscore-aiocoap.json
	vectorsAiocoap []byte
)

// hexBytes is a hex string; absent and empty differ.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = append([]byte{}, b...)
	return err
}

// vector is one of RFC 8613, Appendix C: a derivation, a request or a response.
type vector struct {
	Title        string   `json:"title"`
	MasterSecret hexBytes `json:"master_secret"`
	MasterSalt   hexBytes `json:"master_salt"`
	IDContext    hexBytes `json:"id_context"`
	SenderID     hexBytes `json:"sender_id"`
	RecipientID  hexBytes `json:"recipient_id"`
	InfoSender   hexBytes `json:"info_for_sender_key"`
	InfoRecip    hexBytes `json:"info_for_recipient_key"`
	InfoIV       hexBytes `json:"info_for_common_iv"`
	SenderKey    hexBytes `json:"sender_key"`
	RecipientKey hexBytes `json:"recipient_key"`
	CommonIV     hexBytes `json:"common_iv"`
	SenderNonce  hexBytes `json:"sender_nonce"`
	RecipNonce   hexBytes `json:"recipient_nonce"`

	Request      hexBytes `json:"unprotected_coap_request"`
	Response     hexBytes `json:"unprotected_coap_response"`
	OuterRequest hexBytes `json:"protected_coap_request_oscore_message"`
	OuterResp    hexBytes `json:"protected_coap_response_oscore_message"`
	PIV          hexBytes `json:"partial_iv"`
	KID          hexBytes `json:"kid"`
	KIDContext   hexBytes `json:"kid_context"`
	AADArray     hexBytes `json:"aad_array"`
	AAD          hexBytes `json:"aad"`
	Plaintext    hexBytes `json:"plaintext"`
	Key          hexBytes `json:"encryption_key"`
	Nonce        hexBytes `json:"nonce"`
	Option       hexBytes `json:"oscore_option_value"`
	Ciphertext   hexBytes `json:"ciphertext"`
	SSN          uint64   `json:"ssn"`

	// Not in RFC 8613, which has the default algorithms only.
	AEAD cose.Algorithm `json:"alg_aead"`
	Hash string         `json:"hkdf_hash"`
}

// vectors is one file. A message uses the derivation with its Common IV and
// Sender Key, a response the request with its AAD.
type vectors struct {
	Vectors []vector `json:"vectors"`
}

// vectorFiles is the embedded files and those named in LAMPLIGHTER_VECTORS,
// separated by colons.
func vectorFiles(t testing.TB) map[string]*vectors {
	t.Helper()
	raw := map[string][]byte{"oscore-rfc8613.json": vectorsRFC, "oscore-aiocoap.json": vectorsAiocoap}
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
		if len(v.Vectors) == 0 {
			t.Logf("%s holds no vectors of RFC 8613's shape", name)
			continue
		}
		files[name] = v
	}
	for name, want := range map[string]int{"oscore-rfc8613.json": 11, "oscore-aiocoap.json": 12 * 2 * 5} {
		if n := len(files[name].Vectors); n != want {
			t.Fatalf("%s: %d vectors, want %d", name, n, want)
		}
	}
	return files
}

// derivation finds the context that a message was sent under.
func (f *vectors) derivation(t testing.TB, v vector) vector {
	t.Helper()
	for _, d := range f.Vectors {
		if d.MasterSecret != nil && bytes.Equal(d.CommonIV, v.CommonIV) && bytes.Equal(d.SenderKey, v.SenderKey) {
			return d
		}
	}
	t.Fatalf("%s: no derivation has its keys", v.Title)
	return vector{}
}

// request finds what a response answers.
func (f *vectors) request(t testing.TB, v vector) vector {
	t.Helper()
	for _, r := range f.Vectors {
		if r.Request != nil && bytes.Equal(r.AAD, v.AAD) && bytes.Equal(r.CommonIV, v.CommonIV) {
			return r
		}
	}
	t.Fatalf("%s: no request has its AAD", v.Title)
	return vector{}
}

func (v vector) params() Params {
	p := Params{
		MasterSecret: []byte(v.MasterSecret), MasterSalt: v.MasterSalt, IDContext: v.IDContext,
		SenderID: v.SenderID, RecipientID: v.RecipientID, AEAD: v.AEAD, HKDF: cose.HKDFSHA256,
	}
	if p.AEAD == cose.Null {
		p.AEAD = cose.AESCCM16_64_128
	}
	if v.Hash == "sha512" {
		p.HKDF = cose.HKDFSHA512
	}
	return p
}

// sides makes the sender's and the receiver's context of a message.
func (f *vectors) sides(t testing.TB, v vector, senderSSN, receiverSSN uint64) (sender, receiver *Context) {
	t.Helper()
	p := f.derivation(t, v).params()
	p.Sequence = NewSequence(senderSSN, nil)
	sender, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	p.SenderID, p.RecipientID = p.RecipientID, p.SenderID
	p.Sequence = NewSequence(receiverSSN, nil)
	receiver, err = New(p)
	if err != nil {
		t.Fatal(err)
	}
	return sender, receiver
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

func decodeUDP(t testing.TB, b []byte) *coap.Message {
	t.Helper()
	m, err := coap.UnmarshalUDP(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encodeUDP(t testing.TB, m *coap.Message) []byte {
	t.Helper()
	b, err := coap.MarshalUDP(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectors(t *testing.T) {
	for name, file := range vectorFiles(t) {
		t.Run(name, func(t *testing.T) {
			for _, v := range file.Vectors {
				t.Run(v.Title, func(t *testing.T) {
					switch {
					case v.MasterSecret != nil:
						testDerivation(t, v)
					case v.Request != nil:
						testRequest(t, file, v)
					default:
						testResponse(t, file, v)
					}
				})
			}
		})
	}
}

// C.1, C.2, C.3.
func testDerivation(t *testing.T, v vector) {
	p := v.params()
	keySize, nonceSize := cose.KeySize(p.AEAD), cose.NonceSize(p.AEAD)
	equal(t, "info for sender key", AppendInfo(nil, p.SenderID, p.IDContext, p.AEAD, "Key", keySize), v.InfoSender)
	equal(t, "info for recipient key", AppendInfo(nil, p.RecipientID, p.IDContext, p.AEAD, "Key", keySize), v.InfoRecip)
	equal(t, "info for Common IV", AppendInfo(nil, nil, p.IDContext, p.AEAD, "IV", nonceSize), v.InfoIV)
	derive, err := deriver(p)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "sender key", derive(p.SenderID, "Key", keySize), v.SenderKey)
	equal(t, "recipient key", derive(p.RecipientID, "Key", keySize), v.RecipientKey)
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "Common IV", c.commonIV, v.CommonIV)
	equal(t, "sender nonce", c.nonceOf(v.SenderID, []byte{0}), v.SenderNonce)
	equal(t, "recipient nonce", c.nonceOf(v.RecipientID, []byte{0}), v.RecipNonce)
}

// C.4, C.5, C.6: both directions.
func testRequest(t *testing.T, f *vectors, v vector) {
	client, server := f.sides(t, v, v.SSN, 0)
	req := decodeUDP(t, v.Request)
	outer, b, err := client.ProtectRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "aad_array", appendExternalAAD(nil, client.alg, b.kid, b.piv()), v.AADArray)
	equal(t, "AAD", client.aadOf(b), v.AAD)
	equal(t, "Partial IV", b.piv(), v.PIV)
	equal(t, "kid", b.kid, v.KID)
	equal(t, "nonce", client.nonceOf(b.kid, b.piv()), v.Nonce)
	equal(t, "plaintext", client.plaintext, v.Plaintext)
	equal(t, "option", coap.GetOption(outer, coap.OptionOSCORE), v.Option)
	equal(t, "ciphertext", outer.Payload, v.Ciphertext)
	equal(t, "protected request", encodeUDP(t, outer), v.OuterRequest)
	equal(t, "the request given", encodeUDP(t, req), v.Request)

	inner, _, err := server.UnprotectRequest(decodeUDP(t, v.OuterRequest))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "unprotected request", encodeUDP(t, inner), v.Request)
}

// answered is a response with the bindings of its request on both sides.
func (f *vectors) answered(t testing.TB, v vector) (client, server *Context, cb, sb *Binding) {
	t.Helper()
	request := f.request(t, v)
	server, client = f.sides(t, v, v.SSN, request.SSN)
	_, cb, err := client.ProtectRequest(decodeUDP(t, request.Request))
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err = server.UnprotectRequest(decodeUDP(t, request.OuterRequest))
	if err != nil {
		t.Fatal(err)
	}
	return client, server, cb, sb
}

// C.7, C.8: both directions.
func testResponse(t *testing.T, f *vectors, v vector) {
	client, server, cb, sb := f.answered(t, v)
	sb.used = v.PIV != nil
	outer, err := server.ProtectResponse(decodeUDP(t, v.Response), sb)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "AAD", server.aadOf(sb), v.AAD)
	equal(t, "nonce", server.nonce, v.Nonce)
	equal(t, "plaintext", server.plaintext, v.Plaintext)
	equal(t, "option", coap.GetOption(outer, coap.OptionOSCORE), v.Option)
	equal(t, "protected response", encodeUDP(t, outer), v.OuterResp)

	inner, err := client.UnprotectResponse(decodeUDP(t, v.OuterResp), cb)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "unprotected response", encodeUDP(t, inner), v.Response)
}

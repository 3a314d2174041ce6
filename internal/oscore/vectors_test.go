package oscore

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

//go:embed testdata/oscore-rfc8613.json
var vectorFile []byte

// hexBytes is a hex string; absent and empty differ.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = append([]byte{}, b...)
	return err
}

// vector is one of RFC 8613, Appendix C.
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
}

func loadVectors(t *testing.T) []vector {
	t.Helper()
	var file struct {
		Vectors []vector `json:"vectors"`
	}
	if err := json.Unmarshal(vectorFile, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) != 11 {
		t.Fatalf("%d vectors, want 11", len(file.Vectors))
	}
	return file.Vectors
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

func (v vector) params() Params {
	return Params{
		MasterSecret: []byte(v.MasterSecret), MasterSalt: v.MasterSalt, IDContext: v.IDContext,
		SenderID: v.SenderID, RecipientID: v.RecipientID,
	}
}

// C.1, C.2, C.3: derivation.
func TestVectorsDerivation(t *testing.T) {
	for _, v := range loadVectors(t)[:6] {
		t.Run(v.Title, func(t *testing.T) {
			p := v.params()
			p.AEAD = cose.AESCCM16_64_128
			equal(t, "info for sender key", AppendInfo(nil, p.SenderID, p.IDContext, p.AEAD, "Key", 16), v.InfoSender)
			equal(t, "info for recipient key", AppendInfo(nil, p.RecipientID, p.IDContext, p.AEAD, "Key", 16), v.InfoRecip)
			equal(t, "info for Common IV", AppendInfo(nil, nil, p.IDContext, p.AEAD, "IV", 13), v.InfoIV)
			equal(t, "sender key", deriveOutput(p, p.SenderID, "Key", 16), v.SenderKey)
			equal(t, "recipient key", deriveOutput(p, p.RecipientID, "Key", 16), v.RecipientKey)
			c, err := New(p)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "Common IV", c.commonIV, v.CommonIV)
			equal(t, "sender nonce", c.nonce(v.SenderID, []byte{0}), v.SenderNonce)
			equal(t, "recipient nonce", c.nonce(v.RecipientID, []byte{0}), v.RecipNonce)
		})
	}
}

// pair makes both sides of the context that a message vector uses.
func pair(t *testing.T, v, derivation vector, clientSSN, serverSSN uint64) (client, server *Context) {
	t.Helper()
	p := derivation.params() // of the client
	p.Sequence = NewSequence(clientSSN, nil)
	client, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	p.SenderID, p.RecipientID = p.RecipientID, p.SenderID
	p.Sequence = NewSequence(serverSSN, nil)
	server, err = New(p)
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func decodeUDP(t *testing.T, b []byte) *coap.Message {
	t.Helper()
	m, err := coap.UnmarshalUDP(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encodeUDP(t *testing.T, m *coap.Message) []byte {
	t.Helper()
	b, err := coap.MarshalUDP(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// C.4, C.5, C.6: requests, both directions.
func TestVectorsRequest(t *testing.T) {
	all := loadVectors(t)
	for i, v := range all[6:9] {
		t.Run(v.Title, func(t *testing.T) {
			client, server := pair(t, v, all[2*i], v.SSN, 0)
			req := decodeUDP(t, v.Request)
			outer, b, err := client.ProtectRequest(req)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "aad_array", appendExternalAAD(nil, client.alg, b.kid, b.piv), v.AADArray)
			equal(t, "AAD", b.aad, v.AAD)
			equal(t, "Partial IV", b.piv, v.PIV)
			equal(t, "kid", b.kid, v.KID)
			equal(t, "nonce", client.nonce(b.kid, b.piv), v.Nonce)
			equal(t, "plaintext", client.scratch, v.Plaintext)
			equal(t, "option", coap.GetOption(outer, coap.OptionOSCORE), v.Option)
			equal(t, "ciphertext", outer.Payload, v.Ciphertext)
			equal(t, "protected request", encodeUDP(t, outer), v.OuterRequest)
			equal(t, "the request given", encodeUDP(t, req), v.Request)

			inner, _, err := server.UnprotectRequest(decodeUDP(t, v.OuterRequest))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "unprotected request", encodeUDP(t, inner), v.Request)
		})
	}
}

// C.7, C.8: responses to the request of C.4, both directions.
func TestVectorsResponse(t *testing.T) {
	all := loadVectors(t)
	request := all[6]
	for _, v := range all[9:11] {
		t.Run(v.Title, func(t *testing.T) {
			client, server := pair(t, v, all[0], request.SSN, v.SSN)
			_, clientBinding, err := client.ProtectRequest(decodeUDP(t, request.Request))
			if err != nil {
				t.Fatal(err)
			}
			_, serverBinding, err := server.UnprotectRequest(decodeUDP(t, request.OuterRequest))
			if err != nil {
				t.Fatal(err)
			}
			serverBinding.used = strings.Contains(v.Title, "with Partial IV")
			outer, err := server.ProtectResponse(decodeUDP(t, v.Response), serverBinding)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "AAD", serverBinding.aad, v.AAD)
			equal(t, "plaintext", server.scratch, v.Plaintext)
			equal(t, "option", coap.GetOption(outer, coap.OptionOSCORE), v.Option)
			equal(t, "protected response", encodeUDP(t, outer), v.OuterResp)

			inner, err := client.UnprotectResponse(decodeUDP(t, v.OuterResp), clientBinding)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "unprotected response", encodeUDP(t, inner), v.Response)
		})
	}
}

package cose

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	oracle "github.com/veraison/go-cose"

	"lamplighter/internal/cbor"
)

// go-cose is not linked into the programs: it brings ECDSA and RSA along, which
// the browser would have to load. Here it says whether we agree with it.

func oracleKey(seed byte) (ed25519.PrivateKey, ed25519.PublicKey) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return key, key.Public().(ed25519.PublicKey)
}

func TestOracleReadsCredentialKey(t *testing.T) {
	_, public := oracleKey(1)
	var claims map[int]cbor.RawMessage
	if err := cbor.Unmarshal(NewCCS("lamp", public), &claims); err != nil {
		t.Fatal(err)
	}
	var cnf map[int]cbor.RawMessage
	if err := cbor.Unmarshal(claims[8], &cnf); err != nil {
		t.Fatal(err)
	}
	var key oracle.Key
	if err := key.UnmarshalCBOR(cnf[1]); err != nil {
		t.Fatal(err)
	}
	got, err := key.PublicKey()
	if err != nil || !public.Equal(got) || key.Algorithm != oracle.AlgorithmEdDSA {
		t.Errorf("read %v (algorithm %v), %v", got, key.Algorithm, err)
	}
}

func TestOracleWritesCredentialKey(t *testing.T) {
	_, public := oracleKey(2)
	key, err := oracle.NewKeyFromPublic(public)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := key.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	cred := cbor.MustMarshal(map[int]any{8: map[int]any{1: cbor.RawMessage(encoded)}})
	got, err := ParseCCS(cred)
	if err != nil || !got.Public.Equal(Ed25519PublicKey(public)) {
		t.Errorf("ParseCCS = %+v, %v", got, err)
	}
}

func TestOracleAgreesOnSignatures(t *testing.T) {
	key, public := oracleKey(3)
	message := AppendCounterSignature0(nil, []byte("external aad"), []byte("ciphertext"))
	signer, err := oracle.NewSigner(oracle.AlgorithmEdDSA, key)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := signer.Sign(nil, message)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := NewEd25519(key).Sign(message)
	if err != nil || !bytes.Equal(ours, theirs) {
		t.Errorf("Sign = %x, %v, want %x", ours, err, theirs)
	}
	verifier, err := oracle.NewVerifier(oracle.AlgorithmEdDSA, public)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(ours)
	bad[5] ^= 1
	cred := Credential{Public: Ed25519PublicKey(public), Alg: EdDSA}
	for _, sig := range [][]byte{ours, bad} {
		if a, b := cred.Verify(message, sig), verifier.Verify(message, sig) == nil; a != b {
			t.Errorf("we say %v, go-cose %v", a, b)
		}
	}
}

func TestOracleReadsProtectedHeader(t *testing.T) {
	nonce := bytes.Repeat([]byte{7}, 13)
	data, err := SealEncrypt0(bytes.Repeat([]byte{9}, 16), []byte("kid"), nonce, []byte("claims"))
	if err != nil {
		t.Fatal(err)
	}
	var object cbor.Tag
	if err := cbor.Unmarshal(data, &object); err != nil || object.Number != tagEncrypt0 {
		t.Fatalf("%+v, %v", object, err)
	}
	protected := object.Content.([]any)[0].([]byte)
	var header oracle.ProtectedHeader
	if err := header.UnmarshalCBOR(cbor.AppendBytes(nil, protected)); err != nil {
		t.Fatal(err)
	}
	if got := header[oracle.HeaderLabelKeyID]; !bytes.Equal(got.([]byte), []byte("kid")) {
		t.Errorf("kid %v", got)
	}
	if got := header[oracle.HeaderLabelIV]; !bytes.Equal(got.([]byte), nonce) {
		t.Errorf("IV %v", got)
	}
	if alg, err := header.Algorithm(); err != nil || int(alg) != int(AESCCM16_64_128) {
		t.Errorf("algorithm %v, %v", alg, err)
	}
}

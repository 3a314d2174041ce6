//go:build js && wasm

package webcrypto

import (
	"encoding/base64"
	"errors"
	"fmt"
	"syscall/js"

	"lamplighter/internal/cose"
)

// single verifies what does not come in batches: P-256 signatures for package
// cose.
var single Verifier

func init() { cose.RegisterP256(newVerifier) }

// newVerifier does not wait: the key is imported when it is first used.
func newVerifier(point []byte) (func(message, sig []byte) bool, error) {
	if load() == nil {
		return nil, errMissing
	}
	return func(message, sig []byte) bool {
		words, err := single.ask([]item{{cose.P256, point, message, sig}})
		return err == nil && words[0]
	}, nil
}

// scalarSize is the length of a private key, a coordinate and a secret, bytes.
const scalarSize = 32

// keyP256 is a private key that WebCrypto holds and does not give out. The two
// CryptoKeys are of the same scalar: one is for one algorithm only.
type keyP256 struct {
	sign, agree js.Value
	public      cose.PublicKey
}

var (
	signing  = map[string]any{"name": "ECDSA", "namedCurve": "P-256"}
	agreeing = map[string]any{"name": "ECDH", "namedCurve": "P-256"}
)

// GenerateP256 makes a private key that cannot be taken out of the browser.
func GenerateP256() (cose.PrivateKey, error) {
	pair, err := call("generateKey", signing, true, []any{"sign", "verify"})
	if err != nil {
		return nil, fmt.Errorf("generating a P-256 key: %w", err)
	}
	return seal(pair.Get("privateKey"))
}

// pkcs8 stands before the scalar in a PKCS #8 file of a P-256 key without the
// public half. RFC 5208, Section 5; RFC 5915, Section 3.
const pkcs8 = "\x30\x41\x02\x01\x00\x30\x13" +
	"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01" + // id-ecPublicKey
	"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07" + // secp256r1
	"\x04\x27\x30\x25\x02\x01\x01\x04\x20"

// ImportP256 makes a private key of its 32-byte scalar. It fails with
// [cose.ErrCredential] for 0 and for what is not below the curve's order.
//
// The public half has to be found by WebCrypto: Go's constant-time curve is not
// linked in, and math/big would leak the scalar by its time. Chromium and Node
// find it; a browser that wants the public half in PKCS #8 (allowed by RFC 5958)
// fails here and generates its keys instead.
func ImportP256(scalar []byte) (cose.PrivateKey, error) {
	if len(scalar) != scalarSize {
		return nil, fmt.Errorf("%w: P-256 private key of %d bytes", cose.ErrCredential, len(scalar))
	}
	whole, err := call("importKey", "pkcs8", toJS(append([]byte(pkcs8), scalar...)), signing, true, []any{"sign"})
	if err != nil {
		return nil, fmt.Errorf("%w: P-256 private key", cose.ErrCredential)
	}
	return seal(whole)
}

// seal makes CryptoKeys that are not extractable of one that is.
func seal(extractable js.Value) (cose.PrivateKey, error) {
	jwk, err := call("exportKey", "jwk", extractable)
	if err != nil {
		return nil, fmt.Errorf("reading a P-256 key: %w", err)
	}
	public, err := publicOf(jwk)
	if err != nil {
		return nil, err
	}
	jwk.Delete("key_ops") // each import has its own
	k := keyP256{public: public}
	if k.sign, err = call("importKey", "jwk", jwk, signing, false, []any{"sign"}); err != nil {
		return nil, fmt.Errorf("importing a P-256 key: %w", err)
	}
	if k.agree, err = call("importKey", "jwk", jwk, agreeing, false, []any{"deriveBits"}); err != nil {
		return nil, fmt.Errorf("importing a P-256 key: %w", err)
	}
	return k, nil
}

// publicOf reads the public half of a JWK. RFC 7518, Section 6.2.1.
func publicOf(jwk js.Value) (cose.PublicKey, error) {
	point := []byte{4} // uncompressed
	for _, name := range []string{"x", "y"} {
		coordinate, err := base64.RawURLEncoding.DecodeString(jwk.Get(name).String())
		if err != nil || len(coordinate) != scalarSize {
			return cose.PublicKey{}, fmt.Errorf("%w: coordinate of a P-256 key", cose.ErrCredential)
		}
		point = append(point, coordinate...)
	}
	return cose.NewPublicKey(cose.P256, point)
}

// Public returns the public half.
func (k keyP256) Public() cose.PublicKey { return k.public }

// Sign makes r | s over SHA-256 of message. RFC 9053, Section 2.1.
func (k keyP256) Sign(message []byte) ([]byte, error) {
	sig, err := call("sign", map[string]any{"name": "ECDSA", "hash": "SHA-256"}, k.sign, toJS(message))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return fromJS(sig), nil
}

// SharedSecret is the x coordinate. RFC 9053, Section 6.3.1.
func (k keyP256) SharedSecret(peer cose.PublicKey) ([]byte, error) {
	if peer.Curve() != cose.P256 {
		return nil, fmt.Errorf("%w: key agreement with a key on %v", cose.ErrCredential, peer.Curve())
	}
	public, err := call("importKey", "raw", toJS(peer.Bytes()), agreeing, false, []any{})
	if err != nil {
		return nil, cose.ErrCredential
	}
	secret, err := call("deriveBits", map[string]any{"name": "ECDH", "public": public}, k.agree, 8*scalarSize)
	if err != nil {
		return nil, cose.ErrCredential
	}
	return fromJS(secret), nil
}

var errMissing = errors.New("no WebCrypto: the page is not in a secure context")

// call waits for a method of SubtleCrypto.
func call(method string, args ...any) (js.Value, error) {
	if load() == nil {
		return js.Value{}, errMissing
	}
	return await(func() js.Value { return load().subtle.Call(method, args...) })
}

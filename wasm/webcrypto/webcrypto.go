//go:build js && wasm

// Package webcrypto does with the browser's WebCrypto what Go in WebAssembly
// does slowly, or would make the engine larger for: Ed25519 signatures are
// verified many at a time ([Verify]), and P-256 (ES256, ECDH) is done there alone
// ([GenerateP256], [ImportP256]). Importing it registers P-256 with package cose.
//
// WebCrypto verifies Ed25519 by the equation without cofactor, refuses an S that
// is not reduced and compares R byte by byte, as crypto/ed25519 does (W3C Web
// Cryptography API Level 2, Section 26.4.2; RFC 8032, Section 5.1.7): what it
// accepts, crypto/ed25519 accepts. It may refuse more: points of small order.
//
// Calls wait for promises and so must not be made from a JavaScript callback.
package webcrypto

import (
	"sync"
	"syscall/js"

	"lamplighter/internal/cose"
	"lamplighter/wasm/promise"
)

// curve is what WebCrypto has to be told to use a curve's signatures.
type curve struct {
	importing, verifying js.Value // algorithms
}

// api is WebCrypto as this package uses it, bound and looked up once.
type api struct {
	subtle, verify, importKey js.Value
	uint8Array, all           js.Value
	curves                    map[cose.Curve]curve
}

// load finds WebCrypto; there is none outside of a secure context.
var load = sync.OnceValue(func() *api {
	crypto := js.Global().Get("crypto")
	if crypto.Type() != js.TypeObject || crypto.Get("subtle").Type() != js.TypeObject {
		return nil
	}
	subtle, object := crypto.Get("subtle"), js.Global().Get("Promise")
	bound := func(of js.Value, name string) js.Value { return of.Get(name).Call("bind", of) }
	return &api{
		subtle: subtle, verify: bound(subtle, "verify"), importKey: bound(subtle, "importKey"),
		uint8Array: js.Global().Get("Uint8Array"), all: bound(object, "all"),
		curves: map[cose.Curve]curve{
			cose.Ed25519: {js.ValueOf("Ed25519"), js.ValueOf("Ed25519")},
			cose.P256: {
				js.ValueOf(map[string]any{"name": "ECDSA", "namedCurve": "P-256"}),
				js.ValueOf(map[string]any{"name": "ECDSA", "hash": "SHA-256"}),
			},
		},
	}
})

// await waits for what call starts. A JavaScript exception is an error, too.
func await(call func() js.Value) (v js.Value, err error) {
	defer func() {
		if thrown, ok := recover().(error); ok {
			err = thrown // a js.Error
		}
	}()
	return promise.Await(call())
}

func toJS(b []byte) js.Value {
	a := load().uint8Array.New(len(b))
	js.CopyBytesToJS(a, b)
	return a
}

// fromJS copies an ArrayBuffer.
func fromJS(buffer js.Value) []byte {
	a := load().uint8Array.New(buffer)
	b := make([]byte, a.Length())
	js.CopyBytesToGo(b, a)
	return b
}

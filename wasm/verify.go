//go:build js && wasm

package main

import (
	"crypto/ed25519"
	"sync"
	"syscall/js"

	"lamplighter/internal/cose"
)

// webVerifier verifies Ed25519 signatures with WebCrypto, which takes a fifth of
// the time that Go takes in WebAssembly. It is nil where WebCrypto has no
// Ed25519; whatever goes wrong with it later, crypto/ed25519 decides.
func webVerifier() func(public cose.PublicKey, message, sig []byte) bool {
	subtle := js.Global().Get("crypto").Get("subtle")
	v := &verifier{subtle: subtle, keys: map[string]js.Value{}}
	base := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	if _, err := v.key(base.Public().(ed25519.PublicKey)); err != nil {
		return nil
	}
	return v.verify
}

type verifier struct {
	subtle js.Value

	mu   sync.Mutex
	keys map[string]js.Value // CryptoKeys by public key
}

// maxKeys bounds the keys that are kept.
const maxKeys = 4096

func (v *verifier) verify(public cose.PublicKey, message, sig []byte) bool {
	if public.Curve() != cose.Ed25519 {
		return public.Verify(message, sig)
	}
	key, err := v.key(public.Bytes())
	if err != nil {
		return public.Verify(message, sig)
	}
	ok, err := await(v.subtle.Call("verify", "Ed25519", key, toJS(sig), toJS(message)))
	if err != nil {
		return public.Verify(message, sig)
	}
	return ok.Bool()
}

func (v *verifier) key(public ed25519.PublicKey) (js.Value, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if key, ok := v.keys[string(public)]; ok {
		return key, nil
	}
	key, err := await(v.subtle.Call("importKey", "raw", toJS(public), "Ed25519", false, []any{"verify"}))
	if err != nil {
		return key, err
	}
	if len(v.keys) >= maxKeys {
		clear(v.keys)
	}
	v.keys[string(public)] = key
	return key, nil
}

func toJS(b []byte) js.Value {
	a := js.Global().Get("Uint8Array").New(len(b))
	js.CopyBytesToJS(a, b)
	return a
}

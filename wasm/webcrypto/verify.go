//go:build js && wasm

package webcrypto

import (
	"encoding/hex"
	"sync"
	"syscall/js"

	"lamplighter/internal/commission"
	"lamplighter/internal/cose"
)

// Verifier verifies signatures with WebCrypto: in a fifth of the time that Go takes
// in WebAssembly. Chromium verifies when it is asked, on the calling thread; others
// work on a batch in threads of theirs. What a batch saves everywhere is a turn of
// the event loop for each signature. Where WebCrypto has no Ed25519 or fails,
// crypto/ed25519 decides. It is safe for concurrent use. The zero value is ready
// for use.
type Verifier struct {
	probe sync.Once
	works bool // Ed25519 is there and tells right from wrong

	mu   sync.Mutex
	keys map[string]js.Value // CryptoKeys by curve and public key
}

var _ commission.Verifier = (*Verifier)(nil)

// maxKeys bounds the keys that are kept.
const maxKeys = 4096

// Verify says of each signature whether it is good.
func (v *Verifier) Verify(batch []commission.Signature) []bool {
	good := make([]bool, len(batch))
	var items []item
	var at []int // where items stand in batch
	for i, s := range batch {
		if v.takes(s) {
			items = append(items, item{s.Public.Curve(), s.Public.Bytes(), s.Message, s.Sig})
			at = append(at, i)
		} else {
			good[i] = s.Public.Verify(s.Message, s.Sig)
		}
	}
	words, err := v.ask(items)
	for n, i := range at {
		if err == nil {
			good[i] = words[n]
		} else {
			good[i] = batch[i].Public.Verify(batch[i].Message, batch[i].Sig)
		}
	}
	return good
}

// takes says whether WebCrypto is to be asked about a signature.
func (v *Verifier) takes(s commission.Signature) bool {
	if load() == nil || len(s.Sig) != cose.SignatureSize(s.Public.SignatureAlgorithm()) {
		return false
	}
	switch s.Public.Curve() {
	case cose.Ed25519:
		v.probe.Do(func() { v.works = v.tellsRight() })
		return v.works
	case cose.P256:
		return true
	}
	return false
}

// item is one signature of the right length, and its key.
type item struct {
	curve               cose.Curve
	point, message, sig []byte
}

// name tells keys apart.
func (i *item) name() string { return string(rune(i.curve)) + string(i.point) }

// ask starts all verifications before it waits for the first.
func (v *Verifier) ask(items []item) ([]bool, error) {
	if len(items) == 0 {
		return nil, nil
	}
	keys, err := v.importAll(items)
	if err != nil {
		return nil, err
	}
	words, err := await(func() js.Value {
		w := load()
		promises := make([]any, len(items))
		var views views
		for n, i := range items {
			sig, message := views.fill(i.sig, i.message)
			promises[n] = w.verify.Invoke(w.curves[i.curve].verifying, keys[n], sig, message)
		}
		return w.all.Invoke(promises)
	})
	if err != nil {
		return nil, err
	}
	ones := make([]byte, len(items))
	js.CopyBytesToGo(ones, load().uint8Array.Call("from", words)) // of booleans
	good := make([]bool, len(items))
	for n, one := range ones {
		good[n] = one == 1
	}
	return good, nil
}

// importAll returns the CryptoKeys of a batch, most of which are known.
func (v *Verifier) importAll(items []item) ([]js.Value, error) {
	keys := make([]js.Value, len(items))
	fresh := map[string]int{} // names of those to be imported, and where they stand in missing
	var missing []item
	v.mu.Lock()
	for n, i := range items {
		keys[n] = v.keys[i.name()]
		if _, twice := fresh[i.name()]; keys[n].IsUndefined() && !twice {
			fresh[i.name()] = len(missing)
			missing = append(missing, i)
		}
	}
	v.mu.Unlock()
	if len(missing) == 0 {
		return keys, nil
	}
	imported, err := await(func() js.Value {
		w := load()
		promises := make([]any, len(missing))
		for n, i := range missing {
			promises[n] = w.importKey.Invoke("raw", toJS(i.point), w.curves[i.curve].importing, false, []any{"verify"})
		}
		return w.all.Invoke(promises)
	})
	if err != nil {
		return nil, err
	}
	for n, i := range items {
		if keys[n].IsUndefined() {
			keys[n] = imported.Index(fresh[i.name()])
		}
	}
	v.keep(fresh, imported)
	return keys, nil
}

// keep adds imported keys to those that are known, in place of any others when
// there are too many.
func (v *Verifier) keep(names map[string]int, imported js.Value) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys == nil {
		v.keys = map[string]js.Value{}
	}
	for name, at := range names {
		for old := range v.keys {
			if len(v.keys) < maxKeys {
				break
			}
			delete(v.keys, old)
		}
		v.keys[name] = imported.Index(at)
	}
}

// views are windows on one JavaScript buffer, a pair for each length of a
// message. WebCrypto copies its arguments before it returns (Web Cryptography
// API, Section 14.3.4), so that one buffer serves a whole batch and a signature
// costs two calls into JavaScript.
type views struct {
	bytes  []byte
	buffer js.Value
	sized  map[[2]int]view
}

type view struct{ whole, sig, message js.Value }

// fill copies a signature and its message into the buffer.
func (v *views) fill(sig, message []byte) (js.Value, js.Value) {
	v.bytes = append(append(v.bytes[:0], sig...), message...)
	if v.sized == nil || len(v.bytes) > v.buffer.Get("byteLength").Int() {
		v.buffer = js.Global().Get("ArrayBuffer").New(max(2*len(v.bytes), 1024))
		v.sized = map[[2]int]view{}
	}
	size := [2]int{len(sig), len(message)}
	at, ok := v.sized[size]
	if !ok {
		array := load().uint8Array
		at = view{array.New(v.buffer, 0, len(v.bytes)), array.New(v.buffer, 0, len(sig)), array.New(v.buffer, len(sig), len(message))}
		v.sized[size] = at
	}
	js.CopyBytesToJS(at.whole, v.bytes)
	return at.sig, at.message
}

// tellsRight tries WebCrypto's Ed25519 on a good and a bad signature: the first
// test vector of RFC 8032, Section 7.1.
func (v *Verifier) tellsRight() bool {
	key, _ := hex.DecodeString("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
	sig, _ := hex.DecodeString("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")
	words, err := v.ask([]item{{cose.Ed25519, key, nil, sig}, {cose.Ed25519, key, []byte{0}, sig}})
	return err == nil && words[0] && !words[1]
}

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"lamplighter/internal/cose"
)

// recorders share the one hook at the AEAD. They exist for tests: the nonce log
// and the traffic tap.
var recorders struct {
	sync.Mutex
	list atomic.Pointer[[]recorder]
}

type recorder = func(key, nonce, plaintext, ciphertext []byte)

func addRecorder(f recorder) {
	recorders.Lock()
	defer recorders.Unlock()
	var list []recorder
	if old := recorders.list.Load(); old != nil {
		list = append(list, *old...)
	}
	list = append(list, f)
	recorders.list.Store(&list)
	if cose.Recorder == nil { // set once: others may be at work already
		cose.Recorder = func(key, nonce, plaintext, ciphertext []byte) {
			for _, f := range *recorders.list.Load() {
				f(key, nonce, plaintext, ciphertext)
			}
		}
	}
}

// recordNonces appends a line "H(key, nonce) H(ciphertext)" to path for every
// message that this process seals or opens. It proves in tests that no (key,
// nonce) pair is ever used for two ciphertexts. An empty path records nothing.
func recordNonces(path string) (closeLog func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the nonce log: %w", err)
	}
	addRecorder(func(key, nonce, _, ciphertext []byte) {
		pair := sha256.New()
		pair.Write(key)
		pair.Write(nonce)
		text := sha256.Sum256(ciphertext)
		// One write a line: O_APPEND keeps lines of several processes whole.
		fmt.Fprintf(file, "%x %x\n", pair.Sum(nil)[:16], text[:16])
	})
	return func() { file.Close() }, nil
}

package commission

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"lamplighter/internal/cose"
)

// nonceLog keeps a line "H(key, nonce) H(ciphertext)" for every message that is
// sealed or opened here, for the test that no pair of key and nonce is ever used
// for two ciphertexts. DESIGN S1.
type nonceLog struct {
	mu    sync.Mutex
	lines []string
}

func startNonceLog() *nonceLog {
	l := &nonceLog{}
	cose.Recorder = l.record
	return l
}

func (l *nonceLog) stop() {
	if l != nil {
		cose.Recorder = nil
	}
}

func (l *nonceLog) record(key, nonce, _, ciphertext []byte) {
	pair := sha256.New()
	pair.Write(key)
	pair.Write(nonce)
	text := sha256.Sum256(ciphertext)
	line := hex.EncodeToString(pair.Sum(nil)[:16]) + " " + hex.EncodeToString(text[:16])
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// NonceLog is what the nonce recorder saw; empty unless it was switched on.
func (e *Engine) NonceLog() []string {
	if e.nonces == nil {
		return []string{}
	}
	e.nonces.mu.Lock()
	defer e.nonces.mu.Unlock()
	return append([]string{}, e.nonces.lines...)
}

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// everSealed is what every AEAD of this test process was called with, whatever role
// it belonged to: the keys, for the search for secrets in texts, and for each
// pair of key and nonce its ciphertext. DESIGN S1.
var everSealed = struct {
	mu    sync.Mutex
	keys  map[string]bool
	texts map[string]string // H(key, nonce) -> H(ciphertext), as in a nonce log
	twice []string
}{keys: map[string]bool{}, texts: map[string]string{}}

// The recorder is there before anything runs: to add it later would race with
// whatever seals meanwhile.
func init() {
	if _, child := os.LookupEnv(argsEnv); !child {
		addRecorder(recordSealed)
	}
}

func recordSealed(key, nonce, _, ciphertext []byte) {
	pair := sha256.Sum256(append(bytes.Clone(key), nonce...))
	text := sha256.Sum256(ciphertext)
	noteSealed(fmt.Sprintf("%x", pair[:16]), fmt.Sprintf("%x", text[:16]))
	everSealed.mu.Lock()
	defer everSealed.mu.Unlock()
	everSealed.keys[string(key)] = true
}

func noteSealed(pair, text string) {
	everSealed.mu.Lock()
	defer everSealed.mu.Unlock()
	if before, used := everSealed.texts[pair]; used && before != text {
		everSealed.twice = append(everSealed.twice, pair)
	}
	everSealed.texts[pair] = text
}

// noteNonceLog takes the nonce log of another process into account.
func noteNonceLog(t *testing.T, path string) {
	t.Helper()
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	for _, line := range lines {
		pair, text, ok := strings.Cut(line, " ")
		if !ok {
			t.Fatalf("the nonce log has the line %q", line)
		}
		noteSealed(pair, text)
	}
	if len(lines) < 20 {
		t.Errorf("the nonce log has %d lines: it shows nothing", len(lines))
	}
}

func checkNonces(t *testing.T) {
	t.Helper()
	everSealed.mu.Lock()
	defer everSealed.mu.Unlock()
	if len(everSealed.twice) > 0 {
		t.Errorf("%d pairs of key and nonce were used for two ciphertexts", len(everSealed.twice))
	}
}

// transcript collects every text that a person or a log file gets to see.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// formsOf are the ways in which a secret may stand in a text: as it is, in hex,
// in base64 at any of three offsets, as a list of numbers.
func formsOf(secret []byte) []string {
	forms := []string{string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		strings.Trim(fmt.Sprint(secret), "[]"), strings.ReplaceAll(strings.Trim(fmt.Sprint(secret), "[]"), " ", ",")}
	for offset := range 3 {
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := e.EncodeToString(append(make([]byte, offset), secret...))
			forms = append(forms, text[(offset*8+5)/6:len(text)-1]) // the characters that are the secret's alone
		}
	}
	return forms
}

// leaksIn looks for secrets, in any form, at every place of a text.
func leaksIn(text string, secrets map[string]string) []string {
	const window = 8
	first := map[string][]string{}
	whose := map[string]string{}
	for secret, what := range secrets {
		for _, form := range formsOf([]byte(secret)) {
			first[form[:window]] = append(first[form[:window]], form)
			whose[form] = what
		}
	}
	var found []string
	for i := 0; i+window <= len(text); i++ {
		for _, form := range first[text[i:i+window]] {
			if strings.HasPrefix(text[i:], form) {
				line := text[strings.LastIndexByte(text[:i], '\n')+1:]
				line, _, _ = strings.Cut(line, "\n")
				found = append(found, fmt.Sprintf("%s in %q", whose[form], line[:min(len(line), 300)]))
			}
		}
	}
	return found
}

// TestLeakSearch proves that the search finds what it is for.
func TestLeakSearch(t *testing.T) {
	secret := []byte("\x00\x01sixteen bytes\xff")
	secrets := map[string]string{string(secret): "the secret"}
	for _, text := range []string{
		fmt.Sprintf("key=%x", secret), fmt.Sprintf("key=%X", secret), fmt.Sprint("key=", secret), "key=" + string(secret),
		base64.StdEncoding.EncodeToString(append([]byte("1"), secret...)),
		base64.RawURLEncoding.EncodeToString(append([]byte("12"), append(secret, 7)...)),
	} {
		if len(leaksIn("before\n"+text+"\nafter", secrets)) == 0 {
			t.Errorf("the secret was not found in %q", text)
		}
	}
	if found := leaksIn(fmt.Sprintf("key=%x", secret[:8]), secrets); len(found) > 0 {
		t.Errorf("half a secret counts as one: %v", found)
	}
}

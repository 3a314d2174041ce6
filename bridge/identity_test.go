package main

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lamplighter/internal/cose"
)

// AS and GM start at a time over one folder: both must get the same secret.
func TestSecretFileIsMadeOnce(t *testing.T) {
	for range 50 {
		path := filepath.Join(t.TempDir(), "keys", "token.key")
		var made [4][]byte
		var all sync.WaitGroup
		for i := range made {
			all.Go(func() {
				secret, err := secretFile(path, 16)
				if err != nil {
					t.Error(err)
				}
				made[i] = secret
			})
		}
		all.Wait()
		for _, secret := range made {
			if !bytes.Equal(secret, made[0]) {
				t.Fatal("two secrets were made for one file")
			}
		}
	}
}

func TestSecretFileRefusesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token.key")
	for _, text := range []string{"", "abcd\n", "not hex not hex not hex not hex!"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := secretFile(path, 16); err == nil {
			t.Errorf("%q was taken for a key", text)
		}
	}
}

func TestReachable(t *testing.T) {
	o := gmOptions{networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for uri, want := range map[string]bool{
		"coap://10.1.2.3:5683/ace-group/hall/node": true,
		"coap://10.2.0.1:5683/ace-group/hall/node": false,
		"coaps://10.1.2.3:5684/n":                  true, // over its DTLS session
		"coaps://10.2.0.1:5684/n":                  false,
		"http://10.1.2.3:8080/":                    false,
		"coap://10.1.2.3:22/n":                     false,
		"coap://lamp.example:5683/n":               false,
		"coap://%zz":                               false,
	} {
		if got := o.reachable("", uri); got != want {
			t.Errorf("reachable(%q) = %v", uri, got)
		}
	}
}

func TestLogLevel(t *testing.T) {
	for _, c := range []struct {
		asked, command string
		want           slog.Level
	}{
		{"", "gm", slog.LevelInfo}, {"", "demo", slog.LevelWarn}, {"debug", "demo", slog.LevelDebug}, {"error", "as", slog.LevelError},
	} {
		if got := logLevel(c.asked, c.command); got != c.want {
			t.Errorf("logLevel(%q, %q) = %v", c.asked, c.command, got)
		}
	}
}

// The Group Manager's second key stays the same, and its credential to the byte:
// it is bound in every message of the groups of its algorithm.
func TestES256Identity(t *testing.T) {
	dir := t.TempDir()
	id, err := loadIdentity(dir, gmName)
	if err != nil {
		t.Fatal(err)
	}
	first, err := loadES256(dir, gmName, id)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadES256(dir, gmName, id)
	if err != nil || !bytes.Equal(first.Cred, again.Cred) || !first.Key.Public().Equal(again.Key.Public()) {
		t.Errorf("another identity after a restart: %v", err)
	}
	if !cose.Endorsed(id.cred, first.Cred) || first.Key.Public().SignatureAlgorithm() != cose.ES256 {
		t.Error("not an ES256 credential that the first one endorses")
	}
	path := filepath.Join(dir, gmName+"-es256.key")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v %v", info, err)
	}
	for _, bad := range []string{"", strings.Repeat("00", 32), strings.Repeat("ff", 32)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadES256(dir, gmName, id); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
}

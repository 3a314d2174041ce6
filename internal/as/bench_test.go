//go:build !js

package as_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/store/bolt"
	"lamplighter/internal/store/sealed"
)

const benchClients = 16

// BenchmarkTokens measures how many tokens 16 installers get in a second, over a
// store on the disk, their own calculations included. Its reference is the bare
// cryptography of a token, and an fsync for each commit that 16 share.
func BenchmarkTokens(b *testing.B) {
	const tokens = 2000
	for b.Loop() {
		raw, err := bolt.Open(filepath.Join(b.TempDir(), "as.db"))
		if err != nil {
			b.Fatal(err)
		}
		db, err := sealed.Open(b.Context(), raw, make([]byte, sealed.KeySize), "as", rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		s := newSite(b, func(c *as.Config) { c.Store = db })
		var clients [benchClients]*party
		for i := range clients {
			clients[i] = s.enrolled(fmt.Sprint("installer", i), as.Policy{})
			clients[i].token(ace.TokenRequest{}) // the session and the end of the invitation
		}
		start := time.Now()
		each(func(lane int) {
			for range tokens / benchClients {
				resp, err := clients[lane].try(clients[lane].call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{})
				if err != nil || resp.Code != coap.Created {
					b.Error(resp, err)
				}
			}
		})
		took := time.Since(start)
		b.ReportMetric(tokens/took.Seconds(), "tokens/s")
		b.ReportMetric(tokens/bareTokens(b, tokens).Seconds(), "reference-tokens/s")
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func each(fn func(lane int)) {
	var wg sync.WaitGroup
	for lane := range benchClients {
		wg.Go(func() { fn(lane) })
	}
	wg.Wait()
}

// bareTokens opens and seals a request and its answer on both sides, and seals a
// token.
func bareTokens(b *testing.B, tokens int) time.Duration {
	b.Helper()
	aead, err := cose.NewAEAD(cose.AESCCM16_64_128, make([]byte, 16))
	if err != nil {
		b.Fatal(err)
	}
	nonce := make([]byte, 13)
	start := time.Now()
	each(func(int) {
		for range tokens / benchClients {
			for _, size := range []int{60, 300} {
				box := aead.Seal(nil, nonce, make([]byte, size), nil)
				_, _ = aead.Open(nil, nonce, box, nil)
			}
			aead.Seal(nil, nonce, make([]byte, 200), nil)
		}
	})
	took := time.Since(start)
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	start = time.Now()
	for range tokens / benchClients {
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return took + time.Since(start)
}

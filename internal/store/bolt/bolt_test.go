//go:build !js

package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
	"lamplighter/internal/store/storetest"
)

// crashFile names the file that a child process writes to until it is killed.
const crashFile = "LAMPLIGHTER_BOLT_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		writeForever(path)
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func() store.Store {
		s, err := bolt.Open(filepath.Join(t.TempDir(), "s.db"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	for i := range 3 {
		s, err := bolt.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = s.Update(t.Context(), func(tx store.Tx) error {
			n = 0
			if err := tx.Scan("", func(string, []byte) bool { n++; return true }); err != nil {
				return err
			}
			return tx.Put(fmt.Sprint(i), []byte("v"))
		})
		if err != nil || n != i {
			t.Fatalf("run %d found %d keys (%v)", i, n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v (%v): others can read the keys", info.Mode(), err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := bolt.Open(filepath.Join(dir, "absent", "s.db")); err == nil {
		t.Error("opened in a folder that does not exist")
	}
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(garbage); err == nil {
		t.Error("opened garbage")
	}
	path := filepath.Join(dir, "s.db")
	s, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := bolt.Open(path); !errors.Is(err, bolt.ErrInUse) {
		t.Errorf("second Open: %v, want ErrInUse", err)
	}
}

const crashWorkers = 8

// writeForever counts up, one counter a worker, and says each number on stdout
// after Update returned. Beside its counter a worker keeps a copy in the same
// transaction, and some updates fail on purpose.
func writeForever(path string) {
	s, err := bolt.Open(path)
	if err != nil {
		panic(err)
	}
	var out sync.Mutex
	for w := range crashWorkers {
		go func() {
			for n := last(s, fmt.Sprintf("n/%d", w)) + 1; ; n++ {
				err := s.Update(context.Background(), func(tx store.Tx) error {
					v := fmt.Append(nil, n)
					return errors.Join(tx.Put(fmt.Sprintf("n/%d", w), v), tx.Put(fmt.Sprintf("copy/%d", w), v))
				})
				if err != nil {
					panic(err)
				}
				if n%5 == 0 {
					s.Update(context.Background(), func(tx store.Tx) error {
						tx.Put(fmt.Sprintf("n/%d", w), []byte("999999999"))
						return errors.New("not meant to last")
					})
				}
				out.Lock()
				fmt.Println(w, n)
				out.Unlock()
			}
		}()
	}
	select {}
}

func last(s store.Store, key string) (n int) {
	s.View(context.Background(), func(tx store.Tx) error {
		v, err := tx.Get(key)
		fmt.Sscan(string(v), &n)
		return err
	})
	return n
}

// TestKilled kills a writing process at random moments: all that it
// acknowledged is there afterwards, and nothing is there by half.
func TestKilled(t *testing.T) {
	kills := 8
	if testing.Short() {
		kills = 2
	}
	path := filepath.Join(t.TempDir(), "s.db")
	acked := make([]int, crashWorkers)
	for kill := range kills {
		runAndKill(t, path, acked)
		s, err := bolt.Open(path)
		if err != nil {
			t.Fatalf("kill %d: opening again: %v", kill, err)
		}
		for w := range acked {
			n, c := last(s, fmt.Sprintf("n/%d", w)), last(s, fmt.Sprintf("copy/%d", w))
			if n < acked[w] || n > acked[w]+1 || n != c {
				t.Errorf("kill %d: worker %d was told %d, the file has %d and %d", kill, w, acked[w], n, c)
			}
			acked[w] = n
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func runAndKill(t *testing.T, path string, acked []int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	total := 0
	for lines.Scan() {
		if timer == nil { // it writes: now it may be killed at any moment
			timer = time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { cmd.Process.Kill() })
		}
		var w, n int
		if c, err := fmt.Sscan(lines.Text(), &w, &n); c == 2 && err == nil {
			acked[w] = n
			total++
		}
	}
	if err := cmd.Wait(); err == nil || total == 0 {
		t.Fatalf("the writer ended by itself after %d updates (%v)", total, err)
	}
}

// BenchmarkUpdate measures updates from several goroutines at once.
func BenchmarkUpdate(b *testing.B) {
	for _, parallel := range []int{1, 64} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			s, err := bolt.Open(filepath.Join(b.TempDir(), "s.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			b.SetParallelism(parallel)
			b.RunParallel(func(pb *testing.PB) {
				key := fmt.Sprint(rand.Uint64())
				for pb.Next() {
					if err := s.Update(b.Context(), func(tx store.Tx) error { return tx.Put(key, []byte("v")) }); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

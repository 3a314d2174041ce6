package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
)

// packed are the kinds of files that get smaller.
var packed = []string{".css", ".html", ".js", ".svg", ".txt", ".wasm", ".webmanifest"}

// compress adds a .br and a .gz variant of each file that gets smaller, two
// files at a time.
func compress(pages site, work string, quick bool) error {
	names := make([]string, 0, len(pages))
	for name := range pages {
		if slices.Contains(packed, path.Ext(name)) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return len(pages[b]) - len(pages[a]) }) // the long ones first
	var mutex sync.Mutex                                                                   // guards variants and failed
	var group sync.WaitGroup
	var failed error
	variants := site{}
	slots := make(chan struct{}, 2)
	for _, name := range names {
		content := pages[name]
		for _, c := range codecs(quick) {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				small, err := c.cached(work, content)
				mutex.Lock()
				defer mutex.Unlock()
				if err != nil {
					failed = fmt.Errorf("compressing %s: %w", name, err)
				} else if len(small) < len(content) {
					variants[name+c.ext] = small
				}
			})
		}
	}
	group.Wait()
	maps.Copy(pages, variants)
	return failed
}

type codec struct {
	ext, key string
	pack     func([]byte) ([]byte, error)
}

func codecs(quick bool) []codec {
	level, key := brotli.BestCompression, "11"
	if quick {
		level, key = 4, "4"
	}
	return []codec{
		{".br", "br" + key, func(content []byte) ([]byte, error) {
			var out bytes.Buffer
			w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: level, LGWin: 24})
			_, err := w.Write(content)
			err = firstError(err, w.Close())
			return out.Bytes(), err
		}},
		{".gz", "gz9", func(content []byte) ([]byte, error) {
			var out bytes.Buffer
			w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
			if err != nil {
				return nil, err
			}
			_, err = w.Write(content)
			err = firstError(err, w.Close())
			return out.Bytes(), err
		}},
	}
}

// cached takes the result from an earlier run where content is the same.
func (c codec) cached(work string, content []byte) ([]byte, error) {
	path := filepath.Join(work, fmt.Sprintf("%x.%s", sha256.Sum256(content), c.key))
	if old, err := os.ReadFile(path); err == nil {
		now := time.Now()
		return old, os.Chtimes(path, now, now) // still in use, see prune
	}
	small, err := c.pack(content)
	if err != nil {
		return nil, err
	}
	return small, replace(path, small)
}

// prune drops compressed files that no build of the last weeks has used.
func prune(work string) error {
	entries, err := os.ReadDir(work)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || filepath.Ext(entry.Name()) == ".wasm" || time.Since(info.ModTime()) < 14*24*time.Hour {
			continue
		}
		if err := os.Remove(filepath.Join(work, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

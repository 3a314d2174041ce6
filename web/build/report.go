package main

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// report prints what the first view weighs and how long it took.
func report(pages site, took time.Duration) {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		small, ok := pages[name+".br"]
		if ext := path.Ext(name); ext == ".br" || ext == ".gz" {
			continue
		}
		if !ok {
			small = pages[name]
		}
		fmt.Printf("%9d %9d br  %s\n", len(pages[name]), len(small), name)
		if firstView(pages, name) {
			total += len(small)
		}
	}
	fmt.Printf("first view %d bytes (brotli), built in %.1f s\n", total, took.Seconds())
}

// chunk is how the names of files begin that hold what several screens need.
const chunk = assets + "chunk-"

// firstView says whether the page needs the file before an installer can work.
func firstView(pages site, name string) bool {
	for _, later := range []string{"assets/backup", "assets/firmware", "assets/people", "assets/settings", "licenses.txt", "sw.js", "icon-"} {
		if strings.HasPrefix(name, later) {
			return false
		}
	}
	return !strings.HasPrefix(name, chunk) || bytes.Contains(pages["index.html"], []byte(name))
}

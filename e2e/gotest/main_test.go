package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"a","Test":"TestGood","Elapsed":1}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t1.0s\n"}
{"Action":"pass","Package":"a","Elapsed":1}
{"Action":"output","Package":"b","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"b","Test":"TestGood","Elapsed":1}
{"Action":"output","Package":"b","Test":"TestBad","Output":"--- FAIL: TestBad\n"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"    why\n"}
{"Action":"fail","Package":"b","Test":"TestBad","Elapsed":1}
{"Action":"output","Package":"b","Test":"TestHangs","Output":"panic: timed out\n"}
{"Action":"output","Package":"b","Output":"FAIL\tb\t1.0s\n"}
{"Action":"fail","Package":"b","Elapsed":1}
{"ImportPath":"c","Action":"build-output","Output":"c.go:1: no\n"}
`

func TestOnlyWhatFailedIsTold(t *testing.T) {
	name := filepath.Join(t.TempDir(), "events.json")
	var out strings.Builder
	if err := run(strings.NewReader(sample), &out, name); err != nil {
		t.Fatal(err)
	}
	if want := "ok  \ta\t1.0s\n--- FAIL: TestBad\n    why\npanic: timed out\nFAIL\tb\t1.0s\nc.go:1: no\n"; out.String() != want {
		t.Errorf("it printed\n%swant\n%s", out.String(), want)
	}
	if kept, err := os.ReadFile(name); err != nil || string(kept) != sample {
		t.Errorf("the events are not kept: %v\n%s", err, kept)
	}
}

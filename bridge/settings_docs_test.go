package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/exchange"
	"lamplighter/internal/settings/source"
)

func settingsDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// between is what stands between a fence of a kind, the nth, and its end.
func between(t *testing.T, text, kind string, nth int) string {
	t.Helper()
	parts := strings.Split(text, "```"+kind+"\n")
	if len(parts) <= nth+1 {
		t.Fatalf("there is no example %d of %s", nth, kind)
	}
	code, _, _ := strings.Cut(parts[nth+1], "```")
	return code
}

// TestSettingsVectors: what docs/settings.md gives to makers of devices is what the
// program does.
func TestSettingsVectors(t *testing.T) {
	docs := settingsDocs(t)
	s, err := source.Parse([]byte(between(t, docs, "yaml", 0)))
	if err != nil {
		t.Fatal(err)
	}
	values := settings.Map{1: int64(10), 4: settings.Map{0: settings.Map{1: int64(80)}}}
	patch := settings.Map{1: int64(5), 4: settings.Map{0: nil, 3: settings.Map{1: int64(40), 2: int64(500)}}}
	merged := settings.Merge(values, patch)
	if _, r := s.Check(values); r != settings.ResultOK {
		t.Errorf("the values: %v", r)
	}
	if _, r := s.Check(merged); r != settings.ResultOK {
		t.Errorf("what they become: %v", r)
	}
	txn := []byte{1, 2, 3, 4}
	stage := settings.Transaction{Txn: txn, Mode: settings.ModeStage, Base: values.Short(), Schema: 1, Patch: patch}
	commit := settings.Transaction{Txn: txn, Mode: settings.ModeCommit, In: 5000, Within: 600, Nonces: []byte{0xa1, 0xa2, 0xa3, 0xa4, 0xb1, 0xb2, 0xb3, 0xb4}}
	confirm := settings.Transaction{Txn: txn, Mode: settings.ModeConfirm, Nonces: []byte{0xc1, 0xc2, 0xc3, 0xc4}}
	fetch := settings.StatusRequest{Fields: settings.FieldNonce, Txn: txn, Of: settings.AppendOf(settings.AppendOf(nil, []byte{7}), []byte{1, 2})}
	status := settings.Status{State: settings.Staged, Running: values.Short(), Result: settings.ResultOK, Txn: txn, Candidate: merged.Short(), Nonce: []byte{0xa1, 0xa2, 0xa3, 0xa4}}
	recall := settings.Recall{Scene: 3, Fade: 500}
	digest, changed := values.Digest(), merged.Digest()
	for name, v := range map[string][]byte{
		"schema": s.Encode(), "values": encoded(t, values), "digest": digest[:], "merged": encoded(t, merged), "its digest": changed[:],
		"stage": stage.Append(nil), "commit": commit.Append(nil), "confirm": confirm.Append(nil), "fetch": fetch.Append(nil), "status": status.Append(nil), "recall": recall.Append(nil),
	} {
		if !strings.Contains(docs, "`"+hex.EncodeToString(v)+"`") {
			t.Errorf("docs/settings.md does not have the %s, %x", name, v)
		}
	}
	for _, path := range []string{settings.PathValues, settings.PathTransaction, settings.PathSchema, settings.PathRecall} {
		if !strings.Contains(docs, "| `"+path+"` |") {
			t.Errorf("docs/settings.md lacks %s", path)
		}
	}
}

func encoded(t *testing.T, m settings.Map) []byte {
	t.Helper()
	data, err := m.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSettingsFiles: the files that docs/settings.md shows are read, both as the same
// settings.
func TestSettingsFiles(t *testing.T) {
	docs := settingsDocs(t)
	s, err := source.Parse([]byte(between(t, docs, "yaml", 0)))
	if err != nil {
		t.Fatal(err)
	}
	var got [2][]exchange.Device
	for i, kind := range []string{"json", "csv"} {
		if got[i], err = exchange.Parse([]byte(between(t, docs, kind, 0)), func(string) *settings.Schema { return s }); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
	}
	if len(got[0]) != 2 || len(got[1]) != 2 {
		t.Fatalf("%v", got)
	}
	for i := range got[0] {
		if got[0][i].ID != got[1][i].ID || got[0][i].Values.Digest() != got[1][i].Values.Digest() {
			t.Errorf("%v is not %v", got[0][i], got[1][i])
		}
	}
}

// TestSettingsNames: every field of a source and every result is explained.
func TestSettingsNames(t *testing.T) {
	docs := settingsDocs(t)
	_, err := source.Parse([]byte("model: a\nversion: 1\nsettings:\n  - {key: 1, name: b, type: int, colour: 1}\ncolour: 1\n"))
	if err == nil {
		t.Fatal("a colour is taken")
	}
	fields := regexp.MustCompile(`there are ([a-z, -]+)\.`).FindAllStringSubmatch(err.Error(), -1)
	if len(fields) != 2 {
		t.Fatalf("%v", err)
	}
	for _, list := range fields {
		for _, field := range strings.Split(list[1], ", ") {
			if !strings.Contains(docs, "| `"+field+"` |") {
				t.Errorf("docs/settings.md does not explain %q", field)
			}
		}
	}
	for r := settings.ResultNone; r <= settings.ResultStore; r++ {
		if words := r.String(); !strings.HasPrefix(words, "result ") && !strings.Contains(docs, fmt.Sprintf("| %d | %s |", r, words)) {
			t.Errorf("docs/settings.md lacks \"| %d | %s |\"", r, words)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommittedFileIsCurrent(t *testing.T) {
	want, err := Generate("../../internal/commission")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("../..", Output))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what internal/commission says; run `go run ./web/gen`", Output)
	}
}

func TestGenerate(t *testing.T) {
	text := generate(t, `package x
// Event tells.
type Event struct {
	Type string `+"`json:\"type\"`"+`
	Lamp *Lamp  `+"`json:\"lamp,omitempty\"`"+`
	Gone string `+"`json:\"gone,omitempty\"`"+`
}
type State string
const (
	On State = "on" // it shines
	Off State = "off"
)
type Lamp struct {
	State   State   `+"`json:\"state\"`"+`
	Level   *int    `+"`json:\"level,omitempty\"`"+` // percent
	Parent  *Lamp   `+"`json:\"parent\"`"+`
	Parts   []Lamp  `+"`json:\"parts\"`"+`
	Values  map[string]map[string]any `+"`json:\"values\"`"+`
	hidden  int
	Skipped int     `+"`json:\"-\"`"+`
}
`)
	for _, want := range []string{
		`| { type: "lamp"; lamp: Lamp }`,
		`| { type: "gone"; gone: string }`,
		`| "on" /* it shines */`,
		"/** percent */\n  level?: number;",
		"parent: Lamp | null;",
		"parts: Lamp[];",
		"values: Record<string, Record<string, unknown>>;",
		"export interface More {\n  a: number;",
		"/** does */\n  move(lamp: string, to: number[]): Promise<void>;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in\n%s", want, text)
		}
	}
	for _, never := range []string{"hidden", "Skipped", "lamp?:"} {
		if strings.Contains(text, never) {
			t.Errorf("%q in\n%s", never, text)
		}
	}
}

func TestGenerateRefusesWhatItCannotSay(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "api.go", "package x\ntype A struct {\n F map[int]int `json:\"f\"`\n}\n")
	write(t, folder, "methods.go", "package x\n")
	if _, err := Generate(folder); err == nil {
		t.Error("a map by numbers was accepted")
	}
}

func generate(t *testing.T, api string) string {
	t.Helper()
	folder := t.TempDir()
	write(t, folder, "api.go", api)
	write(t, folder, "api_more.go", "package x\ntype More struct {\n A int `json:\"a\"`\n}\n")
	write(t, folder, "methods.go", `package x
var Methods = []Method{{"move", []Param{{"lamp", "string"}, {"to", "number[]"}}, "void", "does"}}
`)
	text, err := Generate(folder)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

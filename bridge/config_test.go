package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// parsed parses a command line as main does.
func parsed(t *testing.T, args ...string) (*cli, error) {
	t.Helper()
	var c cli
	parser := newParser(&c)
	parser.Exit = func(int) { t.Error("exits") }
	_, err := parser.Parse(args)
	return &c, err
}

func configOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The command line goes before the section, and that before the top.
func TestConfigFile(t *testing.T) {
	path := configOf(t, `
data: /tmp/all
log: warn
log-format: json
gm:
  data: /tmp/of-gm
  listen: 127.0.0.1:7001
  group: [hall, stage]
  network:
    - 10.0.0.0/8
    - 192.0.2.0/24
bridge:
  port: 5683-5699
`)
	c, err := parsed(t, "gm", "--config", path, "--listen", "127.0.0.1:7002")
	if err != nil {
		t.Fatal(err)
	}
	g := c.GM.Run
	if g.Data != "/tmp/of-gm" || g.Listen.String() != "127.0.0.1:7002" || !slices.Equal(g.Groups, []string{"hall", "stage"}) ||
		len(g.Networks) != 2 || c.Log != "warn" || c.LogFormat != "json" {
		t.Errorf("%+v %q %q", g, c.Log, c.LogFormat)
	}
	if c, err = parsed(t, "as", "--config", path); err != nil || c.AS.Run.Data != "/tmp/all" {
		t.Errorf("as: %+v %v", c.AS.Run, err)
	}
	if c, err = parsed(t, "bridge", "--config", path); err != nil || len(c.Bridge.Ports) != 1 || c.Bridge.Ports[0] != (portRange{5683, 5699}) {
		t.Errorf("bridge: %+v %v", c.Bridge, err)
	}
	if _, err := parsed(t, "gm", "--config", configOf(t, "gm:\n  lissten: x\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a mistake: %v", err)
	}
	if _, err := parsed(t, "gm"); err == nil {
		t.Error("without a data folder")
	}
}

// Everything that is wrong is told at once, each with its line.
func TestCheckConfig(t *testing.T) {
	data := t.TempDir()
	if err := os.MkdirAll(filepath.Join(data, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "keys", "gm.key"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string][]string{ // text, then for each problem its line and a part
		"data: " + data + "\n":                             {"1: keys/gm.key"},
		"data: /nowhere/at/all\n":                          {"1: no folder"},
		"dato: x\n":                                        {`1: no flag or section "dato"`},
		"zoo:\n  a: 1\n":                                   {`1: no flag or section "zoo"`},
		"gm:\n  frob: 1\n  listen: 300.0.0.1:5\n":          {`2: lamplighter gm has no flag "frob"`, `3: "listen"`},
		"gm:\n  listen: 198.51.100.77:5691\n":              {"2: no address of this machine"},
		"gm:\n  dtls: 198.51.100.77:5692\n":                {"2: no address of this machine"},
		"gm:\n  group: [ok, a/b]\n":                        {`2: "a/b" cannot be`},
		"gm:\n  group: x\n\n  group: y\n":                  {`4: there twice; the first is in line 2`},
		"gm:\n  network: [10.0.0.1/8, hello]\n":            {`2: "network"`},
		"gm:\n  network: 10.0.0.1/8\n":                     {"2: it is 10.0.0.0/8"},
		"gm:\n  listen: [127.0.0.1:1, 127.0.0.1:2]\n":      {"2: one value, not a list"},
		"gm:\n  listen: {a: b}\n":                          {"2: a value or a list"},
		"gm: 5\n":                                          {"1: Names with values"},
		"log: loud\n":                                      {"1: debug, info, warn, error"},
		"bridge:\n  port: 99999\n":                         {"2: no port"},
		"bridge:\n  interface: nope0\n":                    {`2: no network interface "nope0"`},
		"bridge:\n  origin: [ftp://x, http://h.example]\n": {"2: ftp://x is no origin", "2: has no TLS"},
		"bridge:\n  multicast: 10.0.0.1:5683\n":            {"2: no multicast address"},
		"bridge:\n  tls-cert: /etc/hostname\n":             {"2: belong together"},
		"bridge:\n  tls-cert: /none\n":                     {`2: "tls-cert"`, "2: belong together"},
		"demo:\n  devices: many\n":                         {`2: "devices"`},
		"a: [1\nb":                                         {"2: no YAML"},
		"config: x\n":                                      {`1: no flag`},
		"gm:\n  listen: 127.0.0.1:0\n  group: hall\n":      nil,
		"": nil,
	}
	var c cli
	app := newParser(&c).Model
	for text, want := range tests {
		file, got := readConfig(strings.NewReader(text), app)
		got = append(got, file.check(app)...)
		if len(got) != len(want) {
			t.Errorf("%q: %q, want %q", text, got, want)
			continue
		}
		for _, w := range want {
			line, part, _ := strings.Cut(w, ": ")
			if !slices.ContainsFunc(got, func(p problem) bool {
				return strings.HasPrefix(p.String(), "line "+line+": ") && strings.Contains(p.text, part)
			}) {
				t.Errorf("%q: %q, want %q", text, got, w)
			}
		}
	}
}

// Any file is read without a panic, and what is no mistake parses.
func FuzzConfig(f *testing.F) {
	f.Add("data: /tmp\ngm:\n  group: [a, b]\n")
	f.Add("gm: {listen: '127.0.0.1:1'}\n")
	f.Add("a: &x 1\nb: *x\n")
	var c cli
	app := newParser(&c).Model
	f.Fuzz(func(t *testing.T, text string) {
		file, _ := readConfig(strings.NewReader(text), app)
		for section, all := range file {
			for name, s := range all {
				if findFlag(app, section, name) == nil || s.line == 0 {
					t.Errorf("%q: %q of %q is no flag", text, name, section)
				}
			}
		}
	})
}

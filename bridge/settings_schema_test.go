package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lamplighter/internal/settings"
	"lamplighter/internal/sim/models"
	"lamplighter/internal/suit"
)

// settingsTool is firmwareTool for the commands of schemas.
type settingsTool struct{ *firmwareTool }

func (f settingsTool) schema(words ...string) (string, error) {
	f.t.Helper()
	f.out.Reset()
	var c cli
	args := []string{"settings", "schema"}
	for _, w := range words {
		if name, ok := strings.CutPrefix(w, "@"); ok {
			w = f.path(name)
		}
		args = append(args, w)
	}
	parser := newParser(&c)
	parser.Exit = func(int) {}
	_, err := parser.Parse(args)
	if err == nil {
		switch words[0] {
		case "sign":
			err = c.Settings.Schema.Sign.run(f.t.Context(), &f.out)
		case "show":
			err = c.Settings.Schema.Show.run(&f.out)
		case "verify":
			err = c.Settings.Schema.Verify.run(&f.out)
		}
	}
	return f.out.String(), err
}

func (f settingsTool) must(words ...string) string {
	f.t.Helper()
	said, err := f.schema(words...)
	if err != nil {
		f.t.Fatalf("%q: %v", words, err)
	}
	return said
}

func TestSettingsSchema(t *testing.T) {
	for _, curve := range []string{"ed25519", "p256"} {
		f := settingsTool{newFirmwareTool(t)}
		f.firmwareTool.must("keygen", "--out", "@vendor.pem", "--curve", curve)
		f.firmwareTool.must("keygen", "--out", "@other.pem", "--curve", curve)
		for _, model := range models.Names() {
			f.write(model+".yaml", models.Source(model))
			if said := f.must("sign", "@"+model+".yaml", "--key", "@vendor.pem", "-o", "@"+model+".schema"); !strings.Contains(said, model+", version 1, ") {
				t.Errorf("%s: %s", model, said)
			}
			said := f.must("verify", "@"+model+".schema", "--key", "@other.pub", "--key", "@vendor.pub")
			if !strings.Contains(said, "vendor.pub") || strings.Contains(said, "other.pub") || !strings.Contains(said, "version 1 of the schema of "+model) {
				t.Errorf("%s: %s", model, said)
			}
			if _, err := f.schema("verify", "@"+model+".schema", "--key", "@other.pub"); !errors.Is(err, suit.ErrSigner) {
				t.Errorf("%s: another key: %v", model, err)
			}
		}
		doc := f.read("lamp-dim-1.schema")
		doc[len(doc)/2] ^= 1
		f.write("bad.schema", doc)
		if _, err := f.schema("verify", "@bad.schema", "--key", "@vendor.pub"); !errors.Is(err, suit.ErrSignature) || !strings.Contains(err.Error(), "is not to be trusted") {
			t.Errorf("a changed schema: %v", err)
		}
		f.write("firmware.suit", []byte{0xd8, 0x6b, 0xa0})
		if _, err := f.schema("verify", "@firmware.suit", "--key", "@vendor.pub"); !errors.Is(err, suit.ErrDecode) {
			t.Errorf("a firmware file: %v", err)
		}
	}
}

func TestSettingsSchemaShown(t *testing.T) {
	f := settingsTool{newFirmwareTool(t)}
	f.firmwareTool.must("keygen", "--out", "@vendor.pem")
	f.write("lamp.yaml", models.Source(models.Lamp))
	f.must("sign", "@lamp.yaml", "--key", "@vendor.pem", "-o", "@lamp.schema")
	for file, head := range map[string]string{"@lamp.schema": "signed with Ed25519 by key ", "@lamp.yaml": "a source"} {
		said := f.must("show", file)
		for _, want := range []string{
			head, "Dimmable lamp (lamp-dim-1), version 1", "languages: de, en", "min-level", "Lowest level: int, from 1 %, to 100 %, default 1",
			"in steps of 100 ms", "choice, default 1", "1  As before", "map, by numbers from 0 to 15", "each device has its own", "takes effect after a restart", "may cut devices off", "text, to 32 bytes",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: no %q in\n%s", file, want, said)
			}
		}
	}
	if said := f.must("show", "@lamp.schema", "--language", "de-AT"); !strings.Contains(said, "Kleinster Dimmwert: int") || strings.Contains(said, "Lowest level") {
		t.Error(said)
	}
	s, _, err := settings.ReadSchema(f.read("lamp.schema"))
	if err != nil {
		t.Fatal(err)
	}
	f.write("cut.schema", f.read("lamp.schema")[:50])
	if _, err := f.schema("show", "@cut.schema"); !errors.Is(err, suit.ErrDecode) {
		t.Errorf("%v", err)
	}
	var out strings.Builder
	s.Defs[0].Help = "red \x1b[31m\nalert"
	if printSchema(&out, s, "en"); !strings.Contains(out.String(), "red \ufffd[31m alert") {
		t.Error("a help does something to terminals")
	}
}

// Mistakes in a source are told by line, and nothing is written.
func TestSettingsSchemaMistakes(t *testing.T) {
	f := settingsTool{newFirmwareTool(t)}
	f.firmwareTool.must("keygen", "--out", "@vendor.pem")
	f.write("bad.yaml", []byte("model: lamp\nversion: 1\nsettings:\n  - {key: 1, name: a, type: int, color: red}\n  - {key: 2, name: b, type: lamp}\n"))
	f.write("old.schema", []byte("old"))
	_, err := f.schema("sign", "@bad.yaml", "--key", "@vendor.pem", "-o", "@old.schema")
	if err == nil || !strings.Contains(err.Error(), `line 4: A setting has no "color"`) || !strings.Contains(err.Error(), `line 5: There is no type "lamp"`) {
		t.Errorf("%v", err)
	}
	if string(f.read("old.schema")) != "old" {
		t.Error("a schema with mistakes was written")
	}
	if _, err := f.schema("show", "@bad.yaml"); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("%v", err)
	}
	f.write("good.yaml", models.Source(models.Sensor))
	if _, err := f.schema("sign", "@good.yaml", "-o", "@new.schema"); err == nil || !strings.Contains(err.Error(), "say who signs") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(f.path("large.yaml"), make([]byte, maxSchemaFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.schema("sign", "@large.yaml", "--key", "@vendor.pem", "-o", "@new.schema"); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(f.folder, "new.schema")); err == nil {
		t.Error("something was written")
	}
}

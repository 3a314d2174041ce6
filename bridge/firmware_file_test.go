package main

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"lamplighter/internal/cose"
	"lamplighter/internal/suit"
)

// firmwareTool runs firmware commands as the command line has them, in a folder, and
// keeps what they print.
type firmwareTool struct {
	t      *testing.T
	folder string
	out    bytes.Buffer
}

func newFirmwareTool(t *testing.T) *firmwareTool { return &firmwareTool{t: t, folder: t.TempDir()} }

func (f *firmwareTool) path(name string) string { return filepath.Join(f.folder, name) }

func (f *firmwareTool) write(name string, data []byte) string {
	if err := os.WriteFile(f.path(name), data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return f.path(name)
}

func (f *firmwareTool) read(name string) []byte {
	data, err := os.ReadFile(f.path(name))
	if err != nil {
		f.t.Fatal(err)
	}
	return data
}

// run takes words without a slash or dash that name files of the folder as @name.
func (f *firmwareTool) run(words ...string) error {
	f.t.Helper()
	var c cli
	args := []string{"firmware"}
	for _, w := range words {
		if name, ok := strings.CutPrefix(w, "@"); ok {
			w = f.path(name)
		}
		args = append(args, w)
	}
	parser := newParser(&c)
	parser.Exit = func(int) {}
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	switch words[0] {
	case "keygen":
		return c.Firmware.Keygen.run(&f.out)
	case "sign":
		return c.Firmware.Sign.run(f.t.Context(), &f.out)
	case "inspect":
		return c.Firmware.Inspect.run(&f.out)
	case "verify":
		return c.Firmware.Verify.run(&f.out)
	}
	return errors.New("no such command")
}

func (f *firmwareTool) must(words ...string) string {
	f.t.Helper()
	f.out.Reset()
	if err := f.run(words...); err != nil {
		f.t.Fatalf("%q: %v", words, err)
	}
	return f.out.String()
}

var aboutLamp = []string{"--sequence", "7", "--version", "2.4.0", "--vendor", "example.com", "--class", "lamp-dim-1"}

func (f *firmwareTool) sign(more ...string) string {
	f.t.Helper()
	return f.must(append(append([]string{"sign", "@app.bin"}, aboutLamp...), more...)...)
}

func TestFirmwareFile(t *testing.T) {
	app := make([]byte, 3000)
	rand.Read(app)
	for curve, algorithms := range map[string][]string{"ed25519": {"", "eddsa", "ed25519"}, "p256": {"", "es256", "esp256"}} {
		f := newFirmwareTool(t)
		f.write("app.bin", app)
		f.must("keygen", "--out", "@vendor.pem", "--curve", curve)
		f.must("keygen", "--out", "@other.pem", "--curve", curve)
		for _, algorithm := range algorithms {
			f.sign("--key", "@vendor.pem", "--algorithm", algorithm, "-o", "@lamp.suit")
			e, err := suit.Parse(f.read("lamp.suit"))
			if err != nil || algorithm != "" && e.Signatures[0].Algorithm != signatureAlgorithms[algorithm] || !bytes.Equal(e.Integrated["#image"], app) {
				t.Errorf("%s, %s: %v", curve, algorithm, err)
			}
			for _, key := range []string{"@vendor.pub", "@vendor.pem"} {
				if said := f.must("verify", "@lamp.suit", "--key", "@other.pub", "--key", key); !strings.Contains(said, "vendor.p") || strings.Contains(said, "other") || !strings.Contains(said, "The image is the one that was signed") {
					t.Errorf("%s: %s", curve, said)
				}
			}
			if err := f.run("verify", "@lamp.suit", "--key", "@other.pub"); !errors.Is(err, suit.ErrSigner) {
				t.Errorf("%s: another key: %v", curve, err)
			}
		}
		said := f.must("inspect", "@lamp.suit")
		for _, want := range []string{
			"lamp.suit: 3", "sequence     7", "version: 2.4.0", "vendor's domain: example.com", "class: lamp-dim-1", suit.VendorID("example.com").String(),
			"3000 bytes, is in this file", "check that the class is this one", "to install:\n    - set source #image\n    - fetch the image\n    - check the image's digest", "not checked here",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in\n%s", want, said)
			}
		}
		if curve == "p256" {
			continue
		}
		data := f.read("lamp.suit")
		data[len(data)-1] ^= 1
		f.write("bad.suit", data)
		if err := f.run("verify", "@bad.suit", "--key", "@vendor.pub"); !errors.Is(err, suit.ErrDigest) {
			t.Errorf("a changed image: %v", err)
		}
		if err := f.run("inspect", "@bad.suit"); !errors.Is(err, suit.ErrDigest) {
			t.Errorf("a changed image is shown: %v", err)
		}
	}
}

// The image may be elsewhere, ids may be given, texts may be hostile to terminals.
func TestFirmwareFileOptions(t *testing.T) {
	f := newFirmwareTool(t)
	f.write("app.bin", []byte("app"))
	f.must("keygen", "--out", "@vendor.pem")
	id := suit.VendorID("somebody.example").String()
	f.must("sign", "@app.bin", "--sequence", "1", "--vendor-id", id, "--class-id", id, "--device", id, "--uri", "coap://files.example/1",
		"--text", "red \x1b[31m\nalert", "--name", "Ümlaut", "--key", "@vendor.pem", "--out", "@lamp.suit")
	said := f.must("inspect", "@lamp.suit")
	for _, want := range []string{"vendor       " + id, "class        " + id, "device       " + id, "comes from coap://files.example/1", "red \ufffd[31m alert", "Ümlaut"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	if said := f.must("verify", "@lamp.suit", "--key", "@vendor.pub"); !strings.Contains(said, "could not be checked") {
		t.Error(said)
	}
	if strings.Contains(string(f.read("lamp.suit")), "app") {
		t.Error("the image is in the file")
	}
}

func TestFirmwareKeys(t *testing.T) {
	f := newFirmwareTool(t)
	said := f.must("keygen", "--out", "@vendor.pem")
	private := f.read("vendor.pem")
	block, _ := pem.Decode(private)
	if block == nil || strings.Contains(said, strings.Split(string(private), "\n")[1]) {
		t.Errorf("the private key is printed, or none: %s", said)
	}
	for name, want := range map[string]os.FileMode{"vendor.pem": 0o600, "vendor.pub": 0o644} {
		if info, err := os.Stat(f.path(name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := f.run("keygen", "--out", "@vendor.pem"); err == nil || !bytes.Equal(f.read("vendor.pem"), private) {
		t.Errorf("a key is overwritten: %v", err)
	}
	if err := os.Remove(f.path("vendor.pub")); err != nil {
		t.Fatal(err)
	}
	if err := f.run("keygen", "--out", "@vendor.pem"); err == nil || !bytes.Equal(f.read("vendor.pem"), private) {
		t.Errorf("a private key is overwritten: %v", err)
	}
	if left, _ := filepath.Glob(f.path(".*.*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	f.write("app.bin", []byte("app"))
	f.write("none.pem", []byte("what I typed"))
	f.write("sec1.pem", inPEM("EC PRIVATE KEY", []byte("secret")))
	f.write("locked.pem", inPEM("ENCRYPTED PRIVATE KEY", []byte("secret")))
	f.write("broken.pem", inPEM("PRIVATE KEY", []byte("secret")))
	for name, says := range map[string]string{"none.pem": "not in PEM", "sec1.pem": "pkcs8", "locked.pem": "encrypted", "broken.pem": "no private key"} {
		err := f.run(append([]string{"sign", "@app.bin", "--key", "@" + name, "-o", "@x.suit"}, aboutLamp...)...)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "typed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, words := range map[string][]string{
		"nobody": {}, "both": {"--key", "@broken.pem", "--signer", "true"}, "no public key": {"--signer", "true"},
	} {
		err := f.run(append(append([]string{"sign", "@app.bin", "-o", "@x.suit"}, aboutLamp...), words...)...)
		if err == nil || !strings.Contains(err.Error(), "say who signs") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A command signs in place of a key: here one that plays a token.
func TestFirmwareSigner(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("skipping: openssl, which plays the token, is not installed")
	}
	for curve, digest := range map[string]string{"ed25519": "", "p256": " -digest sha256"} {
		f := newFirmwareTool(t)
		f.write("app.bin", []byte("app"))
		f.must("keygen", "--out", "@token.pem", "--curve", curve)
		f.must("keygen", "--out", "@other.pem", "--curve", curve)
		command := "cat >" + f.path("tbs") + " && " + openssl + " pkeyutl -sign -rawin" + digest + " -inkey " + f.path("token.pem") + " -in " + f.path("tbs")
		f.sign("--signer", command, "--public", "@token.pub", "-o", "@lamp.suit")
		f.must("verify", "@lamp.suit", "--key", "@token.pub")
		if !bytes.Contains(f.read("tbs"), []byte("Signature1")) {
			t.Errorf("%s: the command got %q", curve, f.read("tbs"))
		}
		before := f.read("lamp.suit")
		for name, c := range map[string]struct{ command, public, says string }{
			"fails":       {"exit 3", "@token.pub", "exit status 3"},
			"says little": {"echo hello", "@token.pub", "6 bytes"},
			"another key": {command, "@other.pub", "public key"},
			"says 64":     {"head -c 64 /dev/zero", "@token.pub", "public key"},
		} {
			err := f.run(append([]string{"sign", "@app.bin", "--signer", c.command, "--public", c.public, "-o", "@lamp.suit"}, aboutLamp...)...)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %s: %v", curve, name, err)
			}
		}
		if !bytes.Equal(f.read("lamp.suit"), before) {
			t.Errorf("%s: a signature that failed changed the file", curve)
		}
	}
}

func TestRawECDSA(t *testing.T) {
	for name, der := range map[string][]byte{
		"nothing": nil, "zero": {0x30, 6, 2, 1, 0, 2, 1, 1}, "negative": {0x30, 6, 2, 1, 0xff, 2, 1, 1}, "rest": {0x30, 6, 2, 1, 1, 2, 1, 1, 0},
		"long": append([]byte{0x30, 0x27, 2, 0x22}, append(bytes.Repeat([]byte{1}, 0x22), 2, 1, 1)...),
	} {
		if sig, ok := rawECDSA(der); ok {
			t.Errorf("%s: %x", name, sig)
		}
	}
	if sig, ok := rawECDSA([]byte{0x30, 6, 2, 1, 5, 2, 1, 7}); !ok || len(sig) != 64 || sig[31] != 5 || sig[63] != 7 {
		t.Errorf("%x, %v", sig, ok)
	}
}

// The words --version alone and the flag of firmware sign do not meet.
func TestVersionCommand(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"version"}} {
		var c cli
		command, err := newParser(&c).Parse(arguments(args))
		if err != nil || command.Command() != "version" {
			t.Errorf("%v: %v", args, err)
		}
	}
	var c cli
	_, err := newParser(&c).Parse(arguments([]string{"firmware", "--version"}))
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) {
		t.Errorf("%v", err)
	}
}

func FuzzRawECDSA(f *testing.F) {
	f.Add([]byte{0x30, 6, 2, 1, 5, 2, 1, 7})
	f.Fuzz(func(t *testing.T, der []byte) {
		if sig, ok := rawECDSA(der); ok && len(sig) != cose.SignatureSize(cose.ES256) {
			t.Errorf("%x", sig)
		}
	})
}

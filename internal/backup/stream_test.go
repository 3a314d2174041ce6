package backup

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
)

func lock(t *testing.T, l Lock, text string) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := l.Writer(&file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func unlock(k Key, file []byte) (string, error) {
	r, err := k.Reader(bytes.NewReader(file))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

func TestStream(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file := lock(t, Lock{Recipients: []string{id.Recipient().String()}}, "content")
	if text, err := unlock(Key{Identities: "# mine\n" + id.String() + "\n"}, file); err != nil || text != "content" {
		t.Errorf("%q %v", text, err)
	}
	if bytes.Contains(file, []byte("content")) {
		t.Error("the content is readable")
	}
	for name, k := range map[string]Key{
		"another identity": {Identities: other.String()},
		"no identity":      {Identities: "nothing"},
		"a passphrase":     {Passphrase: "secret"},
		"nothing":          {},
	} {
		if _, err := unlock(k, file); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := unlock(Key{Identities: id.String()}, file[:len(file)-1]); err == nil {
		t.Error("a file that was cut is read")
	}
}

func TestStreamByPassphrase(t *testing.T) {
	file := lock(t, Lock{Passphrase: "secret"}, "content")
	if text, err := unlock(Key{Passphrase: "secret"}, file); err != nil || text != "content" {
		t.Errorf("%q %v", text, err)
	}
	armored, err := Age{}.Seal(t.Context(), []byte("content"), "secret")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := unlock(Key{Passphrase: "secret"}, []byte(armored)); err != nil || text != "content" {
		t.Errorf("armored: %q %v", text, err)
	}
}

func TestLocksThatAreNone(t *testing.T) {
	for name, l := range map[string]Lock{
		"nothing": {}, "both": {"secret", []string{"age1x"}}, "no recipient": {Recipients: []string{"hello"}},
	} {
		if _, err := l.Writer(io.Discard); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

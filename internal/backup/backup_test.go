package backup

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestSealOpen(t *testing.T) {
	ctx := context.Background()
	file, err := Age{}.Seal(ctx, []byte("a site"), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(file, "-----BEGIN AGE ENCRYPTED FILE-----") || strings.Contains(file, "a site") {
		t.Errorf("not an armored age file: %.40q", file)
	}
	plain, err := Age{}.Open(ctx, file, "correct horse")
	if err != nil || string(plain) != "a site" {
		t.Errorf("Open = %q, %v", plain, err)
	}
	if file, err := (Age{}).Seal(ctx, []byte("a site"), ""); err == nil {
		t.Errorf("sealed without a passphrase: %.40q", file)
	}
	flipped := []byte(file)
	flipped[len(flipped)/2] ^= 1
	for name, bad := range map[string][2]string{
		"wrong passphrase": {file, "wrong horse"},
		"empty passphrase": {file, ""},
		"flipped":          {string(flipped), "correct horse"},
		"truncated":        {file[:len(file)/2], "correct horse"},
		"no file":          {"hello", "correct horse"},
	} {
		if _, err := (Age{}).Open(ctx, bad[0], bad[1]); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

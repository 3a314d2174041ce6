// Package backup seals a site's state with a passphrase as an armored age file
// (age-encryption.org/v1, scrypt recipient), so that any age tool opens it. It
// is the one place that imports age: the native program links it, a browser
// loads it as a second WASM when a backup is made or read.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// ErrOpen is returned for a wrong passphrase and for a file that is no backup.
var ErrOpen = errors.New("the passphrase is wrong or the file is not a backup")

// maxSize bounds what Open reads, in bytes.
const maxSize = 64 << 20

// Age seals and opens. Its zero value is ready.
type Age struct{}

// Seal encrypts plaintext. It takes about a second: that is scrypt's work
// against guessing.
func (Age) Seal(_ context.Context, plaintext []byte, passphrase string) (string, error) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return "", fmt.Errorf("sealing the backup: %w", err)
	}
	var file strings.Builder
	text := armor.NewWriter(&file)
	w, err := age.Encrypt(text, to)
	if err != nil {
		return "", fmt.Errorf("sealing the backup: %w", err)
	}
	if _, err := w.Write(plaintext); err != nil {
		return "", fmt.Errorf("sealing the backup: %w", err)
	}
	if err := errors.Join(w.Close(), text.Close()); err != nil {
		return "", fmt.Errorf("sealing the backup: %w", err)
	}
	return file.String(), nil
}

// Open decrypts what Seal made. Errors wrap [ErrOpen].
func (Age) Open(_ context.Context, file, passphrase string) ([]byte, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(file)), id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSize))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	return plain, nil
}

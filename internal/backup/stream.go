package backup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Lock says who can open a backup: whoever knows the passphrase, or else the owner
// of any of the age recipients ("age1…"). age allows no mixture.
type Lock struct {
	Passphrase string
	Recipients []string
}

func (l Lock) recipients() ([]age.Recipient, error) {
	switch {
	case l.Passphrase != "" && len(l.Recipients) > 0:
		return nil, errors.New("a backup is for a passphrase or for recipients, not for both")
	case l.Passphrase != "":
		to, err := age.NewScryptRecipient(l.Passphrase)
		return []age.Recipient{to}, err
	case len(l.Recipients) == 0:
		return nil, errors.New("a backup needs a passphrase or a recipient")
	}
	return age.ParseRecipients(strings.NewReader(strings.Join(l.Recipients, "\n")))
}

// Writer encrypts what is written to it into w, an age file; Close ends the file
// and leaves w open.
func (l Lock) Writer(w io.Writer) (io.WriteCloser, error) {
	to, err := l.recipients()
	if err != nil {
		return nil, err
	}
	return age.Encrypt(w, to...)
}

// Key opens a backup: a passphrase, or else the content of an age identity file.
type Key struct {
	Passphrase string
	Identities string
}

// Reader decrypts an age file, armored or not. Its errors, and those of reading,
// wrap [ErrOpen].
func (k Key) Reader(r io.Reader) (io.Reader, error) {
	ids, err := k.identities()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	buffered := bufio.NewReader(r)
	r = buffered
	if start, _ := buffered.Peek(len(armor.Header)); bytes.Equal(start, []byte(armor.Header)) {
		r = armor.NewReader(buffered)
	}
	plain, err := age.Decrypt(r, ids...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	return plain, nil
}

func (k Key) identities() ([]age.Identity, error) {
	if k.Identities != "" {
		return age.ParseIdentities(strings.NewReader(k.Identities))
	}
	id, err := age.NewScryptIdentity(k.Passphrase)
	return []age.Identity{id}, err
}

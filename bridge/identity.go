package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/gm"
	"lamplighter/internal/store"
)

// identity is a server's signing key and its authentication credential.
type identity struct {
	key  ed25519.PrivateKey
	cred []byte // untagged CCS
}

// loadIdentity reads the Ed25519 seed in dir/name.key, or makes one.
func loadIdentity(dir, name string) (identity, error) {
	seed, err := secretFile(filepath.Join(dir, name+".key"), ed25519.SeedSize)
	if err != nil {
		return identity{}, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	return identity{key: key, cred: cose.NewCCS(name, key.Public().(ed25519.PublicKey))}, nil
}

// loadES256 reads the P-256 scalar in dir/name-es256.key, or makes one: the Group
// Manager's key for groups of that curve. Its credential is endorsed by id, which
// members know from their claims and invitations.
func loadES256(dir, name string, id identity) (gm.Identity, error) {
	path := filepath.Join(dir, name+"-es256.key")
	scalar, err := drawnFile(path, ed25519.SeedSize, func(int) ([]byte, error) { return p256.Generate(rand.Reader) })
	if err != nil {
		return gm.Identity{}, err
	}
	key, err := p256.NewKey(scalar)
	if err != nil {
		return gm.Identity{}, fmt.Errorf("%s holds no key; restore it from your backup: %w", path, err)
	}
	cred, err := cose.Endorse(id.cred, cose.NewEd25519(id.key), name, key.Public())
	return gm.Identity{Key: key, Cred: cred}, err
}

// openServer opens what AS and GM have alike in a data folder: the server's
// identity, the key that both share for tokens, and its store.
func openServer(data, name string) (identity, ace.TokenKey, store.Store, error) {
	if err := keysThere(data, name); err != nil {
		return identity{}, ace.TokenKey{}, nil, err
	}
	id, err := loadIdentity(filepath.Join(data, "keys"), name)
	if err != nil {
		return identity{}, ace.TokenKey{}, nil, err
	}
	tokenKey, err := secretFile(tokenKeyFile(data), ace.TokenKeySize)
	if err != nil {
		return identity{}, ace.TokenKey{}, nil, err
	}
	db, err := openStore(context.Background(), data, name)
	if err != nil {
		return identity{}, ace.TokenKey{}, nil, err
	}
	return id, ace.TokenKey{Key: tokenKey}, db, nil
}

// keysThere says which key file of a server that has been at work is missing. A
// new one in its place would make it somebody whom nobody knows.
func keysThere(data, name string) error {
	if _, err := os.Stat(storeFile(data, name)); err != nil {
		return nil // nothing has been at work
	}
	for _, path := range []string{filepath.Join(data, "keys", name+".key"), tokenKeyFile(data)} {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is a store %s and no key file %s: put that file back, or restore a backup into an empty folder", storeFile(data, name), path)
		}
	}
	return nil
}

// tokenKeyFile holds the key that AS and GM share for tokens.
func tokenKeyFile(data string) string { return filepath.Join(data, "keys", "token.key") }

// secretFile reads n bytes in hex from path, or makes them there, readable by
// the owner only.
func secretFile(path string, n int) ([]byte, error) { return drawnFile(path, n, drawBytes) }

func drawBytes(n int) ([]byte, error) {
	secret := make([]byte, n)
	_, err := rand.Read(secret)
	return secret, err
}

// drawnFile is secretFile for a secret that not any bytes can be.
func drawnFile(path string, n int, draw func(n int) ([]byte, error)) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newSecretFile(path, n, draw)
	}
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != n {
		return nil, fmt.Errorf("%s does not hold %d bytes in hex; restore it from your backup", path, n)
	}
	return secret, nil
}

func newSecretFile(path string, n int, draw func(n int) ([]byte, error)) ([]byte, error) {
	secret, err := draw(n)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// A crash half-way must not leave a short key, and of two programs that
	// start at a time one makes it: write beside it, then link.
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(hex.EncodeToString(secret) + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, err
	}
	err = os.Link(tmp.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return drawnFile(path, n, draw)
	}
	return secret, err
}

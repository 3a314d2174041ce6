package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"

	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
)

// drawKey makes a key, in PEM: PKCS #8 and PKIX.
func drawKey(curve string) (private, public []byte, key cose.PublicKey, err error) {
	var secret any
	var half any
	if curve == "p256" {
		drawn, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, key, err
		}
		point, err := drawn.PublicKey.Bytes()
		if err != nil {
			return nil, nil, key, err
		}
		if key, err = cose.NewPublicKey(cose.P256, point); err != nil {
			return nil, nil, key, err
		}
		secret, half = drawn, &drawn.PublicKey
	} else {
		open, drawn, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, key, err
		}
		secret, half, key = drawn, open, cose.Ed25519PublicKey(open)
	}
	if private, err = x509.MarshalPKCS8PrivateKey(secret); err != nil {
		return nil, nil, key, err
	}
	if public, err = x509.MarshalPKIXPublicKey(half); err != nil {
		return nil, nil, key, err
	}
	return inPEM("PRIVATE KEY", private), inPEM("PUBLIC KEY", public), key, nil
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// readPrivateKey reads the key that firmware is signed with: PKCS #8 in PEM. What it
// says of a bad file holds nothing of it.
func readPrivateKey(file string) (cose.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, fmt.Errorf("%s is not in PEM", file)
	case block.Type == "ENCRYPTED PRIVATE KEY":
		return nil, fmt.Errorf("%s is encrypted; use --signer, with a command that opens it", file)
	case block.Type != "PRIVATE KEY":
		return nil, fmt.Errorf("%s is a %s; it must be a private key in PKCS #8 (openssl pkcs8 -topk8 -nocrypt makes one)", file, printable(block.Type))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s holds no private key in PKCS #8", file)
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return cose.NewEd25519(key), nil
	case *ecdsa.PrivateKey:
		if scalar, err := key.Bytes(); err == nil && key.Curve == elliptic.P256() {
			return p256.NewKey(scalar)
		}
	}
	return nil, fmt.Errorf("%s holds a key of another kind; firmware is signed with Ed25519 or P-256", file)
}

// maxSignature bounds what a signing command may answer, in bytes.
const maxSignature = 1 << 10

// commandSigner has a command sign, for keys in tokens.
type commandSigner struct {
	ctx     context.Context
	command string // for the shell
	alg     cose.Algorithm
	public  cose.PublicKey
}

func (s commandSigner) Algorithm() cose.Algorithm { return s.alg }
func (s commandSigner) Public() cose.PublicKey    { return s.public }

// Sign gives the bytes to the command's standard input and takes the signature from
// its standard output. A token may ask for its PIN on the terminal.
func (s commandSigner) Sign(toBeSigned []byte) ([]byte, error) {
	cmd := exec.CommandContext(s.ctx, "sh", "-c", s.command)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(toBeSigned), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the signing command: %w", err)
	}
	if size := cose.SignatureSize(s.public.SignatureAlgorithm()); len(out) == size {
		return out, nil
	}
	if sig, ok := rawECDSA(out); ok && s.public.Curve() == cose.P256 {
		return sig, nil
	}
	return nil, fmt.Errorf("the signing command wrote %d bytes, which are no signature: it must write 64 bytes and nothing else", len(out))
}

// rawECDSA makes r | s of the DER that most tokens and OpenSSL write.
func rawECDSA(der []byte) ([]byte, bool) {
	var sig struct{ R, S *big.Int }
	if len(der) > maxSignature {
		return nil, false
	}
	rest, err := asn1.Unmarshal(der, &sig)
	if err != nil || len(rest) > 0 || sig.R.Sign() <= 0 || sig.S.Sign() <= 0 || sig.R.BitLen() > 256 || sig.S.BitLen() > 256 {
		return nil, false
	}
	raw := make([]byte, 64)
	sig.R.FillBytes(raw[:32])
	sig.S.FillBytes(raw[32:])
	return raw, true
}

// writeFresh writes a file that does not exist; its name appears when it is complete.
func writeFresh(path string, data []byte, mode fs.FileMode) error {
	return throughTemporary(path, data, mode, func(temporary string) error {
		if err := os.Link(temporary, path); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists already", path)
		} else if err != nil {
			return err
		}
		return nil
	})
}

// replaceFile writes a file in one step: what is there stays until the new one is
// complete.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	return throughTemporary(path, data, mode, func(temporary string) error { return os.Rename(temporary, path) })
}

func throughTemporary(path string, data []byte, mode fs.FileMode, place func(temporary string) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	if err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := place(file.Name()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

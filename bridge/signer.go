package main

import (
	"context"
	"errors"
	"slices"

	"lamplighter/internal/cose"
	"lamplighter/internal/suit"
)

// signatureAlgorithms are the values of --algorithm.
var signatureAlgorithms = map[string]cose.Algorithm{
	"": cose.Null, "es256": cose.ES256, "esp256": cose.ESP256, "eddsa": cose.EdDSA, "ed25519": cose.AlgEd25519,
}

// signerFlags say who signs.
type signerFlags struct {
	Key       string `type:"existingfile" placeholder:"FILE" help:"Private key, PEM (PKCS #8)."`
	Signer    string `placeholder:"COMMAND" help:"Instead of a key: a command, for the shell, that signs what comes on its standard input."`
	Public    string `type:"existingfile" placeholder:"FILE" help:"Public key of --signer, PEM."`
	Algorithm string `enum:",es256,esp256,eddsa,ed25519" default:"" help:"es256, esp256, eddsa or ed25519. Default: esp256 or ed25519, whichever is the key's."`
}

const signerHelp = "The command of --signer gets the bytes to be signed, not their hash, and writes the signature alone: 64 bytes, R | S or r | s; for P-256 also in DER. With OpenSSL:\n\n" +
	"  --signer 'openssl pkeyutl -sign -rawin -digest sha256 -inkey key.pem -in /dev/stdin' --public key.pub"

// signer is a key in a file, or a command.
func (c signerFlags) signer(ctx context.Context) (suit.Signer, error) {
	alg := signatureAlgorithms[c.Algorithm]
	switch {
	case c.Key != "" && c.Signer == "" && c.Public == "":
		key, err := readPrivateKey(c.Key)
		if err != nil {
			return nil, err
		}
		return suit.NewSigner(alg, key)
	case c.Key == "" && c.Signer != "" && c.Public != "":
		public, err := readAnchor(c.Public)
		if err != nil {
			return nil, err
		}
		if alg, err = suit.AlgorithmOf(alg, public); err != nil {
			return nil, err
		}
		return commandSigner{ctx: ctx, command: c.Signer, alg: alg, public: public}, nil
	}
	return nil, errors.New("say who signs: --key FILE, or --signer COMMAND with --public FILE")
}

// readAnchors reads keys that may have signed something, in the order of the files.
func readAnchors(files []string) (anchors []cose.PublicKey, err error) {
	for _, file := range files {
		key, err := readAnchor(file)
		if err != nil {
			return nil, err
		}
		anchors = append(anchors, key)
	}
	return anchors, nil
}

// indexOf says which of the anchors a key is.
func indexOf(anchors []cose.PublicKey, key cose.PublicKey) int {
	return slices.IndexFunc(anchors, func(a cose.PublicKey) bool { return a.Equal(key) })
}

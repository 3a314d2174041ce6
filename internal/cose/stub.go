package cose

import (
	"crypto/cipher"
	"crypto/ed25519"
)

// AEAD is an authenticated cipher whose every Seal and successful Open go
// through [Recorder].
type AEAD = cipher.AEAD

// Recorder is nil outside tests.
var Recorder func(key, nonce, ciphertext []byte)

// Secret prints as "[redacted]".
type Secret []byte

// Credential is what a CCS says.
type Credential struct {
	Subject string
	Public  ed25519.PublicKey
	Alg     Algorithm
	Raw     []byte
}

func NewAEAD(alg Algorithm, key []byte) (AEAD, error)     { panic("not built yet") }
func HKDF(secret, salt, info []byte, n int) []byte        { panic("not built yet") }
func NewCCS(subject string, pub ed25519.PublicKey) []byte { panic("not built yet") }
func ParseCCS(cred []byte) (Credential, error)            { panic("not built yet") }
func Thumbprint(cred []byte) [32]byte                     { panic("not built yet") }
func SharedSecret(priv ed25519.PrivateKey, peer ed25519.PublicKey) ([]byte, error) {
	panic("not built yet")
}
func DerivedKey(secret []byte, own ed25519.PrivateKey, peerPub ed25519.PublicKey, siteCred, otherCred []byte) ([]byte, error) {
	panic("not built yet")
}
func AppendCounterSignature0(dst, externalAAD, ciphertext []byte) []byte { panic("not built yet") }
func AppendEncrypt0(dst, externalAAD []byte) []byte                      { panic("not built yet") }

// SealEncrypt0 makes 16(COSE_Encrypt0); SealCWT makes 61(16(COSE_Encrypt0)).
func SealEncrypt0(key, kid, nonce, plaintext []byte) ([]byte, error) { panic("not built yet") }
func OpenEncrypt0(key, data []byte) (plaintext []byte, err error)    { panic("not built yet") }
func SealCWT(key, kid, nonce, claims []byte) ([]byte, error)         { panic("not built yet") }
func OpenCWT(key, data []byte) (claims []byte, err error)            { panic("not built yet") }

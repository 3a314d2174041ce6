package ace

import (
	"errors"
	"fmt"
	"io"
	"time"

	"lamplighter/internal/cose"
)

// CWTClaims are the claims of an access token (RFC 8392; RFC 9200, Section 5.8),
// and two of this project for assisted joins.
type CWTClaims struct {
	ISS            string        `cbor:"1,keyasint,omitempty"`
	SUB            string        `cbor:"2,keyasint,omitempty"` // whom the Group Manager knows the member by
	AUD            string        `cbor:"3,keyasint,omitempty"`
	EXP            uint64        `cbor:"4,keyasint,omitempty"` // seconds since 1970
	NBF            uint64        `cbor:"5,keyasint,omitempty"`
	IAT            uint64        `cbor:"6,keyasint,omitempty"`
	CTI            []byte        `cbor:"7,keyasint,omitzero"`
	CNF            *Confirmation `cbor:"8,keyasint,omitempty"`
	Scope          ScopeClaim    `cbor:"9,keyasint,omitzero"`
	Profile        int           `cbor:"38,keyasint,omitempty"`
	CNonce         []byte        `cbor:"39,keyasint,omitzero"`
	EXI            uint64        `cbor:"40,keyasint,omitempty"` // seconds
	CredThumbprint []byte        `cbor:"-65537,keyasint,omitzero"`
	Actor          string        `cbor:"-65538,keyasint,omitempty"`
}

func (c *CWTClaims) check() error {
	if c.CredThumbprint != nil && len(c.CredThumbprint) != ThumbprintSize {
		return fmt.Errorf("%w: a thumbprint of %d bytes", ErrDecode, len(c.CredThumbprint))
	}
	return nil
}

// ThumbprintSize is the size of a credential's thumbprint in bytes.
const ThumbprintSize = 32

// Expired reports whether the token must not be used at now: a token without
// exp, too, because a token for a group always has one (RFC 9594, Section 3.2).
func (c *CWTClaims) Expired(now time.Time) bool {
	t := now.Unix()
	return t < 0 || uint64(t) >= c.EXP || uint64(t) < c.NBF
}

// TokenKey is what the Authorization Server and one resource server share to
// protect tokens.
type TokenKey struct {
	KID []byte
	Key cose.Secret // 16 bytes, AES-CCM-16-64-128
}

// TokenKeySize is the size of a [TokenKey] in bytes.
const TokenKeySize = 16

// tokenNonceSize is the nonce length of AES-CCM-16-64-128 in bytes. A random
// nonce of 104 bits repeats with a chance below 2^-32 within 2^36 tokens.
const tokenNonceSize = 13

// SealToken returns the access token: 61(16([protected, {}, ciphertext])), with
// every header parameter protected (RFC 9770, Section 3).
func SealToken(key TokenKey, claims *CWTClaims, rand io.Reader) ([]byte, error) {
	nonce := make([]byte, tokenNonceSize)
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	token, err := cose.SealCWT(key.Key, key.KID, nonce, Encode(claims))
	if err != nil {
		return nil, fmt.Errorf("sealing a token: %w", err)
	}
	return token, nil
}

// OpenToken takes the protection off an access token. The error wraps
// [ErrDecode] when the token or what is inside is malformed, and [ErrToken]
// when it was not sealed with key: another Authorization Server's, or changed.
// Issuer, audience and time are the receiver's to check, in this order (RFC
// 9200, Section 5.10.1.1).
func OpenToken(key TokenKey, token []byte) (*CWTClaims, error) {
	plain, err := cose.OpenCWT(key.Key, token)
	if err != nil {
		if errors.Is(err, cose.ErrDecode) {
			return nil, fmt.Errorf("%w: the access token", ErrDecode)
		}
		return nil, ErrToken
	}
	claims, err := Decode[CWTClaims](plain)
	if err != nil {
		return nil, fmt.Errorf("%w: the access token's claims", ErrDecode) // the cause could quote the secret
	}
	return claims, nil
}

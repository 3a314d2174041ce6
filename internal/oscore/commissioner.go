package oscore

import (
	"crypto/ed25519"
	"fmt"

	"lamplighter/internal/cose"
)

// CommissionerPSK is the secret of sessions between a device and a commissioner
// whose credential the device lists: there is no label secret in it, only what both
// derive from their credentials. Either side calls it with its own private key and
// the other's public one. Who is taken off the list keeps the key, and no device
// that it opens.
//
//	HKDF-SHA-256(salt = "lamplighter/commissioner", IKM = X25519,
//	             info = bstr(commissioner's credential) | bstr(device's), L = 32)
func CommissionerPSK(own ed25519.PrivateKey, peer cose.PublicKey, commissioner, device []byte) (PSK, error) {
	key, err := cose.DerivedKey([]byte(SaltCommissioner), own, peer, commissioner, device)
	if err != nil {
		return PSK{}, fmt.Errorf("deriving a commissioner's key: %w", err)
	}
	return NewPSK(commissioner, key, SaltCommissioner), nil
}

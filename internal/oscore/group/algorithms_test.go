package group

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/oscore"
)

var (
	aeads = []cose.Algorithm{
		cose.A128GCM, cose.A192GCM, cose.A256GCM, cose.AESCCM16_64_128, cose.AESCCM16_64_256, cose.AESCCM64_64_128,
		cose.AESCCM64_64_256, cose.ChaCha20Poly1305, cose.AESCCM16_128_128, cose.AESCCM16_128_256,
		cose.AESCCM64_128_128, cose.AESCCM64_128_256,
	}
	groupEncs = append([]cose.Algorithm{cose.A128CTR, cose.A192CTR, cose.A256CTR}, aeads...)
)

func newKey(t testing.TB, curve cose.Curve) cose.PrivateKey {
	t.Helper()
	var key cose.PrivateKey
	var err error
	switch curve {
	case cose.Ed25519:
		key = cose.NewEd25519(ed25519.NewKeyFromSeed(randomBytes(32)))
	case cose.X25519:
		key, err = cose.NewX25519(randomBytes(32))
	default:
		key, err = p256.NewKey(append([]byte{1}, randomBytes(31)...))
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// suite makes members, with keys on the curves, that know each other. Member i
// has the Sender ID i.
func suite(t testing.TB, algs Algorithms, curves ...cose.Curve) []*Context {
	t.Helper()
	secret, members, keys := randomBytes(16), []*Context{}, []cose.PrivateKey{}
	for _, curve := range curves {
		keys = append(keys, newKey(t, curve))
	}
	for i, key := range keys {
		c, err := New(Params{
			Name: "hall", GID: []byte{7}, MasterSecret: secret, Algs: algs, GMCred: []byte("gm"),
			SenderID: []byte{byte(i)}, Cred: key.Public().CCS(fmt.Sprint(i)), Key: key,
		})
		if err != nil {
			t.Fatal(err)
		}
		for j, other := range keys {
			if err := c.SetPeer(Peer{KID: []byte{byte(j)}, Cred: other.Public().CCS(fmt.Sprint(j))}); err != nil {
				t.Fatal(err)
			}
		}
		members = append(members, c)
	}
	return members
}

// exchange sends a request and has it answered in all modes that the group has;
// each message is also refused once with a bit flipped.
func exchange(t *testing.T, client, server *Context, payload []byte) {
	t.Helper()
	modes := map[Mode][]byte{}
	if client.algs.hasGroup() {
		modes[Group] = nil
	}
	if client.algs.hasPairwise() {
		modes[Pairwise] = server.senderID
	}
	for mode, to := range modes {
		req := get("")
		req.Payload = payload
		outer, cb, err := client.ProtectRequest(req, to)
		if err != nil {
			t.Fatal(err)
		}
		outer.Payload[0] ^= 1
		if _, _, err := server.UnprotectRequest(outer); !errors.Is(err, oscore.ErrVerify) {
			t.Errorf("flipped: %v", err)
		}
		outer.Payload[0] ^= 1
		in, sb, err := server.UnprotectRequest(outer)
		if err != nil || !bytes.Equal(in.Payload, payload) {
			t.Fatalf("in %v: %v, %v", mode, in, err)
		}
		for answer := range modes {
			resp, err := server.ProtectResponse(content("yes"), sb, answer)
			if err != nil {
				t.Fatal(err)
			}
			cb.done, cb.servers = false, nil // a pairwise request has one response; here both modes are tried
			last := len(resp.Payload) - 1
			resp.Payload[last] ^= 1
			if _, _, _, err := client.UnprotectResponse(resp, cb); !errors.Is(err, oscore.ErrVerify) {
				t.Errorf("flipped: %v", err)
			}
			resp.Payload[last] ^= 1
			got, _, gotMode, err := client.UnprotectResponse(resp, cb)
			if err != nil || gotMode != answer || string(got.Payload) != "yes" {
				t.Errorf("in %v: %v, %v", gotMode, got, err)
			}
		}
	}
}

// All algorithms with all others, in one order and the other.
func TestAlgorithms(t *testing.T) {
	n := 0
	for _, aead := range aeads {
		for _, enc := range groupEncs {
			algs := Algorithms{AEAD: aead, GroupEnc: enc, Sign: cose.EdDSA, Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256}
			curve := cose.Ed25519
			if n&1 == 1 {
				algs.Sign, curve = cose.ES256, cose.P256
			}
			if n&2 == 2 {
				algs.Pairwise, algs.HKDF = cose.ECDHSSHKDF512, cose.HMAC512
			}
			n++
			members := suite(t, algs, curve, curve)
			c := members[0]
			least := min(cose.NonceSize(aead), cose.NonceSize(enc))
			if len(c.commonIV) != max(cose.NonceSize(aead), cose.NonceSize(enc)) || len(c.senderKey) != cose.KeySize(enc) || len(c.seKey) != cose.KeySize(enc) {
				t.Errorf("%+v: Common IV of %d bytes, Sender Key of %d", algs, len(c.commonIV), len(c.senderKey))
			}
			if c.SetPeer(Peer{KID: make([]byte, least-5), Cred: c.cred}) == nil || c.SetPeer(Peer{KID: bytes.Repeat([]byte{9}, least-6), Cred: c.cred}) != nil {
				t.Errorf("%+v: the bound of Sender IDs", algs)
			}
			exchange(t, members[0], members[1], nil)
			exchange(t, members[0], members[1], []byte("on"))
		}
	}
	if n != 180 {
		t.Errorf("%d combinations", n)
	}
}

// Groups with one mode: null for what is not set, no Signature Encryption Key
// without group mode.
func TestOneModeOnly(t *testing.T) {
	for name, x := range map[string]struct {
		algs   Algorithms
		curves []cose.Curve
		cbor   []byte
		seKey  int
	}{
		"group mode": {
			Algorithms{GroupEnc: cose.AESCCM64_64_256, Sign: cose.ES256, HKDF: cose.HMAC256},
			[]cose.Curve{cose.P256, cose.P256}, []byte{0x84, 0xf6, 13, 0x26, 0xf6}, 32,
		},
		"group mode without tag": {
			Algorithms{GroupEnc: cose.A128CTR, Sign: cose.EdDSA, HKDF: cose.HMAC512},
			[]cose.Curve{cose.Ed25519, cose.Ed25519}, []byte{0x84, 0xf6, 0x39, 0xff, 0xfd, 0x27, 0xf6}, 16,
		},
		"group mode and half of the other": {
			Algorithms{AEAD: cose.A256GCM, GroupEnc: cose.A128GCM, Sign: cose.EdDSA, HKDF: cose.HMAC512},
			[]cose.Curve{cose.Ed25519, cose.Ed25519}, []byte{0x84, 3, 1, 0x27, 0xf6}, 16,
		},
		"pairwise mode, X25519": {
			Algorithms{AEAD: cose.AESCCM16_64_128, Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256},
			[]cose.Curve{cose.X25519, cose.X25519}, []byte{0x84, 10, 0xf6, 0xf6, 0x38, 26}, 0,
		},
		"pairwise mode, mapped": {
			Algorithms{AEAD: cose.ChaCha20Poly1305, Pairwise: cose.ECDHSSHKDF512, HKDF: cose.HMAC512},
			[]cose.Curve{cose.X25519, cose.Ed25519}, []byte{0x84, 0x18, 24, 0xf6, 0xf6, 0x38, 27}, 0,
		},
		"pairwise mode, P-256": {
			Algorithms{AEAD: cose.AESCCM16_64_128, Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HKDFSHA256},
			[]cose.Curve{cose.P256, cose.P256}, []byte{0x84, 10, 0xf6, 0xf6, 0x38, 26}, 0,
		},
		"pairwise mode and half of the other": {
			Algorithms{AEAD: cose.AESCCM16_64_128, GroupEnc: cose.A256GCM, Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256},
			[]cose.Curve{cose.X25519, cose.X25519}, []byte{0x84, 10, 3, 0xf6, 0x38, 26}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			members := suite(t, x.algs, x.curves...)
			client, server := members[0], members[1]
			if !bytes.Equal(client.algsCBOR, x.cbor) || len(client.SignatureEncryptionKey()) != x.seKey {
				t.Errorf("algorithms %x, Signature Encryption Key of %d bytes", client.algsCBOR, len(client.seKey))
			}
			exchange(t, client, server, []byte("on"))
			to := []byte(nil)
			if x.seKey > 0 {
				to = []byte{1}
			}
			if _, _, err := client.ProtectRequest(get("/"), to); !errors.Is(err, ErrMode) {
				t.Errorf("the other mode: %v", err)
			}
			flags := map[bool]byte{true: 0x19, false: 0x39}[x.seKey > 0]
			other := oscore.Finish(&coap.Message{Code: coap.POST}, []byte{flags, 1, 1, 7, 0}, make([]byte, 100))
			if _, _, err := server.UnprotectRequest(other); !errors.Is(err, ErrMode) {
				t.Errorf("received in the other mode: %v", err)
			}
		})
	}
}

// AES-CTR gets no additional data, and has no tag: one byte and the signature are
// a message, even where the AEAD Algorithm has a tag.
func TestShortestMessage(t *testing.T) {
	algs := DefaultAlgorithms
	for _, enc := range groupEncs {
		algs.GroupEnc = enc
		members := suite(t, algs, cose.Ed25519, cose.Ed25519)
		outer, _, err := members[0].ProtectRequest(&coap.Message{Code: coap.GET}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(outer.Payload) != 1+cose.TagSize(enc)+64 {
			t.Errorf("algorithm %d: %d bytes", enc, len(outer.Payload))
		}
		if (members[0].groupAAD() == nil) == cose.Authenticated(enc) {
			t.Errorf("algorithm %d: additional data %x", enc, members[0].groupAAD())
		}
		for n := range len(outer.Payload) {
			short := over(t, outer)
			short.Payload = short.Payload[:n]
			if _, _, err := members[1].UnprotectRequest(short); !errors.Is(err, oscore.ErrVerify) {
				t.Errorf("algorithm %d, %d bytes: %v", enc, n, err)
			}
		}
		if _, _, err := members[1].UnprotectRequest(over(t, outer)); err != nil {
			t.Errorf("algorithm %d: %v", enc, err)
		}
	}
}

// A key on another curve than the group's is none of a member.
func TestCredentialFits(t *testing.T) {
	pairwise := Algorithms{AEAD: cose.AESCCM16_64_128, Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256}
	es256 := DefaultAlgorithms
	es256.Sign = cose.ES256
	groupOnly := Algorithms{GroupEnc: cose.A128GCM, Sign: cose.ES256, HKDF: cose.HMAC256}
	for _, x := range []struct {
		algs     Algorithms
		own      cose.Curve
		fit, not []cose.Curve
	}{
		{DefaultAlgorithms, cose.Ed25519, []cose.Curve{cose.Ed25519}, []cose.Curve{cose.X25519, cose.P256}},
		{es256, cose.P256, []cose.Curve{cose.P256}, []cose.Curve{cose.X25519, cose.Ed25519}},
		{groupOnly, cose.P256, []cose.Curve{cose.P256}, []cose.Curve{cose.X25519, cose.Ed25519}},
		{pairwise, cose.X25519, []cose.Curve{cose.X25519, cose.Ed25519}, []cose.Curve{cose.P256}},
		{pairwise, cose.Ed25519, []cose.Curve{cose.X25519, cose.Ed25519}, []cose.Curve{cose.P256}},
		{pairwise, cose.P256, []cose.Curve{cose.P256}, []cose.Curve{cose.X25519, cose.Ed25519}},
	} {
		c := suite(t, x.algs, x.own)[0]
		for _, curve := range x.fit {
			if err := c.SetPeer(Peer{KID: []byte{5, byte(curve)}, Cred: newKey(t, curve).Public().CCS("")}); err != nil {
				t.Errorf("%+v on %v: %v", x.algs, curve, err)
			}
		}
		for _, curve := range x.not {
			key := newKey(t, curve)
			if err := c.SetPeer(Peer{KID: []byte{6}, Cred: key.Public().CCS("")}); !errors.Is(err, cose.ErrCredential) {
				t.Errorf("%+v, a peer on %v: %v", x.algs, curve, err)
			}
			if x.algs.hasGroup() {
				_, err := New(Params{MasterSecret: randomBytes(16), Algs: x.algs, SenderID: []byte{1}, Cred: key.Public().CCS(""), Key: key})
				if !errors.Is(err, cose.ErrCredential) {
					t.Errorf("%+v, a member on %v: %v", x.algs, curve, err)
				}
			}
		}
		if x.own == cose.P256 {
			agrees := newKey(t, x.own).Public().CCS("")
			agrees = bytes.Replace(agrees, []byte{1, 2, 3, 0x26}, []byte{1, 2, 3, 0x38, 26}, 1) // alg: -27
			err := c.SetPeer(Peer{KID: []byte{6}, Cred: agrees})
			if c.RemovePeer([]byte{6}); errors.Is(err, cose.ErrCredential) != x.algs.hasGroup() || (err == nil) == x.algs.hasGroup() {
				t.Errorf("%+v, a key for agreement alone: %v", x.algs, err)
			}
		}
		if len(c.Peers()) != len(x.fit) {
			t.Errorf("%d peers", len(c.Peers()))
		}
	}
}

// Credentials are read as the caller says. Of a chain only the member's own is
// bound, and the chain handed in again is the same peer.
func TestParseCred(t *testing.T) {
	keys := []cose.PrivateKey{newKey(t, cose.Ed25519), newKey(t, cose.Ed25519)}
	chain := func(i int) []byte { return append([]byte("chain"), keys[i].Public().CCS("")...) }
	var members []*Context
	for i := range keys {
		c, err := New(Params{
			GID: []byte{1}, MasterSecret: []byte("0123456789abcdef"), SenderID: []byte{byte(i)}, Cred: chain(i), Key: keys[i],
			ParseCred: func(b []byte) (cose.Credential, error) {
				cred, err := cose.ParseCCS(bytes.TrimPrefix(b, []byte("chain")))
				if i == 1 {
					cred.Raw = nil // as a careless reader may leave it
				}
				return cred, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, c)
	}
	a, b := members[0], members[1]
	if !bytes.Equal(a.Cred(), keys[0].Public().CCS("")) || !bytes.Equal(b.Cred(), chain(1)) {
		t.Errorf("%x, %x", a.Cred(), b.Cred())
	}
	for range 2 {
		if err := a.SetPeer(Peer{KID: []byte{1}, Cred: chain(1)}); err != nil {
			t.Fatal(err)
		}
	}
	if a.echoFirst {
		t.Error("the same chain was another peer")
	}
	if p, _ := a.Peer([]byte{1}); !bytes.Equal(p.Cred, keys[1].Public().CCS("")) {
		t.Errorf("credential %x", p.Cred)
	}
}

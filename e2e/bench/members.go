package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

// side is one side of a protection.
type side struct {
	protect   func(*coap.Message) (*coap.Message, error)
	unprotect func(*coap.Message) (*coap.Message, error)
}

// shared is what two sides, A and B, share for one protection. config has the
// peer program be A.
type shared struct {
	a, b   func() (side, error) // with numbers and windows from the start
	kind   string               // what the configuration is of
	config map[string]any
}

// The Sender IDs.
var idA, idB = []byte{0x0a}, []byte{0x0b}

func shareOSCORE() (*shared, error) {
	secret, salt := drawn(16), drawn(8)
	party := func(own, peer []byte) func() (side, error) {
		return func() (side, error) {
			c, err := oscore.New(oscore.Params{MasterSecret: secret, MasterSalt: salt, SenderID: own, RecipientID: peer})
			if err != nil {
				return side{}, err
			}
			return side{
				func(m *coap.Message) (*coap.Message, error) { outer, _, err := c.ProtectRequest(m); return outer, err },
				func(m *coap.Message) (*coap.Message, error) { req, _, err := c.UnprotectRequest(m); return req, err },
			}, nil
		}
	}
	h := hex.EncodeToString
	return &shared{a: party(idA, idB), b: party(idB, idA), kind: "oscore", config: map[string]any{
		"aead": cose.AESCCM16_64_128, "hash": "sha256", "secret": h(secret), "salt": h(salt), "id": h(idA), "peer": h(idB),
	}}, nil
}

func shareGroup(sign cose.Algorithm, mode group.Mode) func() (*shared, error) {
	return func() (*shared, error) {
		var keys [3]memberKey // of A, of B, of the Group Manager
		for i := range keys {
			var err error
			if keys[i], err = newMemberKey(sign); err != nil {
				return nil, err
			}
		}
		algs := group.DefaultAlgorithms
		algs.Sign = sign
		common := group.Params{
			GID: drawn(3), MasterSecret: drawn(16), MasterSalt: drawn(8), Algs: algs,
			GMCred: keys[2].cred, Rand: rand.Reader,
		}
		a, b := common, common
		a.SenderID, a.Key, a.Cred = idA, keys[0].private, keys[0].cred
		b.SenderID, b.Key, b.Cred = idB, keys[1].private, keys[1].cred
		h := hex.EncodeToString
		s := &shared{a: member(a, b, mode), b: member(b, a, mode), kind: "group", config: map[string]any{
			"aead": algs.AEAD, "group_enc": algs.GroupEnc, "sign": sign, "pairwise": algs.Pairwise, "hash": "sha256",
			"gid": h(common.GID), "secret": h(common.MasterSecret), "salt": h(common.MasterSalt), "gm_cred": h(common.GMCred),
			"id": h(idA), "key": h(keys[0].seed), "cred": h(a.Cred), "peers": map[string]string{h(idB): h(b.Cred)},
		}}
		if mode == group.Pairwise {
			s.config["to"] = h(idB)
		}
		return s, nil
	}
}

// member makes contexts of p with the one peer.
func member(p, peer group.Params, mode group.Mode) func() (side, error) {
	var to []byte
	if mode == group.Pairwise {
		to = peer.SenderID
	}
	return func() (side, error) {
		c, err := group.New(p)
		if err != nil {
			return side{}, err
		}
		return side{
			func(m *coap.Message) (*coap.Message, error) {
				outer, _, err := c.ProtectRequest(m, to)
				return outer, err
			},
			func(m *coap.Message) (*coap.Message, error) { req, _, err := c.UnprotectRequest(m); return req, err },
		}, c.SetPeer(group.Peer{KID: peer.SenderID, Cred: peer.Cred})
	}
}

type memberKey struct {
	seed    []byte // P-256: scalar
	private cose.PrivateKey
	cred    []byte
}

func newMemberKey(sign cose.Algorithm) (k memberKey, err error) {
	if sign == cose.ES256 {
		if k.seed, err = p256.Generate(rand.Reader); err != nil {
			return k, err
		}
		if k.private, err = p256.NewKey(k.seed); err != nil {
			return k, err
		}
	} else {
		k.seed = drawn(ed25519.SeedSize)
		k.private = cose.NewEd25519(ed25519.NewKeyFromSeed(k.seed))
	}
	k.cred = k.private.Public().CCS("")
	return k, nil
}

func drawn(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand's promise
	return b
}

package oscore

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// aeads is every AEAD that RFC 8613 can be used with and that is built: nonces
// of 7 bytes or more, and a tag.
var aeads = []cose.Algorithm{
	cose.A128GCM, cose.A192GCM, cose.A256GCM,
	cose.AESCCM16_64_128, cose.AESCCM16_64_256, cose.AESCCM64_64_128, cose.AESCCM64_64_256,
	cose.AESCCM16_128_128, cose.AESCCM16_128_256, cose.AESCCM64_128_128, cose.AESCCM64_128_256,
	cose.ChaCha20Poly1305,
}

var hkdfs = []cose.Algorithm{cose.HKDFSHA256, cose.HKDFSHA512}

// eachAlgorithm runs f for every AEAD with every HKDF.
func eachAlgorithm(t *testing.T, f func(t *testing.T, aead, hkdf cose.Algorithm)) {
	for _, aead := range aeads {
		for _, hkdf := range hkdfs {
			t.Run(fmt.Sprintf("AEAD %d HKDF %d", aead, hkdf), func(t *testing.T) { f(t, aead, hkdf) })
		}
	}
}

// longestID is the longest Sender ID of an AEAD, made of b.
func longestID(aead cose.Algorithm, b byte) []byte {
	return bytes.Repeat([]byte{b}, cose.NonceSize(aead)-6)
}

func TestAllAlgorithms(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, aead, hkdf cose.Algorithm) {
		use := func(p *Params, sender, recipient []byte) {
			p.AEAD, p.HKDF, p.SenderID, p.RecipientID = aead, hkdf, sender, recipient
		}
		for _, ids := range [][2][]byte{
			{nil, {0}}, {{0}, nil}, {longestID(aead, 1), longestID(aead, 2)}, {longestID(aead, 0), nil},
		} {
			client, server := newPair(t, func(c, s *Params) {
				use(c, ids[0], ids[1])
				use(s, ids[1], ids[0])
				c.Sequence = NewSequence(maxSequence-2, nil)
			})
			for _, size := range []int{0, 1, 200} {
				if size == 200 {
					client.sequence = NewSequence(0, nil)
					server.window = Window{size: 1}
				}
				req, resp := coap.NewRequest(coap.PUT, "/a", bytes.Repeat([]byte{7}, size)), content("b")
				gotReq, gotResp := exchange(t, client, server, req, resp)
				sameMessage(t, "request", gotReq, req)
				sameMessage(t, "response", gotResp, resp)
			}
		}
		client, server := newPair(t, func(c, s *Params) {
			use(c, []byte{1}, []byte{2})
			use(s, []byte{2}, []byte{1})
		})
		refusesAll(t, client, server)
	})
}

// refusesAll says that nothing of a message can be changed, with notifications
// under Partial IVs of their own.
func refusesAll(t *testing.T, client, server *Context) {
	t.Helper()
	req := watchRequest(0)
	outer, cb, err := client.ProtectRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	for i := range outer.Payload {
		bad := over(t, outer)
		bad.Payload[i] ^= 1
		if _, _, err := server.UnprotectRequest(bad); !errors.Is(err, ErrVerify) {
			t.Errorf("byte %d of the request: %v", i, err)
		}
	}
	bad := over(t, outer)
	bad.Payload = bad.Payload[:cose.TagSize(client.alg)]
	if _, _, err := server.UnprotectRequest(bad); !errors.Is(err, ErrVerify) {
		t.Errorf("nothing but a tag: %v", err)
	}
	bad.Payload = bad.Payload[:0]
	if _, _, err := server.UnprotectRequest(bad); !errors.Is(err, ErrVerify) {
		t.Errorf("nothing: %v", err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(outer); !errors.Is(err, ErrReplay) {
		t.Errorf("replayed: %v", err)
	}
	for _, own := range []bool{false, true} {
		n := notify(t, server, sb, 1)
		if (piv(t, n) != nil) != own {
			t.Errorf("own Partial IV: %x", piv(t, n))
		}
		for i := range n.Payload {
			bad := over(t, n)
			bad.Payload[i] ^= 0x80
			if _, err := client.UnprotectResponse(bad, cb); !errors.Is(err, ErrVerify) {
				t.Errorf("byte %d of a notification: %v", i, err)
			}
		}
		if _, err := client.UnprotectResponse(n, cb); err != nil {
			t.Errorf("own Partial IV %v: %v", own, err)
		}
	}
}

// Both sides have to agree on everything that goes into the keys.
func TestDisagreement(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, aead, hkdf cose.Algorithm) {
		for name, change := range map[string]func(*Params){
			"nothing":       func(*Params) {},
			"HKDF":          func(p *Params) { p.HKDF = hkdfs[0] + hkdfs[1] - hkdf },
			"Master Secret": func(p *Params) { p.MasterSecret = append(cose.Secret{9}, p.MasterSecret...) },
			"Master Salt":   func(p *Params) { p.MasterSalt = []byte{9} },
			"own ID":        func(p *Params) { p.SenderID = []byte{9} },
			"ID Context":    func(p *Params) { p.IDContext = []byte{} },
		} {
			client, server := newPair(t, func(c, s *Params) {
				c.AEAD, c.HKDF, s.AEAD, s.HKDF = aead, hkdf, aead, hkdf
				change(s)
			})
			outer, cb, err := client.ProtectRequest(get("/a"))
			if err != nil {
				t.Fatal(err)
			}
			_, sb, err := server.UnprotectRequest(outer)
			want := ErrVerify
			if name == "nothing" || name == "own ID" {
				want = nil // its own key is not used for a request
			}
			if !errors.Is(err, want) {
				t.Fatalf("%s: request: %v", name, err)
			}
			if want != nil {
				continue
			}
			resp, err := server.ProtectResponse(content("b"), sb)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.UnprotectResponse(resp, cb); (err == nil) != (name == "nothing") {
				t.Errorf("%s: response: %v", name, err)
			}
		}
		// The same key material under another algorithm of the same lengths.
		for _, other := range aeads {
			if other == aead {
				continue
			}
			client, server := newPair(t, func(c, s *Params) {
				c.AEAD, c.HKDF, s.AEAD, s.HKDF = aead, hkdf, other, hkdf
			})
			outer, _, err := client.ProtectRequest(get("/a"))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := server.UnprotectRequest(outer); !errors.Is(err, ErrVerify) {
				t.Errorf("opened with AEAD %d: %v", other, err)
			}
		}
	})
}

// The identifiers of the HMACs stand for the same HKDFs. RFC 9053, Section 5.1.
func TestHKDFNames(t *testing.T) {
	for _, names := range [][2]cose.Algorithm{{cose.HKDFSHA256, cose.HMAC256}, {cose.HKDFSHA512, cose.HMAC512}, {0, cose.HKDFSHA256}} {
		client, server := newPair(t, func(c, s *Params) { c.HKDF, s.HKDF = names[0], names[1] })
		exchange(t, client, server, get("/a"), content("b"))
	}
}

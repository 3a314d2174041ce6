package gm

import (
	"fmt"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/join"
)

// Every configuration that an administrator can ask for makes a group that nodes can
// join, with just these algorithms.
func TestEveryConfigurationCanBeJoined(t *testing.T) {
	w := newEmptyWorld(t, withP256)
	boss := w.chief()
	aeads := []cose.Algorithm{1, 2, 3, 10, 11, 12, 13, 24, 30, 31, 32, 33}
	ctrs := []cose.Algorithm{cose.A128CTR, cose.A192CTR, cose.A256CTR}
	var all []ace.Configuration
	for i, enc := range append(append([]cose.Algorithm{}, aeads...), ctrs...) {
		c := ace.Configuration{GpEncAlg: ace.Alg(enc), Alg: ace.Alg(aeads[(i+5)%len(aeads)])}
		if i%2 == 1 {
			c.SignAlg = ace.Alg(cose.ES256)
		}
		if i%3 == 1 {
			c.HKDF = ace.Alg(cose.HMAC512)
		}
		all = append(all, c, ace.Configuration{PairwiseMode: ace.Is(false), GpEncAlg: c.GpEncAlg, SignAlg: c.SignAlg, HKDF: c.HKDF})
	}
	for i, aead := range aeads {
		c := ace.Configuration{GroupMode: ace.Is(false), Alg: ace.Alg(aead)}
		if i%2 == 1 {
			c.ECDHParams = ace.Is(ace.Capabilities{{2}, {2, 1}})
		}
		all = append(all, c)
	}
	for i, c := range all {
		name := fmt.Sprint("g", i)
		w.must(boss, coap.POST, "/manage", c.With(named(name)).With(ace.Configuration{Active: ace.Is(true)}), coap.Created)
		got, _ := w.configurationOf(boss, name)
		algs, curve := algorithms(got)
		n := w.node(name)
		key := cose.NewEd25519(newKey(w.rand))
		if curve == cose.P256 || algs.Sign == cose.ES256 {
			var err error
			if key, err = p256.NewKey(draw(w.rand, 32)); err != nil {
				t.Fatal(err)
			}
		}
		_, gm := w.transfer(w.seal(w.claims(n.subject, scope(name, both))))
		m, _, err := join.Self(t.Context(), gm, join.SelfParams{
			Group: name, Roles: both, Cred: key.Public().CCS(n.subject), Key: key, GMCred: w.cfg.Credential, Rand: w.rand,
		})
		if err != nil {
			t.Errorf("%x: %v", ace.Encode(c), err)
			continue
		}
		if m.Algs != algs || !c.HKDF.Present != (algs.HKDF == cose.HMAC256) || c.Alg.Present && ace.Alg(algs.AEAD) != c.Alg || c.GpEncAlg.Present && ace.Alg(algs.GroupEnc) != c.GpEncAlg {
			t.Errorf("%x: joined with %+v", ace.Encode(c), m.Algs)
		}
		if longest := m.Algs.MaxSenderID(); len(m.SenderID) > longest || w.groupNamed(name).SenderIDs > 1<<(8*longest) {
			t.Errorf("%x: Sender ID %x", ace.Encode(c), m.SenderID)
		}
	}
}

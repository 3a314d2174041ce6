package commission

import (
	"errors"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/gm"
	oscoregroup "lamplighter/internal/oscore/group"
)

// Browser and lamps work in groups of every kind that their Ed25519 keys fit:
// without the pairwise mode everything is countersigned, without the group mode each
// lamp is asked by itself. Lamps that restart, and a rekeying, change nothing.
func TestGroupsOfEveryKind(t *testing.T) {
	const lamps = 3
	ccm, ss := cose.AESCCM16_64_128, cose.ECDHSSHKDF256
	for name, algs := range map[string]oscoregroup.Algorithms{
		"signatures only": {GroupEnc: cose.A128CTR, Sign: cose.EdDSA},
		"pairwise only":   {AEAD: ccm, Pairwise: ss},
		"other ciphers":   {AEAD: cose.ChaCha20Poly1305, GroupEnc: cose.A256GCM, Sign: cose.EdDSA, Pairwise: cose.ECDHSSHKDF512, HKDF: cose.HMAC512},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, lamps, gm.GroupConfig{Algs: algs})
			b := w.enrolled()
			b.joined()
			b.switched(lamps, true)
			for _, l := range w.lamps[:2] {
				w.boot(l)
			}
			b.switched(lamps, false)
			last := w.lamps[lamps-1]
			if j := b.job(b.Leave(t.Context(), hall, []string{last.id()})); j.State != JobDone {
				t.Fatalf("leave: %s", b.failures(j))
			}
			b.switched(lamps-1, true)
			if last.State().Light.On {
				t.Error("who left obeys")
			}
			again := w.engine(b.store)
			again.verified(lamps - 1)
		})
	}
}

// switched switches all lamps of the hall, which n must confirm.
func (b *browser) switched(n int, on bool) {
	b.t.Helper()
	call, err := b.SetLight(b.t.Context(), hall, Light{On: &on})
	if err != nil || call.Verified != n {
		b.t.Fatalf("switching: %d verified, want %d, %v: %s\n%s", call.Verified, n, err, unverified(call), b.Diagnostics())
	}
	for _, l := range b.w.lamps[:n] {
		if l.State().Light.On != on {
			b.t.Errorf("%s does not obey", l.id())
		}
	}
}

// Where the keys do not fit, the browser says of itself and of the device which
// cannot take part.
func TestKeysDoNotFit(t *testing.T) {
	ccm, ss := cose.AESCCM16_64_128, cose.ECDHSSHKDF256
	for name, kind := range map[string]gm.GroupConfig{
		"both modes":    {Algs: oscoregroup.Algorithms{AEAD: ccm, GroupEnc: ccm, Sign: cose.ES256, Pairwise: ss}},
		"pairwise only": {Algs: oscoregroup.Algorithms{AEAD: ccm, Pairwise: ss}, Curve: cose.P256},
	} {
		w := newWorldOf(t, 1, kind)
		b := w.enrolled()
		j := b.job(b.Join(t.Context(), hall, w.ids()))
		if got := problemOf(j, w.lamps[0].id()); j.State == JobDone || got != "gm-algorithms" {
			t.Errorf("%s: the job ends %s with %q", name, j.State, got)
		}
		assoc, _, err := b.current().transfer(t.Context(), ace.TokenRequest{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var p *Error
		if err := fits(w.lamps[0].Credential(), assoc.Info(), hall); !errors.As(err, &p) || p.ID != "device-algorithms" {
			t.Errorf("%s: the device fits: %v", name, err)
		}
		if n := len(w.members(hall)); n != 0 {
			t.Errorf("%s: %d members", name, n)
		}
	}
}

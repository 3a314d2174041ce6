package gm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore/group"
)

// The first join is 2.01 and a re-join 2.04, both with the same Location-Path, also
// over another association of the same subject. RFC 9594, Section 4.3.1.
func TestStatement058_Rejoin(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		first := a.send(a.request(both))
		wantAnswer(t, first, coap.Created)
		before := w.group()
		second := a.send(a.request(both))
		wantAnswer(t, second, coap.Changed)
		if got, want := locationPath(second), locationPath(first); got != want || want != "/ace-group/hall/nodes/n0" {
			t.Errorf("Location-Path %q, then %q", want, got)
		}
		if g := w.group(); g.Num != before.Num || !bytes.Equal(g.GID, before.GID) {
			t.Error("a re-join rekeyed the group")
		}
		b := w.applicant("dev", both) // by a new token, as after another browser's assistance
		b.node = a.node
		third := b.send(b.request(both))
		wantAnswer(t, third, coap.Changed)
		if locationPath(third) != locationPath(first) || len(w.members()) != 1 {
			t.Errorf("the new association made another member: %v", w.members())
		}
	})
}

// A re-join brings another Sender ID; the old one is in the current stale set. KGO,
// Section 6.3.
func TestStatement059_RejoinRenewsSenderID(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	seen := map[string]bool{}
	var last []byte
	for i := range 4 {
		code := coap.Changed
		if i == 0 {
			code = coap.Created
		}
		r := wantAnswer(t, a.send(a.request(both)), code)
		g := w.group()
		if seen[string(r.Key.SenderID)] || g.isStale(r.Key.SenderID) {
			t.Errorf("Sender ID %x again", r.Key.SenderID)
		}
		if last != nil && !g.isStale(last) {
			t.Errorf("stale %x, want %x", g.current().SIDs, last)
		}
		seen[string(r.Key.SenderID)], last = true, r.Key.SenderID
	}
}

// What every Join Response holds, for members of all roles: exi, kdc_cred, kdc_nonce,
// kdc_cred_verify and the profile; the Group Manager's credential is of the group's
// kind, its nonce new each time. KGO, Section 6.3.
func TestStatement060_AlwaysPresent(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		nonces := map[string]bool{}
		for _, roles := range []ace.Role{ace.RoleRequester, ace.RoleResponder, both, ace.RoleMonitor} {
			if roles == ace.RoleMonitor && k.signs() == nil {
				continue
			}
			a := w.kindApplicant("dev "+roles.String(), k, roles)
			m := a.send(a.request(roles))
			r := wantAnswer(t, m, coap.Created)
			if format, _ := coap.ContentFormat(m); format != ace.FormatACEGroupcomm {
				t.Errorf("Content-Format %d", format)
			}
			got := labels(t, m.Payload)
			for _, label := range []int64{7, 8, 9, 10, 11, 12, 16, 17, 18, 19} {
				if got[label] == nil {
					t.Errorf("%v: parameter %d is missing", roles, label)
				}
			}
			if r.GKTY != 1 || r.Profile != 1 || r.Num != 0 || r.EXI != r.EXP-uint64(w.clock().Unix()) {
				t.Errorf("answer %+v", r)
			}
			if hex.EncodeToString(got[16]) != "a201190e100200" { // the defaults, {1: 3600, 2: 0}
				t.Errorf("group_policies %x", got[16])
			}
			if !bytes.Equal(r.KDCCred, w.credential(k)) || len(r.KDCNonce) < 8 || nonces[string(r.KDCNonce)] {
				t.Errorf("kdc_cred %x, kdc_nonce %x", r.KDCCred, r.KDCNonce)
			}
			nonces[string(r.KDCNonce)] = true
		}
	})
}

// keyLabels are those of `key` in a Join Response. KGO, Section 6.3.
func (k groupKind) keyLabels(monitor bool) []int64 {
	want := []int64{2, 5, 6, 8}
	if !monitor {
		want = append(want, 7)
	}
	if k.algs.HKDF != cose.HMAC256 {
		want = append(want, 3)
	}
	if k.algs.HasGroupMode() {
		want = append(want, 9, 10, 11)
	}
	if k.algs.HasPairwiseMode() {
		want = append(want, 4, 12, 13)
	}
	slices.Sort(want)
	return want
}

// `key` has the fields of the modes that the group uses, and no others: without the
// group mode neither 9, 10 nor 11, without the pairwise mode neither 4, 12 nor 13. The
// HKDF is there when it is not SHA-256. The same goes for keys that are asked for.
// KGO, Sections 6.3 and 9.1.
func TestStatement061_KeyOfEachKind(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both|ace.RoleMonitor)
		m := a.send(a.request(both))
		r := wantAnswer(t, m, coap.Created)
		check := func(what string, payload []byte, want []int64) {
			t.Helper()
			var got []int64
			for label := range labels(t, labels(t, payload)[8]) {
				got = append(got, label)
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s: fields %v, want %v", what, got, want)
			}
		}
		check("join", m.Payload, k.keyLabels(false))
		check("nodes/NODE", w.call(a.gm, coap.GET, locationPath(m), -1, nil).Payload, k.keyLabels(false))
		check("group", w.call(a.gm, coap.GET, "/ace-group/hall", -1, nil).Payload, k.keyLabels(true))
		if k.signs() != nil {
			check("monitor", a.send(a.request(ace.RoleMonitor)).Payload, k.keyLabels(true))
		}
		if !bytes.Equal(ace.Encode(r.Key.SignParams), ace.Encode(k.signs())) || !bytes.Equal(ace.Encode(r.Key.ECDHParams), ace.Encode(k.ecdh())) {
			t.Errorf("sign_params %v, ecdh_params %v", r.Key.SignParams, r.Key.ECDHParams)
		}
		got := group.Algorithms{AEAD: r.Key.Alg, GroupEnc: r.Key.GpEncAlg, Sign: r.Key.SignAlg, Pairwise: r.Key.ECDHAlg, HKDF: r.Key.HKDF}
		if got.HKDF == cose.Null {
			got.HKDF = cose.HMAC256
		}
		if got != k.algs || r.Key.CredFmt != 14 {
			t.Errorf("algorithms %+v, want %+v", got, k.algs)
		}
	})
}

// creds, peer_roles and peer_identifiers are there together when get_creds was in the
// request, also when there is nobody, and else not. RFC 9594, Section 4.3.1.
func TestStatement062_CredsWhenAsked(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	got := labels(t, a.send(a.request(both)).Payload)
	for _, label := range []int64{13, 14, 15} {
		if !bytes.Equal(got[label], []byte{0x80}) {
			t.Errorf("alone in the group: parameter %d is %x", label, got[label])
		}
	}
	w.join("two", both)
	filtered := func(f *ace.CredsFilter) func(*ace.JoinRequest) {
		return func(jr *ace.JoinRequest) { jr.GetCreds = ace.GetCreds{Filter: f} }
	}
	for what, tt := range map[string]struct {
		edit func(*ace.JoinRequest)
		want int // -1: absent
	}{
		"nobody asked":      {func(jr *ace.JoinRequest) { jr.GetCreds = ace.GetCreds{} }, -1},
		"null":              {func(*ace.JoinRequest) {}, 1},
		"a role":            {filtered(&ace.CredsFilter{Inclusive: true, Roles: []ace.Role{ace.RoleRequester}}), 1},
		"both roles":        {filtered(&ace.CredsFilter{Inclusive: true, Roles: []ace.Role{both}}), 1},
		"a role of nobody":  {filtered(&ace.CredsFilter{Inclusive: true, Roles: []ace.Role{ace.RoleMonitor}}), 0},
		"an identifier too": {filtered(&ace.CredsFilter{Inclusive: true, IDs: [][]byte{{99}}}), 0},
	} {
		m := a.edit(both, tt.edit)
		r, got := wantAnswer(t, m, coap.Changed), labels(t, m.Payload)
		there := got[13] != nil && got[14] != nil && got[15] != nil
		absent := got[13] == nil && got[14] == nil && got[15] == nil
		if tt.want < 0 && !absent || tt.want >= 0 && !there {
			t.Errorf("%s: %d parameters", what, len(got))
		}
		if n := max(tt.want, 0); len(r.Creds) != n || len(r.PeerRoles) != n || len(r.PeerIDs) != n {
			t.Errorf("%s: %d credentials, want %d", what, len(r.Creds), n)
		}
	}
}

// get_creds null gives a requester the responders, a responder or monitor the
// requesters, and nobody itself. KGO, Section 6.3.
func TestStatement063_RelevantCreds(t *testing.T) {
	w := newWorld(t)
	req, resp, two := w.join("req", ace.RoleRequester), w.join("resp", ace.RoleResponder), w.join("two", both)
	w.monitor("mon")
	a := w.applicant("dev", both|ace.RoleMonitor)
	code := coap.Created
	for _, tt := range []struct {
		roles ace.Role
		want  []*admitted
	}{
		{ace.RoleRequester, []*admitted{resp, two}},
		{ace.RoleResponder, []*admitted{req, two}},
		{both, []*admitted{req, resp, two}},
		{ace.RoleMonitor, []*admitted{req, two}},
	} {
		r := wantAnswer(t, a.send(a.request(tt.roles)), code)
		if len(r.Creds) != len(tt.want) {
			t.Fatalf("%v: %d credentials, want %d", tt.roles, len(r.Creds), len(tt.want))
		}
		for i, m := range tt.want {
			if !bytes.Equal(r.Creds[i], m.cred) || !bytes.Equal(r.PeerIDs[i], m.m.SenderID) || r.PeerRoles[i] != w.roles(m.subject) {
				t.Errorf("%v: credential %d is not %s's", tt.roles, i, m.subject)
			}
		}
		code = coap.Changed
	}
}

func (w *world) roles(subject string) ace.Role {
	for _, m := range w.members() {
		if m.Subject == subject {
			return m.Roles
		}
	}
	return 0
}

// monitor lets a monitor join and returns its association and the path of its node.
func (w *world) monitor(subject string) (*applicant, string) {
	w.t.Helper()
	a := w.applicant(subject, ace.RoleMonitor)
	resp := a.send(a.request(ace.RoleMonitor))
	wantAnswer(w.t, resp, coap.Created)
	return a, locationPath(resp)
}

// A joining node refuses an answer whose kdc_cred_verify is not the Group Manager's
// proof over its nonce: the signature, or in a pairwise-only group the MAC. KGO,
// Section 6.4.
func TestStatement064_ProofOfTheGroupManager(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		jr := a.request(both)
		raw := a.send(jr).Payload
		good := join.AcceptParams{NC: jr.CNonce, Trust: join.Trusts(w.cfg.Credential), Key: a.signer()}
		if _, err := join.AcceptWith(raw, good); err != nil {
			t.Fatal(err)
		}
		change := func(f func(*ace.JoinResponse)) []byte {
			r, err := ace.Decode[ace.JoinResponse](raw)
			if err != nil {
				t.Fatal(err)
			}
			f(r)
			return ace.Encode(r)
		}
		for what, bad := range map[string][]byte{
			"flipped":       change(func(r *ace.JoinResponse) { r.KDCCredVerify[0] ^= 1 }),
			"cut":           change(func(r *ace.JoinResponse) { r.KDCCredVerify = r.KDCCredVerify[:4] }),
			"missing":       change(func(r *ace.JoinResponse) { r.KDCCredVerify = nil }),
			"another nonce": change(func(r *ace.JoinResponse) { r.KDCNonce[0] ^= 1 }),
		} {
			if _, err := join.AcceptWith(bad, good); !errors.Is(err, join.ErrVerify) {
				t.Errorf("%s: %v", what, err)
			}
		}
		other := good
		other.NC = draw(w.rand, 8)
		if _, err := join.AcceptWith(raw, other); !errors.Is(err, join.ErrVerify) {
			t.Errorf("another N_C: %v", err)
		}
		other = good
		other.Trust = join.Trusts(w.node("gm").cred)
		if _, err := join.AcceptWith(raw, other); !errors.Is(err, join.ErrVerify) {
			t.Errorf("another Group Manager: %v", err)
		}
		if k.signs() == nil {
			other = good
			other.Key = w.kindNode("other", k).signer()
			if _, err := join.AcceptWith(raw, other); !errors.Is(err, join.ErrVerify) {
				t.Errorf("the MAC for another member: %v", err)
			}
		}
	})
}

// No Sender ID is longer than the shortest nonce of the group's algorithms less 6.
// RFC 10021, Section 2.2.
func TestStatement065_SenderIDLength(t *testing.T) {
	for _, tt := range []struct {
		aead, gpEnc cose.Algorithm
		bytes       int
	}{
		{cose.AESCCM16_64_128, cose.AESCCM16_64_128, 7},
		{cose.AESCCM16_64_128, cose.A128GCM, 6},
		{cose.A128GCM, cose.AESCCM16_64_128, 6},
		{cose.AESCCM64_64_128, cose.AESCCM16_64_128, 1},
		{cose.AESCCM16_64_128, cose.AESCCM64_64_128, 1},
		{cose.AESCCM16_64_128, cose.A128CTR, 6},
	} {
		algs := group.DefaultAlgorithms
		algs.AEAD, algs.GroupEnc = tt.aead, tt.gpEnc
		w := newEmptyWorld(t)
		room := uint64(1) << (8 * tt.bytes)
		if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: "more", Algs: algs, SenderIDs: room + 1}); err == nil {
			t.Errorf("%d and %d: room for a Sender ID of %d bytes", tt.aead, tt.gpEnc, tt.bytes+1)
		}
		if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: "full", Algs: algs, SenderIDs: room}); err != nil {
			t.Errorf("%d and %d: %v", tt.aead, tt.gpEnc, err)
		}
		if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, Algs: algs}); err != nil {
			t.Fatal(err)
		}
		if g := w.group(); g.SenderIDs > room || len(bigEndian(g.SenderIDs-1)) > tt.bytes {
			t.Errorf("%d and %d: %d Sender IDs by default", tt.aead, tt.gpEnc, g.SenderIDs)
		}
		w.setNextSID(w.group().SenderIDs - 1)
		a := w.applicant("dev", both)
		if r := wantAnswer(t, a.send(a.request(both)), coap.Created); len(r.Key.SenderID) > tt.bytes {
			t.Errorf("%d and %d: Sender ID %x", tt.aead, tt.gpEnc, r.Key.SenderID)
		}
		b := w.applicant("late", both)
		wantProblem(t, "one more", b.send(b.request(both)), coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial)
	}
}

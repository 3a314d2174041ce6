package join

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	_ "lamplighter/internal/cose/x509cert"
	"lamplighter/internal/oscore/group"
)

// certificate is somebody's credential in a group whose format is x5chain.
func certificate(t *testing.T, name string) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(seeded(name), template, template, newKey(name).Public(), newKey(name))
	if err != nil {
		t.Fatal(err)
	}
	return cbor.AppendBytes(nil, der)
}

// A group at another Group Manager may have certificates for credentials: members
// read them in its format, in the join and later, and talk.
func TestCertificates(t *testing.T) {
	gmCred, own, peer := certificate(t, "gm"), certificate(t, "me"), certificate(t, "peer")
	response := func() *ace.JoinResponse {
		r := goodResponse()
		r.Key.CredFmt = int(cose.X5Chain)
		r.KDCCred, r.Creds, r.PeerRoles, r.PeerIDs = gmCred, [][]byte{peer, credOf("a CCS")}, []ace.Role{6, 6}, [][]byte{{7}, {8}}
		return r
	}
	m, err := Accept(ace.Encode(response()), testNC, gmCred)
	if err != nil {
		t.Fatal(err)
	}
	if m.CredFmt != cose.X5Chain || string(kids(m.Peers)) != "\x07" {
		t.Errorf("format %d, peers %x", m.CredFmt, kids(m.Peers))
	}
	bad := response()
	bad.KDCCredVerify = ed25519.Sign(newKey("peer"), ace.KDCPoPInput(testNC, bad.KDCNonce))
	if _, err := Accept(ace.Encode(bad), testNC, gmCred); !errors.Is(err, ErrVerify) {
		t.Errorf("a proof of another key: %v", err)
	}
	c, err := m.Context(own, cose.NewEd25519(newKey("me")), nil, seeded("me"))
	if err != nil {
		t.Fatal(err)
	}
	outer, _, err := c.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs := *m
	theirs.SenderID, theirs.Peers = []byte{7}, []group.Peer{{KID: m.SenderID, Cred: own, Roles: 6}}
	other, err := theirs.Context(peer, cose.NewEd25519(newKey("peer")), nil, seeded("peer"))
	if err != nil {
		t.Fatal(err)
	}
	if _, b, err := other.UnprotectRequest(outer); err != nil || len(b.From.Cred) == 0 {
		t.Errorf("a request among certificates: %v", err)
	}
	offer := NewOffer("hall", 6, own, seeded("offer"))
	info := Info{DHCreds: []ace.KDCDHCred{{Groups: ace.GroupNames{"hall"}, CredFmt: int(cose.X5Chain), Cred: gmCred}}}
	proof, err := offer.proveIn("hall", cose.NewEd25519(newKey("me")), testNC, info)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := cose.NewEd25519(newKey("gm")).SharedSecret(cose.NewEd25519(newKey("me")).Public())
	if err != nil || !bytes.Equal(proof, ace.PoPMAC(shared, ace.PoPInput(offer.Scope, testNC, offer.NC))) {
		t.Errorf("the MAC with a certificate: %x %v", proof, err)
	}
	creds := ace.CredsResponse{Num: 3, Creds: [][]byte{peer}, PeerRoles: []ace.Role{6}, PeerIDs: [][]byte{{7}}}
	answer := coap.Respond(coap.Content, ace.FormatACEGroupcomm, ace.Encode(creds))
	client := NewMember(give(t, answer, answer), "hall", "")
	if got, _, err := client.WithFormat(m.CredFmt).AllCreds(t.Context()); err != nil || len(got) != 1 || !bytes.Equal(got[0].Cred, peer) {
		t.Errorf("credentials in the group's format: %v %v", got, err)
	}
	if got, _, err := client.AllCreds(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("certificates in a group of CCS: %v %v", got, err)
	}
}

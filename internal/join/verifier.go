package join

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// Verifier is the client of a signature verifier: it has a token with the verifier's
// role, is no member of the group, and cannot read what it checks. KGO, Section
// 8.5.1.
type Verifier struct{ m *Member }

// NewVerifier makes the client.
func NewVerifier(gm coap.Caller, group string) *Verifier { return &Verifier{NewMember(gm, group, "")} }

// SignatureData is what a verifier is told about one version of a group's keys.
type SignatureData struct {
	GID        []byte
	Algs       group.Algorithms // without the pairwise mode's in a signature-only group
	CredFmt    cose.Format
	Num        uint64
	Expires    uint64      // seconds since 1970, 0: unknown
	ExpiresIn  uint64      // seconds
	SignEncKey cose.Secret // Signature Encryption Key
}

// Data gets the data for signature verification. KGO, Section 9.6.
func (v *Verifier) Data(ctx context.Context) (*SignatureData, error) {
	resp, err := v.m.call(ctx, coap.GET, v.m.path("/verif-data"), 0, nil)
	if err != nil {
		return nil, err
	}
	r, err := decode[ace.VerifDataResponse](resp, ace.FormatACEGroupcomm)
	if err != nil {
		return nil, fmt.Errorf("reading data for signature verification: %w", err)
	}
	d, err := signatureData(r)
	if err != nil {
		return nil, fmt.Errorf("reading data for signature verification: %w", err)
	}
	return d, nil
}

func signatureData(r *ace.VerifDataResponse) (*SignatureData, error) {
	key := r.Key
	if key.ECDHAlg != cose.Null { // verifiers are not told the curve: it is that of the signatures
		key.ECDHParams = ace.ECDHParams(ace.ECDHCurve(key.SignAlg))
	}
	k, err := readKind(key)
	switch {
	case err != nil:
		return nil, err
	case r.GKTY != ace.GKTYGroupOSCORE || r.Profile != ace.ProfileCoAPGroupOSCOREApp:
		return nil, fmt.Errorf("%w: another kind of key", ErrDecode)
	case !k.algs.HasGroupMode():
		return nil, fmt.Errorf("%w: a group without signatures", ErrDecode)
	case len(key.GID) == 0, len(key.GID) > maxMaterialLen, len(r.SignEncKey) != cose.KeySize(k.algs.GroupEnc):
		return nil, fmt.Errorf("%w: Gid or Signature Encryption Key", ErrDecode)
	}
	return &SignatureData{
		GID: key.GID, Algs: k.algs, CredFmt: k.format, Num: r.Num,
		Expires: r.EXP, ExpiresIn: r.EXI, SignEncKey: r.SignEncKey,
	}, nil
}

// GMCred gets the Group Manager's credential with a signature over a fresh nonce.
// KGO, Section 9.5.2.
func (v *Verifier) GMCred(ctx context.Context, d *SignatureData, trust func(gmCred []byte) bool, rand io.Reader) ([]byte, error) {
	nc := make([]byte, nonceLen)
	if _, err := io.ReadFull(rand, nc); err != nil {
		return nil, fmt.Errorf("drawing N_C: %w", err)
	}
	resp, err := v.m.call(ctx, coap.FETCH, v.m.path("/kdc-cred"), ace.FormatACEGroupcomm, ace.Encode(ace.KDCCredRequest{CNonce: nc}))
	if err != nil {
		return nil, err
	}
	r, err := decode[ace.KDCCredResponse](resp, ace.FormatACEGroupcomm)
	if err == nil {
		err = kind{algs: d.Algs, format: d.CredFmt}.verifyGM(r, &AcceptParams{NC: nc, Trust: trust})
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Group Manager's credential: %w", err)
	}
	return r.KDCCred, nil
}

// Creds is [Member.Creds] for a verifier.
func (v *Verifier) Creds(ctx context.Context, kids [][]byte) ([]group.Peer, uint64, error) {
	return v.m.Creds(ctx, kids)
}

// Checker gets all that it takes to check signatures in the group now: the data, the
// Group Manager's credential, and the credentials of all members. Members who come
// later are named by [group.UnknownPeerError]: [Verifier.Creds] gets them. After a
// rekeying a new one is needed: its messages name another Gid.
func (v *Verifier) Checker(ctx context.Context, trust func(gmCred []byte) bool, rand io.Reader) (*group.Checker, *SignatureData, error) {
	d, err := v.Data(ctx)
	if err != nil {
		return nil, nil, err
	}
	v.m.format = d.CredFmt
	gmCred, err := v.GMCred(ctx, d, trust, rand)
	if err != nil {
		return nil, nil, err
	}
	peers, _, err := v.m.AllCreds(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, err := group.NewChecker(group.CheckerParams{
		GID: d.GID, SignatureEncryptionKey: d.SignEncKey, GMCred: gmCred, Algs: d.Algs, ParseCred: d.CredFmt.Parse,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("making a checker: %w", err)
	}
	for _, p := range peers {
		_ = c.SetPeer(p) // who cannot be known is not: its messages name it as unknown
	}
	return c, d, nil
}

// GroupName is a group as the Group Manager knows it by one of its Gids.
type GroupName struct {
	GID  []byte
	Name string
	Path string // of the group-membership resource, "/ace-group/hall"
}

// Names asks which groups have these Gids now; unknown Gids are left out. Whoever
// has a token may ask. KGO, Section 9.10.
func Names(ctx context.Context, gm coap.Caller, gids [][]byte) ([]GroupName, error) {
	m := Member{gm: gm}
	resp, err := m.call(ctx, coap.FETCH, "/ace-group", ace.FormatACEGroupcomm, ace.Encode(ace.GroupsRequest{GIDs: gids}))
	if err != nil || bytes.Equal(resp.Payload, []byte{0x40}) {
		return nil, err
	}
	r, err := decode[ace.GroupsResponse](resp, ace.FormatACEGroupcomm)
	if err != nil || len(r.GIDs) != len(r.Names) || len(r.GIDs) != len(r.URIs) {
		return nil, fmt.Errorf("reading names of groups: %w", ErrDecode)
	}
	var names []GroupName
	for i, gid := range r.GIDs {
		if !hasID(gids, gid) || !ace.ValidGroupName(r.Names[i]) { // what was not asked for is not taken
			return nil, fmt.Errorf("reading names of groups: %w", ErrDecode)
		}
		names = append(names, GroupName{gid, r.Names[i], r.URIs[i]})
	}
	return names, nil
}

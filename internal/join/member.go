package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// Member is a member's client at the Group Manager. It holds no state of its own
// and is as safe for concurrent use as its Caller. A refusal is a [*GMError], also
// [ErrNotMember] or [ErrNoToken] when that is the reason.
type Member struct {
	gm       coap.Caller
	group    string
	nodePath string
	format   cose.Format // of credentials; 0: CCS
}

// NewMember makes the client. nodePath is the node's path at the Group Manager,
// "/ace-group/hall/nodes/n3".
func NewMember(gm coap.Caller, group, nodePath string) *Member {
	return &Member{gm: gm, group: group, nodePath: nodePath}
}

// WithFormat returns the client for a group whose credentials are in another format
// than CCS: see [Membership.CredFmt].
func (m *Member) WithFormat(format cose.Format) *Member {
	other := *m
	other.format = format
	return &other
}

// maxCredsBatch bounds the credentials asked for at once, so that the answer fits
// a datagram.
const maxCredsBatch = 8

// call makes a request and turns an error answer into an error.
func (m *Member) call(ctx context.Context, method coap.Code, path string, format int, payload []byte) (*coap.Message, error) {
	req := coap.NewRequest(method, path, payload)
	if payload != nil {
		coap.AddUint(req, coap.OptionContentFormat, uint32(format))
	}
	resp, err := m.gm.Call(ctx, req)
	if err == nil {
		err = checkGM(resp)
	}
	if errors.Is(err, coap.ErrNoContext) { // an unprotected 4.01: it has forgotten the association
		err = fmt.Errorf("%w: %w", ErrNoToken, err)
	}
	if err != nil {
		return nil, fmt.Errorf("asking the Group Manager for %s: %w", path, err)
	}
	return resp, nil
}

func (m *Member) path(sub string) string { return "/ace-group/" + m.group + sub }

// Num is the version of the group's keys. RFC 9594, Section 4.7.1.
func (m *Member) Num(ctx context.Context) (uint64, error) {
	resp, err := m.call(ctx, coap.GET, m.path("/num"), 0, nil)
	if err != nil {
		return 0, err
	}
	var num uint64
	if len(resp.Payload) == 0 || resp.Payload[0]>>5 != cbor.Uint || cbor.Unmarshal(resp.Payload, &num) != nil {
		return 0, fmt.Errorf("reading the version of the keys: %w", ErrDecode)
	}
	return num, nil
}

// Creds gets the credentials of the members with the Sender IDs kids, in as many
// requests as that takes; unknown ones are left out. num is the version of the
// keys when it was answered, 0 when nobody was found. RFC 9594, Section 4.4.1.
func (m *Member) Creds(ctx context.Context, kids [][]byte) (peers []group.Peer, num uint64, err error) {
	for len(kids) > 0 {
		n := min(len(kids), maxCredsBatch)
		some, at, err := m.fetchCreds(ctx, ace.CredsFilter{Inclusive: true, IDs: kids[:n]})
		if err != nil {
			return peers, num, err
		}
		for _, p := range some { // what was not asked for is not taken
			if hasID(kids[:n], p.KID) {
				peers = append(peers, p)
			}
		}
		num, kids = max(num, at), kids[n:]
	}
	return peers, num, nil
}

// CredsByRole gets the credentials of all members that hold all of roles.
func (m *Member) CredsByRole(ctx context.Context, roles ace.Role) (peers []group.Peer, num uint64, err error) {
	return m.fetchCreds(ctx, ace.CredsFilter{Inclusive: true, Roles: []ace.Role{roles}})
}

func (m *Member) fetchCreds(ctx context.Context, f ace.CredsFilter) ([]group.Peer, uint64, error) {
	payload := ace.Encode(ace.CredsRequest{GetCreds: ace.GetCreds{Filter: &f}})
	resp, err := m.call(ctx, coap.FETCH, m.path("/creds"), ace.FormatACEGroupcomm, payload)
	if err != nil {
		return nil, 0, err
	}
	return m.readCreds(resp)
}

// AllCreds gets the credentials of all members, the own among them. RFC 9594,
// Section 4.4.2.
func (m *Member) AllCreds(ctx context.Context) (peers []group.Peer, num uint64, err error) {
	resp, err := m.call(ctx, coap.GET, m.path("/creds"), 0, nil)
	if err != nil {
		return nil, 0, err
	}
	return m.readCreds(resp)
}

func (m *Member) readCreds(resp *coap.Message) ([]group.Peer, uint64, error) {
	if bytes.Equal(resp.Payload, []byte{0x40}) { // nobody found
		return nil, 0, nil
	}
	r, err := decode[ace.CredsResponse](resp, ace.FormatACEGroupcomm)
	if err != nil {
		return nil, 0, fmt.Errorf("reading credentials: %w", err)
	}
	peers, err := kind{format: m.format}.peersOf(r.Creds, r.PeerRoles, r.PeerIDs, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("reading credentials: %w", err)
	}
	return peers, r.Num, nil
}

// Keys gets the current keys and returns old with them in place; the peers are
// old's. The Sender ID is old's too when the Group Manager has the same: see
// [Member.Update] for what to do when not. It fails with [ErrStale] when the
// answer is older than what the member has. RFC 9594, Section 4.8.1.
func (m *Member) Keys(ctx context.Context, old *Membership) (*Membership, error) {
	resp, err := m.call(ctx, coap.GET, m.nodePath, 0, nil)
	if err != nil {
		return nil, err
	}
	k, err := decode[ace.KeyResponse](resp, ace.FormatACEGroupcomm)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	if k.Num < old.Num {
		return nil, fmt.Errorf("reading keys: %w", ErrStale)
	}
	cur := *old
	if err := cur.install(k); err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	if (cur.SenderID == nil) != (old.SenderID == nil) || k.Num == old.Num && !bytes.Equal(cur.GID, old.GID) {
		return nil, fmt.Errorf("reading keys: %w: without a Sender ID or of another Gid", ErrDecode)
	}
	return &cur, nil
}

// StaleSIDs asks which Sender IDs became stale since the version v, which is older
// than the Group Manager's. KGO, Section 11.3.
func (m *Member) StaleSIDs(ctx context.Context, v uint64) (Purge, error) {
	resp, err := m.call(ctx, coap.FETCH, m.path("/stale-sids"), ace.FormatCBOR, ace.Encode(v))
	if err != nil {
		return Purge{}, err
	}
	if len(resp.Payload) == 0 {
		return Purge{All: true}, nil
	}
	var p Purge
	if err := cbor.Unmarshal(resp.Payload, &p.SIDs); err != nil {
		return Purge{}, fmt.Errorf("reading stale Sender IDs: %w", ErrDecode)
	}
	return p, nil
}

// Active reports whether the group is active. In an inactive one nobody sends or
// processes messages. KGO, Section 9.9.
func (m *Member) Active(ctx context.Context) (active bool, err error) {
	resp, err := m.call(ctx, coap.GET, m.path("/active"), 0, nil)
	if err != nil {
		return false, err
	}
	switch {
	case bytes.Equal(resp.Payload, ace.Encode(true)):
		return true, nil
	case bytes.Equal(resp.Payload, ace.Encode(false)):
		return false, nil
	}
	return false, fmt.Errorf("reading the group's status: %w", ErrDecode)
}

// Policies gets the group's policies, zero when it has none. RFC 9594, Section
// 4.6.1.
func (m *Member) Policies(ctx context.Context) (ace.GroupPolicies, error) {
	resp, err := m.call(ctx, coap.GET, m.path("/policies"), 0, nil)
	if err != nil || bytes.Equal(resp.Payload, []byte{0x40}) {
		return ace.GroupPolicies{}, err
	}
	r, err := decode[ace.PoliciesResponse](resp, ace.FormatACEGroupcomm)
	if err != nil {
		return ace.GroupPolicies{}, fmt.Errorf("reading policies: %w", err)
	}
	return r.Policies, nil
}

// Renew gets a new Sender ID under the same keys. KGO, Section 9.2.
func (m *Member) Renew(ctx context.Context) (senderID []byte, err error) {
	resp, err := m.call(ctx, coap.POST, m.nodePath, 0, nil)
	if err != nil {
		return nil, err
	}
	r, err := decode[ace.RenewalResponse](resp, ace.FormatACEGroupcomm)
	if err != nil || r.SenderID == nil || len(r.SenderID) > maxIDLen {
		return nil, fmt.Errorf("reading a new Sender ID: %w", ErrDecode)
	}
	return r.SenderID, nil
}

// Leave leaves the group; having left before is no error. KGO, Section 9.11.
func (m *Member) Leave(ctx context.Context) error {
	_, err := m.call(ctx, coap.DELETE, m.nodePath, 0, nil)
	if isGone(err) {
		return nil
	}
	return err
}

// GMCred gets the Group Manager's current credential, with a proof of possession
// over the membership's N_C; key is the member's own. RFC 9594, Section 4.5.1.
func (m *Member) GMCred(ctx context.Context, cur *Membership, trust func(gmCred []byte) bool, key cose.PrivateKey) ([]byte, error) {
	resp, err := m.call(ctx, coap.GET, m.path("/kdc-cred"), 0, nil)
	if err != nil {
		return nil, err
	}
	r, err := decode[ace.KDCCredResponse](resp, ace.FormatACEGroupcomm)
	if err != nil {
		return nil, fmt.Errorf("reading the Group Manager's credential: %w", err)
	}
	k := kind{algs: cur.Algs, format: cur.CredFmt}
	if err := k.verifyGM(r, &AcceptParams{NC: cur.NC, Trust: trust, Key: key}); err != nil {
		return nil, fmt.Errorf("reading the Group Manager's credential: %w", err)
	}
	return r.KDCCred, nil
}

// hasID reports whether id is one of ids.
func hasID(ids [][]byte, id []byte) bool {
	for _, i := range ids {
		if bytes.Equal(i, id) {
			return true
		}
	}
	return false
}

package join

import (
	"context"
	"fmt"
	"io"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// SelfParams are what a node that joins by itself brings along. A monitor brings
// neither Cred nor Key.
type SelfParams struct {
	Group      string
	Roles      ace.Role
	Cred       []byte // its authentication credential
	Key        cose.PrivateKey
	GMCred     []byte // the Group Manager's first credential, known in advance: see [Trusts]
	GetCreds   bool
	NS         []byte // from [Transfer]; nil: the Group Manager is asked for one
	Info       Info   // from [Transfer]; not looked at without NS
	ControlURI string // where the node takes rekeying messages; empty: nowhere
	Rand       io.Reader
}

func (p *SelfParams) monitor() bool { return !p.Roles.NeedsCredential() }

// Self runs the Join Request for a node that holds its own key: offer, proof,
// request, once more when the Group Manager wants another challenge, and
// [AcceptWith]. Group and NodePath are filled in. It fails with [ErrAlgorithm] for a
// group that the key does not fit, before a request when the Group Manager said so.
func Self(ctx context.Context, gm coap.Caller, p SelfParams) (*Membership, *Answer, error) {
	if p.NS == nil && !p.monitor() {
		c, err := Challenge(ctx, gm, p.Group)
		if err != nil {
			return nil, nil, err
		}
		p.NS, p.Info = c.NS, c.Info()
	}
	offer, answer, err := p.try(ctx, gm)
	if c, ok := asChallenge(err); ok {
		p.NS, p.Info = c.NS, c.Info()
		offer, answer, err = p.try(ctx, gm)
	}
	if err != nil {
		return nil, nil, err
	}
	m, err := AcceptWith(answer.Raw, AcceptParams{
		NC: offer.NC, Trust: Trusts(p.GMCred), Key: p.Key, Monitor: p.monitor(),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("joining %s: %w", p.Group, err)
	}
	m.Group, m.NodePath = p.Group, answer.NodePath
	return m, answer, nil
}

// try makes one Join Request with a fresh N_C. KGO, Section 6.2.1.
func (p *SelfParams) try(ctx context.Context, gm coap.Caller) (Offer, *Answer, error) {
	offer := NewOffer(p.Group, p.Roles, p.Cred, p.Rand)
	var proof []byte
	if !p.monitor() {
		err := p.Info.Check(p.Group, p.Key.Public())
		if err == nil {
			proof, err = offer.proveIn(p.Group, p.Key, p.NS, p.Info)
		}
		if err != nil {
			return offer, nil, fmt.Errorf("joining %s: %w", p.Group, err)
		}
	}
	req := offer.Request(proof, p.GetCreds)
	req.ControlURI = p.ControlURI
	answer, err := Join(ctx, gm, p.Group, req)
	return offer, answer, err
}

// UploadParams are what a member brings along to replace its credential.
type UploadParams struct {
	Roles ace.Role // of its latest Join Request
	Cred  []byte   // the new credential
	Key   cose.PrivateKey
	Rand  io.Reader
}

// Upload replaces the member's credential at the Group Manager. The Sender ID stays;
// the others learn of it when they ask for credentials. It takes two messages: the
// challenge, and what the group uses, are asked for first. KGO, Section 9.4.
func (m *Member) Upload(ctx context.Context, p UploadParams) error {
	c, err := Challenge(ctx, m.gm, m.group)
	if err != nil {
		return err
	}
	info := c.Info()
	if err := info.Check(m.group, p.Key.Public()); err != nil {
		return fmt.Errorf("uploading a credential: %w", err)
	}
	offer := NewOffer(m.group, p.Roles, p.Cred, p.Rand)
	proof, err := offer.proveIn(m.group, p.Key, c.NS, info)
	if err != nil {
		return fmt.Errorf("uploading a credential: %w", err)
	}
	_, err = m.call(ctx, coap.POST, m.nodePath+"/cred", ace.FormatACEGroupcomm, ace.Encode(ace.CredUpload{
		ClientCred: p.Cred, CNonce: offer.NC, ClientCredVerify: proof,
	}))
	return err
}

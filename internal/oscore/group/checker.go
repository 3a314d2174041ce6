package group

import (
	"bytes"
	"fmt"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// CheckerParams are what a [Checker] gets from the Group Manager. RFC 10021,
// Section 12.3.
type CheckerParams struct {
	GID                    []byte
	SignatureEncryptionKey cose.Secret
	GMCred                 []byte
	Algs                   Algorithms                            // the zero value: DefaultAlgorithms
	ParseCred              func([]byte) (cose.Credential, error) // nil: cose.ParseCCS

	// Verify is as in [Params].
	Verify func(public cose.PublicKey, message, sig []byte) bool
}

// Checker is an external signature checker of one epoch of a group: it verifies
// the countersignatures of messages in group mode without the keys that would
// decrypt them. It keeps nothing of what it checked and so does not notice
// replays. It is not safe for concurrent use. RFC 10021, Section 7.5.
type Checker struct {
	common
	peers map[string]checkedPeer
}

type checkedPeer struct {
	Peer
	public cose.PublicKey
}

// Checked is what a checker needs of a request for its responses; the caller
// keeps it by CoAP Token. It stays good when the group is rekeyed.
type Checked struct {
	// From is who signed the request; zero for one in pairwise mode, which has no
	// signature.
	From Peer
	// Server is the Sender ID of whom a request in pairwise mode went to, if the
	// caller knows it by other means; a response may leave it out.
	Server []byte

	request request
}

// NewChecker makes a checker that knows no members. It fails with [ErrMode] for
// a group without group mode.
func NewChecker(p CheckerParams) (*Checker, error) {
	shared, err := newCommon(p.GID, p.GMCred, p.Algs)
	if err != nil {
		return nil, err
	}
	if !shared.algs.hasGroup() {
		return nil, fmt.Errorf("checking signatures: %w", ErrMode)
	}
	if size := cose.KeySize(shared.algs.GroupEnc); len(p.SignatureEncryptionKey) != size {
		return nil, fmt.Errorf("a Signature Encryption Key of %d bytes, not %d", len(p.SignatureEncryptionKey), size)
	}
	if p.ParseCred != nil {
		shared.parseCred = p.ParseCred
	}
	if p.Verify != nil {
		shared.verify = p.Verify
	}
	shared.seKey = append(cose.Secret(nil), p.SignatureEncryptionKey...)
	return &Checker{common: shared, peers: map[string]checkedPeer{}}, nil
}

// SetPeer adds or replaces a member. It fails as [Context.SetPeer] does.
func (c *Checker) SetPeer(p Peer) error {
	if err := c.algs.checkSenderID(p.KID); err != nil {
		return err
	}
	cred, err := c.readCred(p.Cred, cose.PublicKey{})
	if err != nil {
		return fmt.Errorf("adding member %x: %w", p.KID, err)
	}
	c.peers[string(p.KID)] = checkedPeer{Peer{KID: present(p.KID), Cred: cred.Raw, Roles: p.Roles}, cred.Public}
	return nil
}

// RemovePeer forgets a member.
func (c *Checker) RemovePeer(kid []byte) { delete(c.peers, string(kid)) }

// CheckRequest verifies the countersignature of a request. It fails with
// [ErrMode] in pairwise mode (see [Checker.ReadRequest]), and otherwise as
// [Context.UnprotectRequest].
func (c *Checker) CheckRequest(outer *coap.Message) (Checked, error) {
	o, checked, err := c.read(outer)
	if err != nil {
		return Checked{}, err
	}
	checked.From, err = c.check(outer, o, o.KID, checked.request, true)
	if err != nil {
		return Checked{}, err
	}
	return checked, nil
}

// ReadRequest takes of a request in pairwise mode, which cannot be checked, what
// its responses need: they may be in group mode.
func (c *Checker) ReadRequest(outer *coap.Message) (Checked, error) {
	_, checked, err := c.read(outer)
	return checked, err
}

func (c *Checker) read(outer *coap.Message) (oscore.Option, Checked, error) {
	o, err := oscore.MessageOption(outer)
	if err != nil {
		return o, Checked{}, err
	}
	if o.KIDContext == nil || !bytes.Equal(o.KIDContext, c.gid) {
		return o, Checked{}, fmt.Errorf("request for another group: %w", coap.ErrNoContext)
	}
	if o.KID == nil || o.PIV == nil {
		return o, Checked{}, fmt.Errorf("%w: request without kid or Partial IV", oscore.ErrDecode)
	}
	return o, Checked{request: request{kid: present(o.KID), piv: present(o.PIV), kidContext: c.gid}}, nil
}

// CheckResponse verifies the countersignature of a response and says who made
// it. The Partial IV and the Gid that it does not carry are those of the request.
func (c *Checker) CheckResponse(outer *coap.Message, req Checked) (Peer, error) {
	o, err := oscore.MessageOption(outer)
	if err != nil {
		return Peer{}, err
	}
	gid := o.KIDContext
	if gid == nil {
		gid = req.request.kidContext
	}
	switch {
	case !bytes.Equal(gid, c.gid):
		return Peer{}, fmt.Errorf("response of another epoch: %w", coap.ErrNoContext)
	case o.PIV == nil && !bytes.Equal(req.request.kidContext, c.gid):
		return Peer{}, fmt.Errorf("%w: response of another epoch without Partial IV", oscore.ErrDecode)
	}
	kid := o.KID
	if kid == nil {
		kid = req.Server
	}
	if kid == nil {
		return Peer{}, fmt.Errorf("%w: response without kid", oscore.ErrDecode)
	}
	return c.check(outer, o, kid, req.request, false)
}

func (c *Checker) check(outer *coap.Message, o oscore.Option, kid []byte, r request, isRequest bool) (Peer, error) {
	if !o.Group {
		return Peer{}, ErrMode
	}
	sender, known := c.peers[string(kid)]
	if !known {
		return Peer{}, &UnknownPeerError{GID: c.gid, KID: bytes.Clone(kid)}
	}
	m := received(outer, o, r, isRequest, sender.Peer)
	ciphertext, err := c.split(outer.Payload, &m)
	if err != nil {
		return Peer{}, err
	}
	c.structures.set(&c.common, &m)
	if !c.verify(sender.public, c.structures.countersign(ciphertext), c.sig) {
		return Peer{}, oscore.ErrVerify
	}
	return sender.Peer, nil
}

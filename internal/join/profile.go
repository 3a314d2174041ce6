package join

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// Profile is a transport profile of ACE as a joining node uses it: how a token
// becomes an association with the Group Manager. What follows, [Self] and
// [Member], is the same over each.
type Profile interface {
	// ID is the profile's ace_profile, for the token request.
	ID() int

	// Transfer brings a token to the Group Manager and makes the association.
	Transfer(ctx context.Context, tok *ace.TokenResponse) (*Connection, error)
}

// Connection is an association with the Group Manager, and what the Group Manager
// said when it was made.
type Connection struct {
	coap.Watcher           // requests to the Group Manager, in blocks where that is needed
	NS           []byte    // the challenge for the proof of possession; nil: [Self] asks for one
	Info         Info      // empty when nothing was said
	Scope        ace.Scope // what the token grants, when the Authorization Server said so
}

// blockwise is a caller in blocks that observes, too.
type blockwise struct {
	*coap.BlockCaller
	watcher coap.Watcher
}

func inBlocks(w coap.Watcher, rand io.Reader) coap.Watcher {
	return blockwise{coap.NewBlockCaller(w, coap.BlockLimits{}, rand), w}
}

// Observe implements [coap.Watcher].
func (b blockwise) Observe(ctx context.Context, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	return b.watcher.Observe(ctx, req, each)
}

// OSCORE is the OSCORE profile. RFC 9203.
type OSCORE struct {
	Exchange    coap.Exchanger
	GM          netip.AddrPort
	RecipientID []byte           // the client's; may be empty
	Sequence    *oscore.Sequence // of the association's Sender Sequence Numbers
	Rand        io.Reader
}

// ID implements [Profile].
func (OSCORE) ID() int { return ace.ProfileOSCORE }

// Transfer implements [Profile]: the token is posted, and both sides derive the
// context from it and from two nonces. RFC 9203, Section 4.
func (p OSCORE) Transfer(ctx context.Context, tok *ace.TokenResponse) (*Connection, error) {
	a, err := Transfer(ctx, p.Exchange, p.GM, tok, p.RecipientID, p.Rand)
	if err != nil {
		return nil, err
	}
	c, err := a.Context(p.Sequence)
	if err != nil {
		return nil, err
	}
	scope, err := granted(tok)
	if err != nil {
		return nil, err
	}
	client := oscore.NewClient(c, p.Exchange, p.GM)
	return &Connection{inBlocks(client, p.Rand), a.NS, a.Info(), scope}, nil
}

// UpdateRights gives the Group Manager a new token for the key of an association,
// over the association itself. RFC 9202, Section 4; RFC 9203, Section 4.2.
func UpdateRights(ctx context.Context, gm coap.Caller, token []byte) error {
	resp, err := gm.Call(ctx, transferRequest(ace.AuthzInfoRequest{AccessToken: token}))
	if err == nil {
		err = checkGM(resp)
	}
	if err != nil {
		return fmt.Errorf("updating rights: %w", err)
	}
	return nil
}

// transferRequest is a POST to the Group Manager's /authz-info.
func transferRequest(body ace.AuthzInfoRequest) *coap.Message {
	m := coap.NewRequest(coap.POST, "/authz-info", ace.Encode(body))
	coap.AddUint(m, coap.OptionContentFormat, ace.FormatACE)
	return m
}

// granted reads the scope of a token response, if there is one.
func granted(tok *ace.TokenResponse) (ace.Scope, error) {
	if tok.Scope == nil {
		return ace.Scope{}, nil
	}
	scope, err := ace.ParseScope(tok.Scope)
	if err != nil {
		return ace.Scope{}, fmt.Errorf("%w: scope", ErrDecode)
	}
	return scope, nil
}

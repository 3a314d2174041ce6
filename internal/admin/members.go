package admin

import (
	"context"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// maxMembers bounds what one list takes.
const maxMembers = 1 << 20

// Members lists a group's members, in the order of their node names' bytes. It asks
// for page after page; who joins meanwhile may be missing.
func (c *Client) Members(ctx context.Context, name string) ([]ace.MemberInfo, error) {
	all := []ace.MemberInfo{}
	for {
		req := newRequest(coap.GET, name, nil, "members")
		if n := len(all); n > 0 {
			coap.AddOption(req, coap.OptionURIQuery, []byte("after="+all[n-1].Node))
		}
		resp, err := c.do(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("listing members: %w", err)
		}
		page, err := decode[ace.MembersResponse](resp)
		if err != nil {
			return nil, fmt.Errorf("listing members: %w", err)
		}
		for _, m := range *page {
			if n := len(all); n > 0 && m.Node <= all[n-1].Node || n == maxMembers {
				return nil, fmt.Errorf("listing members: %w: out of order, or without end", ErrDecode)
			}
			all = append(all, m)
		}
		if len(*page) < ace.MembersPage {
			return all, nil
		}
	}
}

// Evict ends memberships, by their node names; the others get new keys. KGO, Section
// 10.
func (c *Client) Evict(ctx context.Context, name string, nodes ...string) error {
	return c.post(ctx, name, "evict", ace.Encode(ace.EvictRequest{Nodes: nodes}))
}

// PreviewEvict says what [Client.Evict] would do.
func (c *Client) PreviewEvict(ctx context.Context, name string, nodes ...string) (*ace.RekeyPreview, error) {
	return c.preview(ctx, name, "evict", ace.Encode(ace.EvictRequest{Nodes: nodes, Preview: true}))
}

// Rekey gives a group new keys. KGO, Section 11.
func (c *Client) Rekey(ctx context.Context, name string) error {
	return c.post(ctx, name, "rekey", ace.Encode(ace.RekeyRequest{}))
}

// PreviewRekey says what [Client.Rekey] would do.
func (c *Client) PreviewRekey(ctx context.Context, name string) (*ace.RekeyPreview, error) {
	return c.preview(ctx, name, "rekey", ace.Encode(ace.RekeyRequest{Preview: true}))
}

// Progress says how far a group's latest rekeying is.
func (c *Client) Progress(ctx context.Context, name string) (*ace.RekeyProgress, error) {
	resp, err := c.do(ctx, newRequest(coap.GET, name, nil, "rekey"))
	if err != nil {
		return nil, fmt.Errorf("asking for a rekeying's progress: %w", err)
	}
	return decode[ace.RekeyProgress](resp)
}

func (c *Client) post(ctx context.Context, name, what string, body []byte) error {
	_, err := c.submit(ctx, name, what, body)
	if err != nil {
		return fmt.Errorf("asking for a %s: %w", what, err)
	}
	return nil
}

func (c *Client) preview(ctx context.Context, name, what string, body []byte) (*ace.RekeyPreview, error) {
	resp, err := c.submit(ctx, name, what, body)
	if err != nil {
		return nil, fmt.Errorf("previewing a %s: %w", what, err)
	}
	return decode[ace.RekeyPreview](resp)
}

func (c *Client) submit(ctx context.Context, name, what string, body []byte) (*coap.Message, error) {
	m := newRequest(coap.POST, name, body, what)
	coap.AddUint(m, coap.OptionContentFormat, ace.FormatCBOR)
	return c.do(ctx, m)
}

// decode reads an answer in application/cbor.
func decode[T any](m *coap.Message) (*T, error) {
	if format, ok := coap.ContentFormat(m); !ok || format != ace.FormatCBOR {
		return nil, fmt.Errorf("%w: Content-Format", ErrDecode)
	}
	v, err := ace.Decode[T](m.Payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	return v, nil
}

// Package admin is the Administrator's client of a Group Manager: it lists,
// creates, reads, changes and deletes groups, watches them, and evicts members and
// rekeys groups.
//
// Documents: draft-ietf-ace-oscore-gm-admin-17 ("GMA"); what is below a group
// configuration is this project's own (docs/servers.md).
//
// A [Client] works over any [coap.Caller] whose association comes of a token with
// admin entries; package join makes one. What is watched needs a [coap.Watcher]. It
// has no state, starts nothing by itself and is safe for concurrent use when its
// caller is.
package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// Client makes an administrator's requests.
type Client struct {
	gm   coap.Caller
	host string
}

// New makes a client. host is the Group Manager's as in the URIs by which it is
// reached, "[2001:db8::ab]:5691" or "gm.example.com": links to another host are not
// taken. Empty: only links without a host are.
func New(gm coap.Caller, host string) *Client { return &Client{gm, host} }

// Group is a group's configuration as it was read, and its ETag: a change that
// quotes it is done only if there was none in between.
type Group struct {
	Configuration ace.Configuration
	ETag          []byte
}

// Outcome is what the Group Manager decided when it made or changed a group.
type Outcome struct {
	Name       string            // in the end: another than asked for where that was taken
	JoiningURI string            // of the group-membership resource; empty when it points elsewhere
	ForeignURI string            // the joining_uri that is not taken because it points elsewhere
	ASURI      string            // of the Authorization Server for the group's members
	Told       ace.Configuration // the whole answer: with values that are not as asked for
}

// List lists the groups that the token speaks of. GMA, Section 6.1.
func (c *Client) List(ctx context.Context) (*Listing, error) {
	resp, err := c.call(ctx, coap.GET, "", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("listing groups: %w", err)
	}
	return c.listing(resp)
}

// Filter lists those of these groups that have all the values of a configuration;
// its group_name may be a pattern. GMA, Section 6.2.
func (c *Client) Filter(ctx context.Context, values ace.Configuration) (*Listing, error) {
	resp, err := c.call(ctx, coap.FETCH, "", ace.Encode(values), nil)
	if err != nil {
		return nil, fmt.Errorf("filtering groups: %w", err)
	}
	return c.listing(resp)
}

// Create makes a group. group_name is needed and is no more than a wish: see
// [Outcome]. What is left out gets its default; a group is inactive then. It fails
// with [ErrNameTaken], [ErrUnsupported], [ErrInvalid], [ErrDenied]. GMA, Section
// 6.3.
func (c *Client) Create(ctx context.Context, conf ace.Configuration) (*Outcome, error) {
	resp, err := c.call(ctx, coap.POST, "", ace.Encode(conf), nil)
	if err != nil {
		return nil, fmt.Errorf("creating a group: %w", err)
	}
	out, err := c.outcome(resp)
	if err != nil {
		return nil, fmt.Errorf("creating a group: %w", err)
	}
	if at := location(resp); !slices.Equal(at, []string{"manage", out.Name}) {
		return nil, fmt.Errorf("creating a group: %w: location %q", ErrDecode, at)
	}
	return out, nil
}

// Read reads a group's whole configuration. GMA, Section 6.4.
func (c *Client) Read(ctx context.Context, name string) (*Group, error) {
	resp, err := c.call(ctx, coap.GET, name, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("reading a group's configuration: %w", err)
	}
	return c.group(resp)
}

// ReadSome reads parameters by their labels (ace.AdminActive and so on); those that
// the group has not are absent. GMA, Section 6.5.
func (c *Client) ReadSome(ctx context.Context, name string, labels ...int) (*ace.Configuration, error) {
	body := ace.Encode(ace.ConfFilter{Labels: append([]int{}, labels...)})
	resp, err := c.call(ctx, coap.FETCH, name, body, nil)
	if err != nil {
		return nil, fmt.Errorf("reading parameters of a group: %w", err)
	}
	return configuration(resp)
}

// Overwrite replaces a group's configuration: what is left out gets its default,
// and the group is inactive unless active is given. With an ETag it fails with
// [ErrChanged] when the configuration is not that any more. GMA, Section 6.6.
func (c *Client) Overwrite(ctx context.Context, name string, conf ace.Configuration, etag []byte) (*Outcome, error) {
	return c.change(ctx, coap.POST, name, conf, etag)
}

// Patch changes the parameters that are given, and application groups by
// difference. It is an iPATCH, so repeating it does no harm, unless the difference
// deletes and adds the same name. It fails with [ErrConflict] when the result would
// contradict itself, and with an ETag as [Client.Overwrite] does. GMA, Section 6.7.
func (c *Client) Patch(ctx context.Context, name string, conf ace.Configuration, etag []byte) (*Outcome, error) {
	method := coap.IPATCH
	diff := conf.AppGroupsDiff.Or(ace.AppGroupsDiff{})
	if slices.ContainsFunc(diff.Delete, func(n string) bool { return slices.Contains(diff.Add, n) }) {
		method = coap.PATCH
	}
	return c.change(ctx, method, name, conf, etag)
}

// maxAttempts is how often [Client.Update] tries.
const maxAttempts = 4

// Update reads a group's configuration, asks edit what to change, and patches that;
// where somebody else changed the configuration in between it begins anew, a few
// times. edit may run more than once and returns no parameters for nothing to do.
func (c *Client) Update(ctx context.Context, name string, edit func(ace.Configuration) ace.Configuration) (*Outcome, error) {
	var err error
	for range maxAttempts {
		g, failed := c.Read(ctx, name)
		if failed != nil {
			return nil, failed
		}
		patch := edit(g.Configuration)
		if patch.IsZero() {
			return c.outcomeOf(g.Configuration), nil
		}
		var out *Outcome
		if out, err = c.Patch(ctx, name, patch, g.ETag); !errors.Is(err, ErrChanged) {
			return out, err
		}
	}
	return nil, err
}

func (c *Client) change(ctx context.Context, method coap.Code, name string, conf ace.Configuration, etag []byte) (*Outcome, error) {
	resp, err := c.call(ctx, method, name, ace.Encode(conf), etag)
	if err != nil {
		return nil, fmt.Errorf("changing a group's configuration: %w", err)
	}
	out, err := c.outcome(resp)
	if err == nil && out.Name != name {
		err = fmt.Errorf("%w: the answer is about another group", ErrDecode)
	}
	if err != nil {
		return nil, fmt.Errorf("changing a group's configuration: %w", err)
	}
	return out, nil
}

// Delete deletes a group. It fails with [ErrActive] for one that is active, and with
// an ETag as [Client.Overwrite] does. GMA, Section 6.8.
func (c *Client) Delete(ctx context.Context, name string, etag []byte) error {
	if _, err := c.call(ctx, coap.DELETE, name, nil, etag); err != nil {
		return fmt.Errorf("deleting a group: %w", err)
	}
	return nil
}

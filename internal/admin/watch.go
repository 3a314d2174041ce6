package admin

import (
	"context"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// Watch is something under observation (RFC 7641). Freshness weakens with time:
// renew now and then, and when the link was down.
type Watch struct {
	observation coap.Observation
	request     *coap.Message
}

// Renew registers once more; the current state comes again.
func (w *Watch) Renew() error { return w.observation.Again(w.request) }

// Close ends it. It may be called from the function that is told.
func (w *Watch) Close() { w.observation.Close() }

// WatchGroup tells each a group's configuration now and after every change. With an
// error it is called once, as its last call: [ErrNotFound] when the group was
// deleted, another [*Error] when the token does not permit it (any more), or what
// broke the observation. A Group Manager that does not let observe answers once:
// then last is true with no error. GMA, Section 4.1.
func (c *Client) WatchGroup(ctx context.Context, name string, each func(g *Group, last bool, err error)) (*Watch, error) {
	return watch(ctx, c, newRequest(coap.GET, name, nil), c.group, each)
}

// WatchList tells each the list of groups, as [Client.WatchGroup] does.
func (c *Client) WatchList(ctx context.Context, each func(l *Listing, last bool, err error)) (*Watch, error) {
	return watch(ctx, c, newRequest(coap.GET, "", nil), c.listing, each)
}

// WatchProgress tells each how far a group's latest rekeying is, as
// [Client.WatchGroup] does.
func (c *Client) WatchProgress(ctx context.Context, name string, each func(p *ace.RekeyProgress, last bool, err error)) (*Watch, error) {
	return watch(ctx, c, newRequest(coap.GET, name, nil, "rekey"), decode[ace.RekeyProgress], each)
}

func watch[T any](ctx context.Context, c *Client, req *coap.Message, read func(*coap.Message) (*T, error), each func(*T, bool, error)) (*Watch, error) {
	gm, ok := c.gm.(coap.Watcher)
	if !ok {
		return nil, ErrCannotWatch
	}
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	o, err := gm.Observe(ctx, req, func(m *coap.Message, err error) {
		if err == nil {
			err = check(m)
		}
		var v *T
		if err == nil {
			v, err = read(m)
		}
		each(v, err != nil || !coap.IsNotification(m), err)
	})
	if err != nil {
		return nil, err
	}
	return &Watch{o, req}, nil
}

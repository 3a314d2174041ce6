package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"lamplighter/bridge/control"
	"lamplighter/internal/as"
	"lamplighter/internal/commission"
)

// siteInfo is what an invitation link says beside the invitation: where to find
// everything.
type siteInfo struct {
	origin    string // of the page, such as https://lights.example
	name      string
	gm        netip.AddrPort
	gmCred    []byte
	multicast netip.AddrPort
}

// complete adds it to an invitation.
func (s siteInfo) complete(i commission.Invitation) commission.Invitation {
	i.GMAddress, i.GMCred = s.gm.String(), s.gmCred
	i.Multicast, i.Site = s.multicast.String(), s.name
	return i
}

// link makes a whole link of an invitation.
func (s siteInfo) link(i commission.Invitation) string {
	i = s.complete(i)
	return strings.TrimSuffix(s.origin, "/") + "/#" + i.Encode()
}

// What goes over the Authorization Server's control socket. Times are seconds
// since 1970.
type (
	inviteRequest struct {
		Name    string   `json:"name"`
		Role    string   `json:"role"`
		Groups  []string `json:"groups,omitempty"` // none: all
		Seconds int64    `json:"seconds"`          // how long the link works
	}
	invited struct {
		ID      string `json:"id"`
		Link    string `json:"link"`
		Expires int64  `json:"expires"`
	}
	person struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		Role    string `json:"role"`
		Since   int64  `json:"since,omitempty"`
		Expires int64  `json:"expires,omitempty"`
		Pending bool   `json:"pending,omitempty"` // invited, and did not enrol yet
		Revoked bool   `json:"revoked,omitempty"`
	}
	revokeRequest struct {
		Who string `json:"who"` // name or id
	}
)

// state says how a person stands, for a table.
func (p person) state() string {
	switch {
	case p.Revoked:
		return "revoked"
	case p.Pending:
		return "invited until " + time.Unix(p.Expires, 0).Format("2006-01-02 15:04")
	}
	return "since " + time.Unix(p.Since, 0).Format("2006-01-02")
}

// serveControl answers the operator's commands about people.
func (r *asRole) serveControl(data string, site siteInfo) error {
	mux := http.NewServeMux()
	control.Handle(mux, "POST /invite", func(ctx context.Context, _ *http.Request, in inviteRequest) (invited, error) {
		if in.Seconds < 1 || in.Seconds > int64(maxLifetime.Seconds()) {
			return invited{}, control.Refuse("an invitation works from a second to ten years")
		}
		i, expires, err := r.invite(ctx, in)
		if errors.Is(err, as.ErrName) || errors.Is(err, as.ErrPolicy) {
			err = control.Refuse("%w", err)
		}
		if err != nil {
			return invited{}, err
		}
		return invited{ID: string(i.ID), Link: site.link(i), Expires: expires.Unix()}, nil
	})
	control.Handle(mux, "GET /people", func(ctx context.Context, _ *http.Request, _ struct{}) ([]person, error) {
		return r.people(ctx)
	})
	control.Handle(mux, "POST /revoke", func(ctx context.Context, _ *http.Request, in revokeRequest) (person, error) {
		return r.revoke(ctx, in.Who)
	})
	serveBackup(mux, r.store, data, asName, r.logger)
	var err error
	r.control, err = control.Listen(data, asName, mux, r.logger)
	return err
}

// people lists everybody, by name and then by id.
func (r *asRole) people(ctx context.Context) ([]person, error) {
	all, err := r.server.People(ctx)
	if err != nil {
		return nil, err
	}
	list := []person{}
	for _, p := range all {
		list = append(list, person{ID: p.ID, Name: p.Name, Role: string(p.Role), Pending: p.Pending, Revoked: p.Revoked, Since: unix(p.Since), Expires: unix(p.Expires)})
	}
	return list, nil
}

// unix is a time in seconds since 1970, and 0 for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// revoke ends what the person with a name or an id may do.
func (r *asRole) revoke(ctx context.Context, who string) (person, error) {
	list, err := r.people(ctx)
	if err != nil {
		return person{}, err
	}
	p, err := find(list, who)
	if err != nil {
		return person{}, err
	}
	return p, r.server.Revoke(ctx, p.ID)
}

// find picks the one person that is meant: by id, or by a name that nobody else
// has.
func find(list []person, who string) (person, error) {
	var named []person
	for _, p := range list {
		if p.ID == who {
			return p, nil
		}
		if p.Name == who {
			named = append(named, p)
		}
	}
	open := slices.DeleteFunc(slices.Clone(named), func(p person) bool { return p.Revoked })
	switch {
	case len(open) == 1:
		return open[0], nil
	case len(named) == 0:
		return person{}, control.Refuse("nobody is called %q; `lamplighter people` lists all", who)
	case len(open) == 0:
		return person{}, control.Refuse("%q is revoked already", who)
	}
	lines := make([]string, len(open))
	for i, p := range open {
		lines[i] = p.ID + " (" + p.state() + ")"
	}
	return person{}, control.Refuse("%d people are called %q; revoke by id: %s", len(open), who, strings.Join(lines, ", "))
}

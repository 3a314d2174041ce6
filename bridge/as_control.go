package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
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

		// Whose devices the person shares, see [as.Policy]; not from outside.
		Site string `json:"-"`
		With string `json:"-"`
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
	since := "since " + time.Unix(p.Since, 0).Format("2006-01-02")
	if p.Expires == 0 {
		return since
	}
	end := time.Unix(p.Expires, 0)
	word := ", until "
	if !time.Now().Before(end) {
		word = ", ended "
	}
	return since + word + end.Format("2006-01-02 15:04")
}

// serveControl answers the operator's commands about people.
func (r *asRole) serveControl(data string, site siteInfo) error {
	mux := http.NewServeMux()
	control.Handle(mux, "POST /invite", func(ctx context.Context, _ *http.Request, in inviteRequest) (invited, error) {
		if in.Seconds < 1 || in.Seconds > int64(maxLifetime.Seconds()) {
			return invited{}, control.Refuse("an invitation works from a second to a year")
		}
		if in.Role == "" {
			return invited{}, control.Refuse("an invitation is to a role: %v", as.Roles)
		}
		if err := r.share(ctx, &in); err != nil {
			return invited{}, err
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
	control.Handle(mux, "POST /policy", func(ctx context.Context, _ *http.Request, in policyRequest) (policyText, error) {
		return r.policy(ctx, in)
	})
	control.Handle(mux, "POST /revoke", func(ctx context.Context, _ *http.Request, in revokeRequest) ([]person, error) {
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

// everybody is the site whose devices the people of an Authorization Server share:
// each of them may renew what another one joined.
const everybody = "everybody"

// share has a person share the devices that there are. Where people have enrolled
// without a site, as they did at first, those are the devices of the first of them.
func (r *asRole) share(ctx context.Context, in *inviteRequest) error {
	all, err := r.server.Installers(ctx)
	if err != nil {
		return err
	}
	in.Site = everybody
	var first as.Installer
	for _, i := range all {
		if i.Policy.Site == "" && (in.Site != "" || i.Since.Before(first.Since)) {
			first, in.Site, in.With = i, "", cmp.Or(i.Policy.With, i.ID)
		}
	}
	return nil
}

// revoke ends what the person with a name or an id may do, and returns who that
// was.
func (r *asRole) revoke(ctx context.Context, who string) ([]person, error) {
	list, err := r.people(ctx)
	if err != nil {
		return nil, err
	}
	found, err := find(list, who)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		// A person's invitations go with the person, who comes first.
		if err := r.server.Revoke(ctx, p.ID); err != nil && !errors.Is(err, as.ErrAbsent) {
			return nil, err
		}
	}
	return found, nil
}

// maxNamed is the length of what is repeated in an answer, in bytes.
const maxNamed = 64

// find picks who is meant by an id or a name: the one person of that name with the
// invitations to it, or all its invitations. Of several who enrolled it picks none.
func find(list []person, who string) ([]person, error) {
	var enrolled, pending []person
	known := false
	for _, p := range list {
		if p.ID != who && p.Name != who {
			continue
		}
		known = true
		switch {
		case p.Revoked:
		case p.ID == who:
			return []person{p}, nil
		case p.Pending:
			pending = append(pending, p)
		default:
			enrolled = append(enrolled, p)
		}
	}
	switch {
	case !known && len(who) > maxNamed: // a link, rather
		return nil, control.Refuse("nobody is called that; `lamplighter people` lists all")
	case !known:
		return nil, control.Refuse("nobody is called %q; `lamplighter people` lists all", who)
	case len(enrolled) > 1:
		lines := make([]string, len(enrolled))
		for i, p := range enrolled {
			lines[i] = p.ID + " (" + p.state() + ")"
		}
		return nil, control.Refuse("%d people are called %q; say which by the id: %s", len(enrolled), who, strings.Join(lines, ", "))
	case len(enrolled)+len(pending) == 0:
		return nil, control.Refuse("%q is revoked already", who)
	}
	return append(enrolled, pending...), nil
}

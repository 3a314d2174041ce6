package commission

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/admin"
)

// Problems of administration.
var (
	errGMDenied    = problem("gm-denied", "You have no rights for this at the Group Manager.", "Ask an administrator.")
	errGroupGone   = problem("group-gone", "The Group Manager has no such group or member any more.", "Reload what is shown.")
	errGroupBusy   = passing("group-changed", "Somebody else changed the group meanwhile.", "Look at what it is now, then decide again.")
	errGroupTaken  = problem("group-taken", "There is a group of this name already.", "Take another name.")
	errUnsupported = problem("config-unsupported", "The Group Manager does not support this.", "Choose other settings.")
)

// administrator is the client with which the browser administers groups, over its
// own association.
func (s *site) administrator() (*admin.Client, error) {
	addr, err := s.gmAddress()
	if err != nil {
		return nil, err
	}
	return admin.New(&s.gm, addr.String()), nil
}

// administer finds the administrator's client of the current site.
func (e *Engine) administer() (*site, *admin.Client, error) {
	s, err := e.site()
	if err != nil {
		return nil, nil, err
	}
	client, err := s.administrator()
	return s, client, err
}

// adminProblem turns a refusal of the Group Manager into a sentence.
func adminProblem(doing string, err error) error {
	if err == nil {
		return nil
	}
	var refusal *admin.Error
	for _, known := range []struct{ is, as error }{
		{admin.ErrDenied, errGMDenied}, {admin.ErrNotFound, errGroupGone}, {admin.ErrChanged, errGroupBusy},
		{admin.ErrNameTaken, errGroupTaken}, {admin.ErrUnsupported, errUnsupported}, {admin.ErrInvalid, errBadConfig}, {admin.ErrConflict, errBadConfig},
	} {
		if !errors.Is(err, known.is) {
			continue
		}
		told := known.as.(*Error).because(err)
		if errors.As(err, &refusal) && refusal.Detail != "" {
			told.Text += " It says: " + refusal.Detail
		}
		return told
	}
	return asProblem(with(atGM, doing, err))
}

// GroupConfig reads a group's configuration, and from now on the engine tells how
// far its rekeyings are.
func (e *Engine) GroupConfig(ctx context.Context, name string) (GroupConfig, error) {
	s, client, err := e.administer()
	if err != nil {
		return GroupConfig{}, err
	}
	g, err := client.Read(ctx, name)
	if err != nil {
		return GroupConfig{}, adminProblem("reading the settings of "+name, err)
	}
	s.mu.Lock()
	known := s.groups[name]
	s.mu.Unlock()
	if known != nil {
		s.follow(known)
	}
	return configView(name, &g.Configuration, hex.EncodeToString(g.ETag)), nil
}

// CreateGroup makes a group at the Group Manager; this browser may join it then.
func (e *Engine) CreateGroup(ctx context.Context, name string, change GroupChange) (GroupConfig, error) {
	s, client, err := e.administer()
	if err != nil {
		return GroupConfig{}, err
	}
	name = strings.TrimSpace(name)
	if !ace.ValidGroupName(name) || len(name) > 64 {
		return GroupConfig{}, errGroupName
	}
	if change.Multicast == nil {
		multicast := s.record().Multicast
		change.Multicast = &multicast
	}
	conf, err := change.configuration(ace.AdminPolicies{}, true)
	if err != nil {
		return GroupConfig{}, err
	}
	if list, err := client.List(ctx); err == nil && slices.Contains(list.Names, name) {
		return GroupConfig{}, errGroupTaken // the Group Manager would take another name
	}
	conf.GroupName = ace.Is(ace.NamedGroup(name))
	out, err := client.Create(ctx, conf)
	if err != nil {
		return GroupConfig{}, adminProblem("making "+name, err)
	}
	if err := s.addGroup(ctx, out.Name); err != nil {
		return GroupConfig{}, asProblem(err)
	}
	e.info("", "made the group "+out.Name)
	return e.GroupConfig(ctx, out.Name)
}

// ChangeGroup changes what is given; with the ETag of what was shown only if nobody
// else has changed the group since.
func (e *Engine) ChangeGroup(ctx context.Context, name string, change GroupChange) (GroupConfig, error) {
	_, client, err := e.administer()
	if err != nil {
		return GroupConfig{}, err
	}
	was, err := client.Read(ctx, name)
	if err != nil {
		return GroupConfig{}, adminProblem("reading the settings of "+name, err)
	}
	if change.ETag != "" && change.ETag != hex.EncodeToString(was.ETag) {
		return GroupConfig{}, errGroupBusy
	}
	conf, err := change.configuration(was.Configuration.Policies.Or(ace.AdminPolicies{}), false)
	if err != nil {
		return GroupConfig{}, err
	}
	if !conf.IsZero() {
		if _, err := client.Patch(ctx, name, conf, was.ETag); err != nil {
			return GroupConfig{}, adminProblem("changing "+name, err)
		}
		e.info("", "changed the settings of "+name)
	}
	return e.GroupConfig(ctx, name)
}

// DeleteGroup deletes a group; an active one is paused first. GMA, Section 6.8.
func (e *Engine) DeleteGroup(ctx context.Context, name string) error {
	s, client, err := e.administer()
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, name, ace.Configuration{Active: ace.Is(false)}, nil)
	if err == nil {
		err = client.Delete(ctx, name, nil)
	}
	if err != nil {
		return adminProblem("deleting "+name, err)
	}
	e.info("", "deleted the group "+name)
	return asError(s.dropGroup(ctx, name))
}

// PreviewKeys says what NewKeys would do.
func (e *Engine) PreviewKeys(ctx context.Context, name string) (RekeyPreview, error) {
	s, client, err := e.administer()
	if err != nil {
		return RekeyPreview{}, err
	}
	p, err := client.PreviewRekey(ctx, name)
	if err != nil {
		return RekeyPreview{}, adminProblem("asking what new keys would do", err)
	}
	return s.previewView(name, p), nil
}

// NewKeys rekeys a group. KGO, Section 11.
func (e *Engine) NewKeys(ctx context.Context, name string) error {
	_, client, err := e.administer()
	if err != nil {
		return err
	}
	return adminProblem("sending new keys", client.Rekey(ctx, name))
}

func (s *site) previewView(group string, p *ace.RekeyPreview) RekeyPreview {
	v := RekeyPreview{
		Stale: []string{}, Receive: len(p.Keys), Asking: len(p.Asking), Barred: s.nodeNames(group, p.Barred),
		OneToMany: p.ToMany, Messages: int(p.Posts + p.Notices + p.Multicasts),
	}
	for _, sid := range p.Stale {
		v.Stale = append(v.Stale, hex.EncodeToString(sid))
	}
	return v
}

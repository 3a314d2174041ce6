package commission

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/admin"
	"lamplighter/internal/cose"
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

// GroupMembers lists a group's members as the Group Manager has them.
func (e *Engine) GroupMembers(ctx context.Context, name string) ([]GroupMember, error) {
	s, client, err := e.administer()
	if err != nil {
		return nil, err
	}
	infos, err := client.Members(ctx, name)
	if err != nil {
		return nil, adminProblem("listing the members of "+name, err)
	}
	list := []GroupMember{}
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes := map[string]string{}
	for i := range infos {
		m := s.memberView(&infos[i])
		nodes[m.Node] = m.Name
		list = append(list, m)
	}
	if g := s.groups[name]; g != nil {
		g.nodes = nodes
	}
	return list, nil
}

// memberView is a member as it is drawn; s.mu is held.
func (s *site) memberView(m *ace.MemberInfo) GroupMember {
	own := cose.Thumbprint(s.rec.Cred)
	v := GroupMember{
		Node: m.Node, SenderID: hex.EncodeToString(m.SenderID), Roles: strings.Split(m.Roles.String(), "+"),
		Joined: int64(m.Joined) * 1000, Epoch: -1, Barred: m.Barred, You: string(m.Thumbprint) == string(own[:]),
	}
	if m.Num != nil {
		v.Epoch = int(*m.Num)
	}
	if m.Actor != "" {
		v.Obtainer = s.personName(m.Actor)
	}
	switch d := s.devices[m.Subject]; {
	case d != nil:
		v.Device, v.Name = d.id, d.rec.Name
		if v.Name == "" {
			v.Name = d.id
		}
	default:
		v.Name = s.personName(strings.TrimPrefix(m.Subject, "installer/"))
	}
	return v
}

// personName is how a person is called whose id the servers use; s.mu is held.
func (s *site) personName(id string) string {
	own := cose.Thumbprint(s.rec.Cred)
	if hex.EncodeToString(own[:16]) == id {
		return s.rec.Installer
	}
	if name := s.names[id]; name != "" {
		return name
	}
	return id[:min(len(id), 16)]
}

// PreviewEvict says what Evict would do.
func (e *Engine) PreviewEvict(ctx context.Context, name string, nodes []string) (RekeyPreview, error) {
	s, client, err := e.administer()
	if err != nil {
		return RekeyPreview{}, err
	}
	if len(nodes) == 0 {
		return RekeyPreview{}, errNothing
	}
	p, err := client.PreviewEvict(ctx, name, nodes...)
	if err != nil {
		return RekeyPreview{}, adminProblem("asking what evicting would do", err)
	}
	return s.previewView(name, p), nil
}

// Evict ends memberships, by their names at the Group Manager; the others get new
// keys. KGO, Section 10.
func (e *Engine) Evict(ctx context.Context, name string, nodes []string) error {
	s, client, err := e.administer()
	if err != nil {
		return err
	}
	if len(nodes) == 0 {
		return errNothing
	}
	infos, err := client.Members(ctx, name)
	if err == nil {
		err = client.Evict(ctx, name, nodes...)
	}
	if err != nil {
		return adminProblem("evicting", err)
	}
	return asError(s.forgetPlaces(ctx, name, infos, nodes))
}

// forgetPlaces takes evicted devices out of the list of a group's members.
func (s *site) forgetPlaces(ctx context.Context, name string, infos []ace.MemberInfo, nodes []string) error {
	for _, m := range infos {
		if !slices.Contains(nodes, m.Node) {
			continue
		}
		s.mu.Lock()
		d := s.devices[m.Subject]
		s.mu.Unlock()
		if d == nil {
			continue
		}
		s.e.info(d.id, "evicted from "+name)
		if err := s.updateDevice(ctx, d, func(r *deviceRecord) { r.Groups = r.withoutPlace(name) }); err != nil {
			return err
		}
	}
	s.touchGroup(name)
	return nil
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
		Stale: []string{}, Receive: len(p.Keys) + len(p.Asking), Asking: len(p.Asking), Barred: s.nodeNames(group, p.Barred),
		OneToMany: p.ToMany, Messages: int(p.Posts + p.Notices + p.Multicasts),
	}
	for _, sid := range p.Stale {
		v.Stale = append(v.Stale, hex.EncodeToString(sid))
	}
	return v
}

// nodeNames says who members are, by their names at the Group Manager.
func (s *site) nodeNames(group string, nodes []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{}
	for _, node := range nodes {
		name := node
		if g := s.groups[group]; g != nil && g.nodes[node] != "" {
			name = g.nodes[node]
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// refreshNames keeps in mind how people are called, and whether the person at this
// browser manages them.
func (s *site) refreshNames(records []personRecord, manages bool) {
	names := map[string]string{}
	for _, r := range records {
		names[r.ID] = r.Name
	}
	s.mu.Lock()
	changed := s.managesPeople != manages
	s.managesPeople, s.names = manages, names
	s.mu.Unlock()
	if changed {
		s.touchSite()
	}
}

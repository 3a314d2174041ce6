package commission

import (
	"bytes"
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
)

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
	if err := s.learnPlaces(ctx, name, infos); err != nil {
		return nil, asProblem(err)
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

// learnPlaces notes which devices whose labels are known here are members: somebody
// else may have joined them. Who is a member under another key than the label's is
// not that device.
func (s *site) learnPlaces(ctx context.Context, group string, infos []ace.MemberInfo) error {
	for _, m := range infos {
		d, err := s.device(m.Subject)
		if err != nil {
			continue // its label was not imported
		}
		r := s.of(d)
		if r.in(group) != nil || len(r.Thumbprint) == 0 || !bytes.HasPrefix(m.Thumbprint, r.Thumbprint) {
			continue
		}
		if err := s.updateDevice(ctx, d, func(r *deviceRecord) { r.Groups = r.withKID(group, m.SenderID) }); err != nil {
			return err
		}
	}
	return nil
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

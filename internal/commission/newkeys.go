package commission

import (
	"context"
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/join"
)

// updateKeys brings the membership up to date after a rekeying and reports
// whether it was. A browser that is no member any more joins again.
func (s *site) updateKeys(ctx context.Context, g *group) (changed bool, err error) {
	g.entering.Lock()
	defer g.entering.Unlock()
	return s.askKeys(ctx, g)
}

// askKeys is [site.updateKeys] while g.entering is held.
func (s *site) askKeys(ctx context.Context, g *group) (changed bool, err error) {
	client, old, err := s.client(g)
	if err != nil {
		return false, err
	}
	m, purged, changed, err := client.Update(ctx, old)
	if errors.Is(err, join.ErrNotMember) {
		err := s.selfJoin(ctx, g)
		if evicted(err) {
			return true, errors.Join(s.end(ctx, g, EndRemoved), EndRemoved.problem(g.name))
		}
		return true, err
	}
	if err != nil {
		return false, with(atGM, "getting the group's keys", err)
	}
	g.using.Lock()
	g.asked = s.e.cfg.Now()
	g.using.Unlock()
	if !changed {
		return false, nil
	}
	return true, s.install(ctx, g, m, purged)
}

// evicted says whether the Group Manager refused a join because an administrator had
// this member evicted.
func evicted(err error) bool {
	var gm *join.GMError
	return errors.As(err, &gm) && gm.HasID && gm.ID == ace.ErrorTerminated
}

// install takes new keys into use. g.entering is held.
func (s *site) install(ctx context.Context, g *group, m *join.Membership, purged join.Purge) error {
	if err := s.purge(ctx, g, purged); err != nil {
		return err
	}
	if err := s.setUp(ctx, g, m, true); err != nil {
		return err
	}
	s.e.info("", fmt.Sprintf("%s has new keys, version %d", g.name, m.Num))
	return nil
}

// purge forgets Sender IDs that became stale: somebody else may get them. Their
// devices stay members until one learns otherwise; their new Sender IDs are learnt
// from an answer or from the Group Manager.
func (s *site) purge(ctx context.Context, g *group, purged join.Purge) error {
	var stale []*device
	s.mu.Lock()
	for _, d := range s.devices {
		if p := d.rec.in(g.name); p != nil && len(p.SenderID) > 0 && purged.Has(p.SenderID) {
			stale = append(stale, d)
		}
	}
	s.mu.Unlock()
	for _, d := range stale {
		err := s.updateDevice(ctx, d, func(r *deviceRecord) { r.Groups = r.withKID(g.name, nil) })
		if err != nil {
			return err
		}
	}
	return nil
}

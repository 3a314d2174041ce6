package commission

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// watched is a resource of a group that a member observes at the Group Manager.
// KGO, Sections 9.1, 9.9, 10 and 11.1; RFC 9594, Section 6.1.
type watched uint8

const (
	watchKeys   watched = iota // /ace-group/G: rekeying messages, and the group's end
	watchNode                  // nodes/N: the own eviction
	watchActive                // active: whether the group rests
	watchCount
)

func (k watched) path(m *join.Membership) string {
	return [...]string{"/ace-group/" + m.Group, m.NodePath, "/ace-group/" + m.Group + "/active"}[k]
}

// heard is what came of one of them.
type heard struct {
	kind watched
	msg  *coap.Message
	err  error
	term uint64 // of the membership that it was said of
}

// watch keeps the browser told of a group: new keys, whether it rests, its own
// eviction and the group's end. What the Group Manager does not tell by itself is
// asked for from time to time, and after every interruption. It goes on until the
// membership ends or the site is left.
func (s *site) watch(g *group) {
	s.mu.Lock()
	begun := g.watching
	g.watching = g.watching || s.ctx.Err() == nil
	s.mu.Unlock()
	if begun {
		return
	}
	s.background(func(ctx context.Context) {
		var useless *oscore.Client
		for try := 1; ctx.Err() == nil && s.membership(g) != nil; try++ {
			client, err := s.watchRound(ctx, g, useless)
			if useless = nil; unknownContext(err) || errors.Is(err, join.ErrNoToken) {
				useless = client
			}
			if err == nil {
				try = 0 // it was good as long as it lasted
				continue
			}
			s.setTold(g, false)
			s.e.cfg.Logger.Debug("a group is not watched", "group", g.name, "err", err)
			if up, back := s.e.linkUp(); !up {
				select {
				case <-back:
				case <-ctx.Done():
				}
			}
			sleep(ctx, s.backoff(try))
		}
		s.setTold(g, false)
		s.mu.Lock()
		g.watching = false
		s.mu.Unlock()
	})
}

// watchRound registers once and listens until that breaks, or it is time to
// register anew. With no error the next round follows at once.
func (s *site) watchRound(ctx context.Context, g *group, useless *oscore.Client) (*oscore.Client, error) {
	if err := s.ensureMember(ctx, g); err != nil {
		return nil, err
	}
	client, err := s.gm.open(ctx, useless)
	m, term := s.membership(g), s.term(g)
	if err != nil || m == nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news := make(chan heard, 16)
	for kind := range watchCount {
		req := coap.NewRequest(coap.GET, kind.path(m), nil)
		coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
		o, err := client.Observe(ctx, req, func(msg *coap.Message, err error) {
			select {
			case news <- heard{kind, msg, err, term}:
			case <-ctx.Done():
			}
		})
		if err != nil {
			return client, err
		}
		defer o.Close()
	}
	return client, s.listen(ctx, g, m, news)
}

// listen acts on what comes. A membership that another takes the place of ends the
// round.
func (s *site) listen(ctx context.Context, g *group, m *join.Membership, news <-chan heard) error {
	again := time.NewTimer(s.e.cfg.Tuning.Renew)
	defer again.Stop()
	ask := time.NewTimer(s.e.cfg.Tuning.Ask)
	defer ask.Stop()
	told := map[watched]bool{}
	for ctx.Err() == nil {
		select {
		case h := <-news:
			if err := s.heed(ctx, g, h); err != nil {
				return err
			}
			if now := s.membership(g); now == nil || now.NodePath != m.NodePath {
				return nil
			}
			told[h.kind] = coap.HasOption(h.msg, coap.OptionObserve)
			s.setTold(g, told[watchKeys])
		case <-ask.C:
			if len(told) < int(watchCount) || !told[watchKeys] || !told[watchActive] {
				return nil // to register is to ask
			}
		case <-again.C:
			return nil
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// heed acts on one response or notification. An error ends the round.
func (s *site) heed(ctx context.Context, g *group, h heard) error {
	if h.err != nil {
		return h.err
	}
	var gm *join.GMError
	err := join.Refusal(h.msg)
	switch {
	case err == nil:
	case errors.As(err, &gm) && gm.HasID && gm.ID == ace.ErrorDeleted:
		return s.endMembership(ctx, g, h.term, EndDeleted)
	case errors.As(err, &gm) && gm.HasID && gm.ID == ace.ErrorTerminated:
		return s.endMembership(ctx, g, h.term, EndRemoved)
	case errors.Is(err, join.ErrNotMember), errors.Is(err, join.ErrNoToken):
		_, asked := s.updateKeys(ctx, g) // it finds out what that means
		return errors.Join(err, asked)
	default:
		return nil // a Group Manager that lacks the resource
	}
	switch h.kind {
	case watchKeys:
		return s.heedKeys(ctx, g, h.msg)
	case watchActive:
		var active bool
		if cbor.Unmarshal(h.msg.Payload, &active) == nil {
			s.setPaused(g, !active)
		}
	}
	return nil
}

// heedKeys takes a rekeying message, or the answer to the registration.
func (s *site) heedKeys(ctx context.Context, g *group, m *coap.Message) error {
	msg, err := join.ReadControl(m)
	if err != nil {
		num, err := join.ReadNum(m)
		if old := s.membership(g); err == nil && old != nil && num > old.Num {
			_, err = s.updateKeys(ctx, g)
		}
		return err
	}
	return s.hear(ctx, g, msg)
}

// hear acts on a message about the keys that is the Group Manager's. KGO, Section
// 11.2.
func (s *site) hear(ctx context.Context, g *group, msg *ace.Control) error {
	g.entering.Lock()
	defer g.entering.Unlock()
	client, old, err := s.client(g)
	if err != nil {
		return err
	}
	next, purged, news, err := old.Hear(msg)
	if err == nil && next != nil {
		err = next.Fits(cose.NewEd25519(s.key()).Public())
	}
	switch {
	case errors.Is(err, join.ErrAlgorithm):
		return errors.Join(s.end(ctx, g, EndAlgorithms), client.Leave(ctx))
	case err != nil:
		return with(atGM, "reading new keys", err)
	}
	switch news {
	case join.NothingNew:
		return nil
	case join.GroupDeleted:
		return s.end(ctx, g, EndDeleted)
	case join.MissedKeys:
		if next == nil {
			_, err := s.askKeys(ctx, g)
			return err
		}
		stale, err := client.StaleSIDs(ctx, old.Num)
		if err != nil {
			return with(atGM, "asking who left", err)
		}
		purged.All, purged.SIDs = stale.All, append(purged.SIDs, stale.SIDs...)
		next = next.Without(stale)
	}
	return s.install(ctx, g, next, purged)
}

func (s *site) setTold(g *group, told bool) {
	s.mu.Lock()
	changed := g.told != told
	g.told = told
	s.mu.Unlock()
	if changed {
		s.touchGroup(g.name)
	}
}

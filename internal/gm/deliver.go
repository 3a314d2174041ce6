package gm

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// pass tells the members of a group who are to be told now, and says when the next
// ones are. RFC 9594, Section 6; KGO, Section 11.
func (s *Server) pass(ctx context.Context, name string) (time.Time, error) {
	if err := s.noteHeard(ctx); err != nil {
		return time.Time{}, err
	}
	p, err := s.plan(ctx, name)
	if err != nil || p == nil {
		return time.Time{}, err
	}
	if err := s.multicast(ctx, p); err != nil {
		return time.Time{}, err
	}
	s.notifyObservers(ctx, p)
	s.postAll(ctx, p)
	if ctx.Err() != nil {
		return time.Time{}, ctx.Err()
	}
	return s.conclude(ctx, p)
}

// plan reads a group, its job and where every member stands; nil when there is no
// job under way.
func (s *Server) plan(ctx context.Context, name string) (p *plan, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		p, err = s.planIn(tx, name)
		return err
	})
	return p, err
}

// notifyObservers tells those who observe: each gets its own message as a
// notification, a rekeying message of the group or the keys of its own resource. RFC
// 9594, Sections 6.1 and 4.8.1.
func (s *Server) notifyObservers(ctx context.Context, p *plan) {
	due := p.by(wayObserve, s.cfg.Now())
	if len(due) == 0 {
		return
	}
	byID := map[string]*target{}
	for _, t := range due {
		for _, id := range t.ids {
			byID[id] = t
		}
	}
	for _, kind := range []observable{observedGroup, observedNode} {
		s.tell(kind, p.g.Name, func(req *coap.Request) *coap.Message {
			t := byID[req.Peer.Name]
			if t == nil || t.observes != kind { // over every registration: one may be of a link that was lost
				return nil
			}
			payload, err := s.messageFor(ctx, p, t)
			if payload == nil || err != nil {
				return nil
			}
			t.state = stateTold
			return coap.Respond(coap.Content, ace.FormatACEGroupcomm, payload)
		})
	}
}

// messageFor makes the rekeying message for one member; nil when the member or the
// job is gone meanwhile.
func (s *Server) messageFor(ctx context.Context, p *plan, t *target) (payload []byte, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		payload = nil
		g, err := load[groupRecord](tx, groupKey(p.g.Name))
		if err != nil || g == nil || g.Num != p.job.Num {
			return err
		}
		m, err := load[memberRecord](tx, memberKey(g.Name, t.m.Node))
		if err != nil || m == nil {
			return err
		}
		if a, err := load[associationRecord](tx, associationKey(t.assoc)); err != nil || a == nil {
			return err
		} else if barred, err := isBarred(tx, a); err != nil || barred {
			return err
		}
		if t.observes == observedNode {
			r := g.keyAnswer(m.SenderID, s.cfg.Now())
			r.MgtKeyMaterial, err = s.material(g, t.leaf, t.m)
			payload = ace.Encode(r)
			return err
		}
		if t.p.Has <= g.ConfigNum && g.ConfigNum > 0 { // keys alone would be used in the old way
			payload = ace.Encode(g.configNotice())
			return nil
		}
		msg, err := g.rekeyingMessage(tx, p.job, g.secondsLeft(s.cfg.Now()))
		if err != nil {
			return err
		}
		if t.needsMaterial() {
			if msg.MgtKeyMaterial, err = s.material(g, t.leaf, t.m); err != nil {
				return err
			}
		}
		payload = ace.Encode(msg)
		return nil
	})
	return payload, err
}

// postAll sends rekeying messages to control_uris.
func (s *Server) postAll(ctx context.Context, p *plan) {
	due := p.by(wayControl, s.cfg.Now())
	n := &noted{s: s, p: p}
	for _, t := range p.targets {
		if t.way == wayObserve && t.state == stateTold && t.p.State != stateTold {
			n.add(ctx, t) // was notified just before
		}
	}
	n.during(ctx, func(posting context.Context) {
		s.each(posting, len(due), func(i int) {
			s.postTo(posting, p, due[i])
			n.add(ctx, due[i])
		})
	})
}

// postTo makes one attempt to tell a member. A 2.04 says that it has the keys.
func (s *Server) postTo(ctx context.Context, p *plan, t *target) {
	payload, err := s.messageFor(ctx, p, t)
	if payload == nil && err == nil {
		return // superseded: the next plan knows
	}
	var resp *coap.Message
	if err == nil {
		resp, err = s.post(ctx, t.assoc, t.m.ControlURI, coap.POST, payload)
	}
	switch {
	case ctx.Err() != nil:
		return
	case err == nil && coap.Class(resp.Code) == 2:
		t.state = stateConfirmed
		return
	case err == nil:
		err = errors.New("it answered " + coap.CodeString(resp.Code))
	}
	t.p.Tries++
	if t.p.Next = s.cfg.Now().Add(backoff(t.p.Tries)).UnixMilli(); t.p.Tries >= maxTries {
		t.state = stateFailed
	}
	s.log.Info("a member was not told", "group", p.g.Name, "node", t.m.Node, "num", p.job.Num, "try", t.p.Tries, "last", t.state == stateFailed, "err", err)
}

// record makes durable what members are known to have, or how often they were
// tried. A job that was superseded is of no interest any more, but what a member
// confirmed is.
func (s *Server) record(ctx context.Context, p *plan, done []*target) error {
	return s.commit(ctx, "rekeying progress", func(tx store.Tx) error {
		for _, t := range done {
			m, err := tx.Get(memberKey(p.g.Name, t.m.Node))
			if err != nil {
				return err
			}
			if m == nil {
				continue
			}
			if err := s.recordOne(tx, p, t); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Server) recordOne(tx store.Tx, p *plan, t *target) error {
	if t.state == stateConfirmed {
		return p.g.has(tx, t.m.Node, p.job.Num)
	}
	old, err := loadProgress(tx, p.g.Name, t.m.Node)
	if err != nil || old.Has > p.job.Num || old.Job > p.job.Num {
		return err
	}
	return save(tx, progressKey(p.g.Name, t.m.Node), &memberProgress{
		Has: old.Has, Job: p.job.Num, State: t.state, Tries: t.p.Tries, Next: t.p.Next,
	})
}

// conclude writes what a pass came to, and ends the job when nobody is left whom it
// could tell.
func (s *Server) conclude(ctx context.Context, p *plan) (next time.Time, err error) {
	var changed []*target
	for _, t := range p.targets {
		if (t.way == wayControl || t.way == wayObserve) && (t.state != t.p.State || t.p.Tries > 0) {
			changed = append(changed, t)
		}
		if t.way == wayControl && t.state == statePending {
			next = sooner(next, time.UnixMilli(t.p.Next))
		}
		if t.way == wayObserve && t.state == statePending { // it observes no longer
			next = sooner(next, s.cfg.Now().Add(time.Second))
		}
	}
	if p.job.toMany() && p.job.Sent < maxSent {
		next = sooner(next, time.UnixMilli(p.job.Next))
	}
	if len(changed) > 0 {
		if err := s.record(ctx, p, changed); err != nil {
			return time.Time{}, err
		}
	}
	if next.IsZero() {
		err = s.endJob(ctx, p)
	}
	s.announce(p.g.Name)
	return next, err
}

// endJob marks a job as done and logs how it went. KGO, Section 15.1.
func (s *Server) endJob(ctx context.Context, p *plan) error {
	ended := false
	err := s.commit(ctx, "end of rekeying", func(tx store.Tx) error {
		ended = false
		job, err := load[rekeyJob](tx, jobKey(p.g.Name))
		if err != nil || job == nil || job.Num != p.job.Num || job.Ended != 0 {
			return err
		}
		job.Ended, ended = s.cfg.Now().UnixMilli(), true
		return save(tx, jobKey(p.g.Name), job)
	})
	if err == nil && ended {
		count := map[state]int{}
		for _, t := range p.targets {
			if t.way == wayMulticast {
				t.state = stateTold
			}
			count[t.state]++
		}
		s.log.Info("a rekeying has ended", "group", p.g.Name, "num", p.job.Num, "reason", string(p.job.Reason),
			"confirmed", count[stateConfirmed], "told", count[stateTold], "failed", count[stateFailed],
			"barred", count[stateBarred], "asking", count[stateAsks])
	}
	return err
}

package gm

import (
	"context"
	"errors"
	"strings"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// noticeKind is what a member is told at its control_uri beside new keys.
type noticeKind uint8

const (
	noticeEvicted  noticeKind = iota + 1 // DELETE. KGO, Section 10
	noticeDeleted                        // the group is no more. GMA, Section 6.8.1
	noticeOutdated                       // there are newer keys, which it does not get
	noticeAll                            // DELETE to the group address: all were evicted. KGO, Section 10
	noticeStatus                         // the group is paused, or goes on
)

// notice is word for somebody that is durable until it has arrived or was tried
// often enough.
type notice struct {
	Kind    noticeKind `cbor:"1,keyasint"`
	Assoc   string     `cbor:"2,keyasint"`
	URI     string     `cbor:"3,keyasint"`
	Payload []byte     `cbor:"4,keyasint"`
	Tries   int        `cbor:"5,keyasint"`
	Next    int64      `cbor:"6,keyasint"` // milliseconds since 1970
	Born    int64      `cbor:"7,keyasint"`
	key     string
}

const maxNoticeTries = 4

func noticeKey(name, subject string) string { return "r/n/" + name + "/" + hexString(subject) }

// putNotice has a notice sent at the next opportunity; one for the same member of the same
// group is replaced.
func (s *Server) putNotice(tx store.Tx, name, subject string, n *notice) error {
	n.Born = s.cfg.Now().UnixMilli()
	if err := save(tx, noticeKey(name, subject), n); err != nil {
		return err
	}
	afterwards(tx, func() { s.jobs.add(forNotices) })
	return nil
}

// forgetNotice takes back what was to be told to somebody who is a member (again).
func (s *Server) forgetNotice(tx store.Tx, name, subject string) error {
	key := noticeKey(name, subject)
	afterwards(tx, func() { s.jobs.stop(key) })
	return tx.Delete(key)
}

// tellEvicted tells a member that it was evicted, in one of two ways: a DELETE to
// its control_uri, or the end of its observation of nodes/NODE. KGO, Section 10.
func (s *Server) tellEvicted(tx store.Tx, name string, m *memberRecord, why Reason) error {
	all, err := indexed(tx, ownerKey(m.Subject, ""))
	if err != nil {
		return err
	}
	ids, best := make([]string, len(all)), ""
	for i, a := range all {
		ids[i] = a.ID
		if uint64(s.cfg.Now().Unix()) < a.Expires && (a.ID == m.Assoc || best != m.Assoc) {
			best = a.ID // the newest, or the one that it joined over
		}
	}
	posted := m.ControlURI != "" && s.cfg.Exchange != nil && best != ""
	if posted {
		if err := s.putNotice(tx, name, m.Subject, &notice{Kind: noticeEvicted, Assoc: best, URI: m.ControlURI}); err != nil {
			return err
		}
	}
	afterwards(tx, func() {
		if !posted {
			s.tellOver(observedNode, name, ids, gone())
		}
		if why == ReasonExpired { // what else it observes ends as its token does. RFC 9200, Section 5.10.3
			s.tellOver(observedGroup, name, ids, s.unauthorized())
			s.tellOver(observedActive, name, ids, s.unauthorized())
		}
		s.unobserve(name, ids)
	})
	return nil
}

// tellDeleted tells all members of a group that it is deleted: at their
// control_uris, or by the end of their observation of the group. GMA, Section 6.8.1;
// RFC 9594, Section 6.1.
func (s *Server) tellDeleted(tx store.Tx, g *groupRecord) error {
	members, err := everyMember(tx, g.Name)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.ControlURI == "" || s.cfg.Exchange == nil {
			continue
		}
		live, _, err := s.links(tx, g.Name, m, nil)
		if err != nil {
			return err
		}
		if len(live) == 0 || s.observed.any(observedGroup, g.Name, []string{live[0].ID}) {
			continue
		}
		n := &notice{Kind: noticeDeleted, Assoc: live[0].ID, URI: m.ControlURI, Payload: ace.GroupDeleted()}
		if err := s.putNotice(tx, g.Name, m.Subject, n); err != nil {
			return err
		}
	}
	name := g.Name
	afterwards(tx, func() {
		last := ace.Problem(coap.NotFound, ace.ErrorDeleted, "")
		for _, kind := range observables {
			s.tell(kind, name, func(*coap.Request) *coap.Message { return last })
		}
	})
	return nil
}

// tellActive tells members that a group is paused or goes on: those who observe its
// status (KGO, Section 9.9), and others at their control_uris.
func (s *Server) tellActive(tx store.Tx, g *groupRecord) error {
	members, err := everyMember(tx, g.Name)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.ControlURI == "" || s.cfg.Exchange == nil {
			continue
		}
		live, barred, err := s.links(tx, g.Name, m, nil)
		if err != nil {
			return err
		}
		n := &notice{Kind: noticeStatus, URI: m.ControlURI, Payload: ace.Encode(g.configNotice())}
		switch {
		case len(live) > 0 && !s.observed.any(observedActive, g.Name, []string{live[0].ID}):
			n.Assoc = live[0].ID
		case len(live) == 0 && barred && m.Assoc != "": // no secret is in it
			n.Assoc = m.Assoc
		default:
			continue
		}
		if err := s.putNotice(tx, g.Name, m.Subject, n); err != nil {
			return err
		}
	}
	name, active := g.Name, !g.Inactive
	afterwards(tx, func() {
		s.tell(observedActive, name, func(*coap.Request) *coap.Message { return bare(active) })
	})
	return nil
}

// configNotice tells members of a group's algorithms, and whether it is active. GMA,
// Section 6.6.2.2.
func (g *groupRecord) configNotice() ace.ConfigNotice {
	key, active := g.keyMaterial(nil), !g.Inactive
	return ace.ConfigNotice{
		Active: &active,
		GKTY:   ace.GKTYGroupOSCORE, Profile: ace.ProfileCoAPGroupOSCOREApp, Num: g.Num, EXP: g.Expires,
		Key: ace.ConfigMaterial{
			HKDF: g.Algs.HKDF, CredFmt: key.CredFmt, Alg: key.Alg, GpEncAlg: key.GpEncAlg,
			SignAlg: key.SignAlg, SignParams: key.SignParams, ECDHAlg: key.ECDHAlg, ECDHParams: key.ECDHParams,
		},
	}
}

// unobserve forgets what somebody observes of a group. RFC 9594, Section 5.
func (s *Server) unobserve(name string, ids []string) {
	for _, kind := range observables {
		s.observed.drop(kind, name, ids)
	}
}

// dueNotices lists the notices whose time has come, and when the next one's comes.
func (s *Server) dueNotices(ctx context.Context) (due []*notice, next time.Time, err error) {
	now := s.cfg.Now()
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		due, next = nil, time.Time{}
		return tx.Scan("r/n/", func(key string, data []byte) bool {
			n := &notice{key: key}
			if cbor.Unmarshal(data, n) != nil {
				return true
			}
			if isLater(n.Next, now) {
				next = sooner(next, time.UnixMilli(n.Next))
			} else if len(due) < maxDueNotices {
				due = append(due, n)
			} else {
				next = now
			}
			return true
		})
	})
	return due, next, err
}

const maxDueNotices = 1024

// notify sends the notices that are due and returns when the next ones are.
func (s *Server) notify(ctx context.Context) (time.Time, error) {
	due, next, err := s.dueNotices(ctx)
	if err != nil || len(due) == 0 {
		return next, err
	}
	s.each(ctx, len(due), func(i int) {
		if ctx, done, ok := s.jobs.begin(ctx, due[i].key); ok {
			defer done()
			s.sendNotice(ctx, due[i])
		}
	})
	if ctx.Err() != nil {
		return next, ctx.Err()
	}
	_, next, err = s.dueNotices(ctx)
	return next, err
}

// sendNotice makes one attempt. Whatever the member answers, it was told.
func (s *Server) sendNotice(ctx context.Context, n *notice) {
	var err error
	switch n.Kind {
	case noticeAll:
		err = s.deleteAtAll(ctx, n.URI)
	case noticeEvicted:
		_, err = s.post(ctx, n.Assoc, n.URI, coap.DELETE, nil)
	default:
		_, err = s.post(ctx, n.Assoc, n.URI, coap.POST, n.Payload)
	}
	if ctx.Err() != nil {
		return // to be sent after the next start, or taken back
	}
	group, _, _ := strings.Cut(strings.TrimPrefix(n.key, "r/n/"), "/")
	s.log.Info("told a member", "group", group, "what", n.Kind.String(), "association", n.Assoc, "ok", err == nil, "try", n.Tries+1)
	again := err != nil && !errors.Is(err, coap.ErrNoContext) && n.Tries+1 < maxNoticeTries
	n.Tries++
	n.Next = s.cfg.Now().Add(backoff(n.Tries)).UnixMilli()
	err = s.commit(ctx, "notice", func(tx store.Tx) error {
		now, err := load[notice](tx, n.key)
		if err != nil || now == nil || now.Born != n.Born || now.Kind != n.Kind {
			return err // taken back, or replaced
		}
		if !again {
			return tx.Delete(n.key)
		}
		return save(tx, n.key, n)
	})
	if err != nil {
		s.log.Error("cannot note what a member was told", "err", err)
	}
}

// String names the kind for the log.
func (k noticeKind) String() string {
	switch k {
	case noticeEvicted:
		return "eviction"
	case noticeDeleted:
		return "the group's deletion"
	case noticeStatus:
		return "whether the group is active"
	case noticeOutdated:
		return "newer keys that it does not get"
	case noticeAll:
		return "eviction of all"
	}
	return "?"
}

// post makes a request to a member's control_uri over its association.
func (s *Server) post(ctx context.Context, assoc, uri string, code coap.Code, payload []byte) (*coap.Message, error) {
	to, path, err := endpointOf(uri)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(uri, "coaps:") && s.sessions.get(assoc) == nil {
		return nil, coap.ErrNoContext // OSCORE is not spoken there
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	req := coap.NewRequest(code, path, payload)
	if payload != nil {
		coap.AddUint(req, coap.OptionContentFormat, ace.FormatACEGroupcomm)
	}
	return s.caller(assoc, s.cfg.Exchange, to).Call(ctx, req)
}

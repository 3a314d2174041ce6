package group

import "slices"

// modelView is what a member must have of one epoch.
type modelView struct {
	epoch *modelEpoch
	kid   string
	peers map[string]*modelPeer
	next  int64 // least Partial IV that it may use

	// Windows that come through a restart, until the peer is looked up; and
	// whether all other new ones are invalid.
	restored map[string]*modelPeer
	lossy    bool
}

// modelPeer is a Recipient Context in its plainest form: all numbers ever seen.
type modelPeer struct {
	who        *modelPerson
	valid      bool
	floor      int64 // lower numbers count as received
	high       int64 // the greatest that was received; -1: none
	seen       map[int64]bool
	challenges []*modelSent // open Echo challenges
	proven     bool         // a message of it verified
}

func newModelPeer(who *modelPerson, valid bool) *modelPeer {
	return &modelPeer{who: who, valid: valid, high: -1, seen: map[int64]bool{}}
}

// purge takes out of an earlier view who is no member any more. RFC 10021,
// Section 12.2.
func (v *modelView) purge(current *modelView) {
	for kid, peer := range v.peers {
		known := false
		for _, other := range current.peers {
			known = known || other.who == peer.who
		}
		if !known {
			delete(v.peers, kid)
		}
	}
}

// release forgets earlier epochs: all in which no open exchange may get a late
// response. That is those in which one began, or was answered last by its only
// server, and as long as there are such the one before the current.
func (p *modelNode) release() {
	if len(p.held) == 0 {
		return
	}
	previous := p.held[len(p.held)-1]
	needed := func(v *modelView) bool {
		return slices.ContainsFunc(p.asked, func(x *modelAsked) bool { return !x.over && x.home == v.epoch })
	}
	some := slices.ContainsFunc(p.held, needed)
	p.held = slices.DeleteFunc(p.held, func(v *modelView) bool { return !needed(v) && !(some && v == previous) })
}

// viewOf returns what p knows of an epoch, if anything.
func (p *modelNode) viewOf(e *modelEpoch) *modelView {
	if p.view.epoch == e {
		return p.view
	}
	for _, v := range p.held {
		if v.epoch == e {
			return v
		}
	}
	return nil
}

// receive marks a request's number as received.
func (peer *modelPeer) receive(s *modelSent) {
	peer.proven = true
	if !peer.valid {
		peer.valid, peer.floor, peer.challenges = true, s.piv+1, nil
	}
	peer.seen[s.piv] = true
	peer.high = max(peer.high, s.piv)
}

package commission

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	oscoregroup "lamplighter/internal/oscore/group"
)

const (
	askAgain   = 5 * time.Second // how long the version of the keys counts as known when devices are silent
	askBriefly = 2 * time.Second // how long the Group Manager may take while a person waits
	maxRounds  = 6               // requests to one device in a follow-up: lost ones, Echo, after new keys
	maxHeld    = 2048            // answers that wait for a credential
	maxUnknown = 256             // Sender IDs looked up, beyond one for each device
)

// hold keeps an answer whose sender's credential is missing, and fetches
// credentials for all that are held. Nothing of such an answer is verified, and
// anybody can send them, so there is a limit; a device that falls victim to it is
// asked again by unicast. DESIGN S8.
func (c *campaign) hold(kid []byte, a arrival) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.asked[string(kid)]
	if c.foreign[string(kid)] || len(c.held) >= maxHeld || !known && len(c.asked) >= len(c.call.Answers)+maxUnknown {
		return
	}
	c.asked[string(kid)] = true
	c.held = append(c.held, heldAnswer{kid, a})
	if !c.fetching {
		c.fetching = true
		c.side.Go(c.fetch)
	}
}

// fetch gets credentials from the Group Manager until no answer is held. What
// arrives while a request is under way goes into the next one.
func (c *campaign) fetch() {
	for {
		c.mu.Lock()
		held := c.held
		c.held = nil
		c.fetching = len(held) > 0
		c.mu.Unlock()
		if len(held) == 0 {
			return
		}
		known := c.s.fetchPeers(c.s.ctx, c.g, kidsOf(held))
		var list []arrival
		c.mu.Lock()
		for _, h := range held {
			if known[string(h.kid)] {
				list = append(list, h.arrival)
			} else {
				c.foreign[string(h.kid)] = true
			}
		}
		c.mu.Unlock()
		c.open(list, func(kid []byte, a arrival) { c.dropped(a, errNoKID) })
	}
}

func kidsOf(held []heldAnswer) [][]byte {
	var kids [][]byte
	seen := map[string]bool{}
	for _, h := range held {
		if !seen[string(h.kid)] {
			seen[string(h.kid)] = true
			kids = append(kids, h.kid)
		}
	}
	return kids
}

// fetchPeers gets credentials by Sender ID and says which it got.
func (s *site) fetchPeers(ctx context.Context, g *group, kids [][]byte) map[string]bool {
	known := map[string]bool{}
	client, _, err := s.client(g)
	if err != nil {
		return known
	}
	peers, _, err := client.Creds(ctx, kids)
	if err != nil {
		s.e.logProblem("", "fetching members' credentials", with(atGM, "fetching credentials", err))
	}
	s.addPeers(g, peers...)
	for _, p := range peers {
		known[string(p.KID)] = true
	}
	return known
}

// awaitCredentials waits for answers that are held; ctx bounds it only when the
// campaign is stopped.
func (c *campaign) awaitCredentials(ctx context.Context) {
	for ctx.Err() == nil {
		c.mu.Lock()
		fetching := c.fetching
		c.mu.Unlock()
		if !fetching || !sleep(ctx, 5*time.Millisecond) {
			return
		}
	}
}

// freshenKeys asks the Group Manager whether the silence comes from keys that
// are out of date, and reports whether there are new ones.
func (c *campaign) freshenKeys(ctx context.Context) bool {
	c.g.using.Lock()
	recent := c.s.e.cfg.Now().Sub(c.g.asked) < askAgain
	c.g.using.Unlock()
	return !recent && c.updateKeys(ctx)
}

func (c *campaign) updateKeys(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askBriefly)
	defer cancel()
	changed, err := c.s.updateKeys(ctx, c.g)
	if err != nil {
		c.s.e.cfg.Logger.Debug("the version of the keys is not known", "err", err)
	}
	return changed
}

// followUp asks the silent devices one by one, in pairwise mode.
func (c *campaign) followUp(ctx context.Context) {
	slots := make(chan struct{}, c.s.e.cfg.Tuning.Follow)
	for _, id := range c.silent() {
		d, err := c.s.device(id)
		if err != nil {
			continue // forgotten meanwhile
		}
		if c.superseded() {
			return
		}
		c.set(id, func(row *Answer) { row.State = AnswerAsking })
		slots <- struct{}{}
		c.side.Go(func() {
			defer func() { <-slots }()
			c.askOne(ctx, d, nil)
		})
	}
}

// superseded reports whether a newer command makes this one's repetition wrong.
// DESIGN S5.
func (c *campaign) superseded() bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	switch c.kind {
	case kindLight, kindScene:
		return c.g.command != c
	case kindEmergency:
		return c.g.alarm != c
	}
	return false
}

// askOne asks one device by unicast, in pairwise mode; challenge is what it asked
// for freshness with, or nil. RFC 10021, Section 9. A lost request is not left to
// the message layer, which would take most of the time for its second try: each
// round has a quarter of it.
func (c *campaign) askOne(ctx context.Context, d *device, challenge *coap.Message) {
	patience := c.s.e.cfg.Tuning.FollowUp
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	for round := 0; round < maxRounds && ctx.Err() == nil && !c.superseded(); round++ {
		var a answerFrom
		a, err = c.exchange(ctx, d, challenge, patience/4)
		switch {
		case errors.Is(err, errOutdated): // one side's keys are, and the device gets its own by itself
			c.keys.Do(func() { c.updateKeys(ctx) })
			sleep(ctx, patience/16)
		case silent(err):
			sleep(ctx, patience/16) // it is booting
		case err != nil:
			round = maxRounds
		case oscore.IsChallenge(a.resp):
			challenge = a.resp
		default:
			c.answered(a)
			return
		}
	}
	if p := asProblem(with(atDevice, "asking again", err)); err != nil && p.ID != errSilent.ID && p.ID != errCanceled.ID {
		c.set(d.id, func(row *Answer) { row.State, row.Problem = AnswerError, &p.Problem })
	}
}

// errOutdated says that the device could not open the request.
var errOutdated = passing("keys-outdated", "The device could not read the message: its keys of the group are out of date.", "Try again in a moment. If it stays so, join it again.")

// exchange sends the request to one device and opens the answer.
func (c *campaign) exchange(ctx context.Context, d *device, challenge *coap.Message, patience time.Duration) (a answerFrom, err error) {
	kid, err := c.kidOf(ctx, d)
	if err != nil {
		return a, err
	}
	req := c.req
	if challenge != nil {
		req = oscore.WithEcho(req, challenge)
	}
	outer, binding, err := c.g.protect(req, kid)
	var stranger *oscoregroup.UnknownPeerError // somebody else claimed it: its credential is the Group Manager's to give
	if errors.As(err, &stranger) && c.s.fetchPeers(ctx, c.g, [][]byte{kid})[string(kid)] {
		outer, binding, err = c.g.protect(req, kid)
	}
	if err != nil {
		return a, err
	}
	c.mu.Lock()
	c.call.Unicasts++
	c.mu.Unlock()
	defer c.g.close(binding)
	sent := time.Now()
	to := c.s.of(d).address()
	resp, err := c.s.e.wire.within(patience).Exchange(ctx, to, outer)
	if err != nil {
		return a, err
	}
	if !coap.HasOption(resp, coap.OptionOSCORE) {
		return a, errOutdated
	}
	a, err = c.openOne(ctx, arrival{resp, to, binding, time.Since(sent)})
	a.sent = datagramSize(outer)
	return a, err
}

// kidOf returns the device's Sender ID; one that is not known is asked for.
func (c *campaign) kidOf(ctx context.Context, d *device) ([]byte, error) {
	r := c.s.of(d)
	if p := r.in(c.g.name); p != nil && len(p.SenderID) > 0 {
		return p.SenderID, nil
	}
	return c.lookUp(ctx, d)
}

// lookUp asks the Group Manager for a device's present Sender ID.
func (c *campaign) lookUp(ctx context.Context, d *device) ([]byte, error) {
	client, _, err := c.s.client(c.g)
	if err != nil {
		return nil, err
	}
	peers, _, err := client.CredsByRole(ctx, ace.RoleResponder)
	if err != nil {
		return nil, with(atGM, "asking who is in the group", err)
	}
	c.s.addPeers(c.g, peers...)
	for _, p := range peers {
		if c.s.of(d).matches(p.Cred) {
			c.s.learnPlace(d, c.g.name, p.KID)
			return p.KID, nil
		}
	}
	return nil, errNoKID
}

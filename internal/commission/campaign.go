package commission

import (
	"context"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"lamplighter/internal/coap"
	oscoregroup "lamplighter/internal/oscore/group"
)

// Kinds of campaigns.
const (
	kindRollCall = "rollcall"
	kindLight    = "light"
	kindFirmware = "firmware"

	kindScene     = "scene"
	kindEmergency = "emergency"
)

// campaign is one group message and what came back: the multicast, the answers
// one by one as they verify, and those who stayed silent asked again by unicast.
type campaign struct {
	s    *site
	g    *group
	req  *coap.Message // plain
	kind string
	wait time.Duration // for answers to the multicast

	copies int // of the multicast, byte-identical; 0: one

	each func(d *device, a answerFrom) // takes the answers; nil: they are those of a roll call

	full chan struct{} // closed when every device has answered
	side sync.WaitGroup
	keys sync.Once // the Group Manager was asked because a device could not read a request

	mu       sync.Mutex
	call     RollCall
	row      map[string]int     // device id → index of call.Answers
	byCred   map[string]*device // credential → device of the site
	complete bool               // full is closed
	held     []heldAnswer       // answers under a Sender ID whose credential is missing
	fetching bool
	sent     []*oscoregroup.Binding // the multicasts
	asked    map[string]bool        // Sender IDs that the Group Manager was asked about
	foreign  map[string]bool        // those of them that it does not know
}

// heldAnswer waits for a credential.
type heldAnswer struct {
	kid []byte
	arrival
}

// ask sends req to the group and gathers the answers.
func (s *site) ask(ctx context.Context, g *group, kind string, req *coap.Message) (RollCall, error) {
	call, _, err := s.askFor(ctx, g, kind, req, func(*campaign) {})
	return call, err
}

// askFor is [site.ask] for who goes on with the campaign; first comes before anything
// is sent.
func (s *site) askFor(ctx context.Context, g *group, kind string, req *coap.Message, first func(*campaign)) (RollCall, *campaign, error) {
	if err := s.ensureMember(ctx, g); err != nil {
		return RollCall{}, nil, asProblem(err)
	}
	if s.rests(ctx, g) {
		return RollCall{}, nil, errPaused
	}
	c := s.newCampaign(g, kind, req)
	if len(c.call.Answers) == 0 {
		return RollCall{}, nil, errNobody
	}
	s.mu.Lock()
	g.current = c
	switch kind {
	case kindLight:
		g.command = c
	case kindScene: // lamps that miss it would follow late, one by one
		g.command, c.copies = c, alarmCopies
	case kindEmergency:
		g.alarm, c.copies = c, alarmCopies
	}
	s.mu.Unlock()
	first(c)
	c.tellAll()
	err := c.run(ctx)
	c.finish(asProblem(err))
	return c.snapshot(), c, asError(err)
}

// asError is [asProblem] with a nil that stays nil.
func asError(err error) error {
	if err == nil {
		return nil
	}
	return asProblem(err)
}

func (s *site) newCampaign(g *group, kind string, req *coap.Message) *campaign {
	c := &campaign{
		s: s, g: g, req: req, kind: kind, full: make(chan struct{}), wait: s.e.cfg.Tuning.Leisure + s.e.cfg.Tuning.Grace,
		call: RollCall{Group: g.name, Kind: kind, Started: s.e.now(), Answers: []Answer{}},
		row:  map[string]int{}, byCred: map[string]*device{}, asked: map[string]bool{}, foreign: map[string]bool{},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.devices)) {
		d := s.devices[id]
		if len(d.rec.Cred) > 0 {
			c.byCred[string(d.rec.Cred)] = d
		}
		if p := d.rec.in(g.name); p != nil {
			c.row[id] = len(c.call.Answers)
			c.call.Answers = append(c.call.Answers, Answer{Device: id, State: AnswerWaiting, SenderID: hex.EncodeToString(p.SenderID)})
		}
	}
	return c
}

func (c *campaign) run(ctx context.Context) error {
	defer c.side.Wait()
	if !c.g.algorithms().HasGroupMode() { // there is no message to all
		c.followUp(ctx)
		return nil
	}
	if err := c.multicast(ctx); err != nil {
		return err
	}
	if len(c.silent()) > 0 && c.freshenKeys(ctx) {
		if err := c.multicast(ctx); err != nil {
			return err
		}
	}
	c.followUp(ctx)
	return nil
}

// multicast sends the request, with its copies, and takes answers until all are in or the
// devices' Leisure is over.
func (c *campaign) multicast(ctx context.Context) error {
	group, err := netip.ParseAddrPort(c.s.record().Multicast)
	if err != nil {
		return errInvitation
	}
	outer, binding, err := c.g.protect(c.req, nil)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.call.Messages++
	c.sent = append(c.sent, binding)
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.full:
			cancel()
		case <-ctx.Done():
		}
	}()
	arrivals := make(chan arrival, maxBatch)
	var opening sync.WaitGroup
	for range openers {
		opening.Go(func() { c.openAll(arrivals) })
	}
	sent := time.Now()
	var copies sync.WaitGroup
	take := func(resp *coap.Message, from netip.AddrPort) {
		arrivals <- arrival{resp, from, binding, time.Since(sent)}
	}
	send := func() error {
		c.mu.Lock()
		c.call.Multicasts++
		c.mu.Unlock()
		return c.s.e.wire.Multicast(ctx, group, outer, c.wait, take)
	}
	for n := 1; n < c.copies; n++ { // who had the message before drops a copy unread
		copies.Go(func() {
			if sleep(ctx, time.Duration(n)*alarmGap) {
				_ = send()
			}
		})
	}
	err = send()
	copies.Wait()
	close(arrivals)
	opening.Wait()
	c.awaitCredentials(ctx)
	return err
}

// algorithms are those of the group's current keys.
func (g *group) algorithms() oscoregroup.Algorithms {
	g.using.Lock()
	defer g.using.Unlock()
	if g.keys == nil {
		return oscoregroup.DefaultAlgorithms
	}
	return g.keys.Current().Algorithms()
}

// protect protects a request for the group (to is nil) or for one member. In a
// group without pairwise mode what is for one is protected for all, too.
func (g *group) protect(req *coap.Message, to []byte) (*coap.Message, *oscoregroup.Binding, error) {
	g.using.Lock()
	defer g.using.Unlock()
	switch {
	case g.retired:
		return nil, nil, errCanceled
	case g.keys == nil:
		return nil, nil, errNoGroup
	}
	if !g.keys.Current().Algorithms().HasPairwiseMode() {
		to = nil
	}
	return g.keys.ProtectRequest(req, to)
}

// close ends exchanges: no answer to them is accepted any more, and keys that only
// they needed are forgotten.
func (g *group) close(exchanges ...*oscoregroup.Binding) {
	g.using.Lock()
	defer g.using.Unlock()
	for _, b := range exchanges {
		if g.keys != nil {
			g.keys.Close(b)
		}
	}
}

// tellAll sends the whole: at the start and at the end.
func (c *campaign) tellAll() {
	snap := c.snapshot()
	c.s.e.pub.tell(Event{Type: "rollcall", RollCall: &snap})
	c.s.touchGroup(c.g.name)
}

// finish ends the campaign and keeps it for the next reload. failed is why it
// could not be carried out: then nobody knows whether a device is silent.
func (c *campaign) finish(failed *Error) {
	c.mu.Lock()
	sent := c.sent
	c.sent = nil
	c.mu.Unlock()
	c.g.close(sent...)
	if failed == nil {
		failed = errSilent
	}
	var outdated []string
	c.mu.Lock()
	c.call.Ended = c.s.e.now()
	for i := range c.call.Answers {
		row := &c.call.Answers[i]
		if row.State == AnswerWaiting || row.State == AnswerAsking {
			row.State, row.Problem = AnswerSilent, &failed.Problem
		}
		if row.Problem != nil && row.Problem.ID == errOutdated.ID {
			outdated = append(outdated, row.Device)
		}
	}
	c.count()
	c.mu.Unlock()
	c.s.mu.Lock()
	latest := c.g.current == c
	c.s.mu.Unlock()
	if latest {
		snap := c.snapshot()
		c.s.updateGroup(c.g, func(r *groupRecord) { r.RollCall = &snap })
	}
	c.tellAll()
	c.s.inquire(outdated)
}

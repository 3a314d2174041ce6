package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// modelAsked is an exchange at its client.
type modelAsked struct {
	b        *Binding
	sent     *modelSent
	token    string
	until    time.Duration
	accepted []*modelSent // in order
	over     bool         // the only response came
	home     *modelEpoch  // whose keys it needs

	answered map[*modelPerson]bool // whose challenges were answered
}

// modelServing is an exchange at a server.
type modelServing struct {
	b     *Binding
	req   *modelSent
	token []byte
	view  *modelView // under which the request came
	sent  int        // responses so far
	until time.Duration
	over  bool
}

// modelAsk is a request to be made.
type modelAsk struct {
	to      string // the Sender ID in pairwise mode
	mode    Mode
	observe bool
	answers *modelSent    // a challenge,
	unicast *modelPerson  // and who made it
	body    *coap.Message // what was asked then
}

func (m *model) hasGroup() bool    { return m.c.algs.GroupEnc != 0 && m.c.algs.Sign != 0 }
func (m *model) hasPairwise() bool { return m.c.algs.AEAD != 0 && m.c.algs.Pairwise != 0 }

// mode draws one of the modes that the group has.
func (m *model) mode() Mode {
	if m.hasGroup() && (!m.hasPairwise() || m.chance(0.5)) {
		return Group
	}
	return Pairwise
}

// askAny sends a request to all or, in pairwise mode, to one.
func (m *model) askAny(p *modelNode, observe bool) {
	a := modelAsk{mode: m.mode(), observe: observe}
	if a.mode == Pairwise {
		kids := slices.Sorted(maps.Keys(p.view.peers))
		if len(kids) == 0 {
			return
		}
		a.to = pick(m, kids)
	}
	m.ask(p, a)
}

// ask protects a request and sends it.
func (m *model) ask(p *modelNode, a modelAsk) {
	if a.body == nil {
		code := pick(m, []coap.Code{coap.GET, coap.PUT, coap.POST, coap.FETCH})
		a.body = coap.NewRequest(code, fmt.Sprintf("/m?%d", len(m.oracle.sent)), m.bytes(m.rng.IntN(48)))
		if a.observe {
			coap.AddUint(a.body, coap.OptionObserve, 0)
		}
	}
	s := &modelSent{isRequest: true, mode: a.mode, answers: a.answers, body: a.body, observe: a.observe}
	var kid []byte
	if a.mode == Pairwise {
		kid, s.to = []byte(a.to), p.view.peers[a.to].who
	}
	outer, b, err := p.member.ProtectRequest(a.body, kid)
	if m.unsent(p, err) {
		return
	}
	m.record(p, s, outer)
	if !p.in {
		m.cast(s.to, outer, p.token(), nil)
		return
	}
	x := &modelAsked{b: b, sent: s, home: s.epoch, token: string(p.token()), answered: map[*modelPerson]bool{}, until: m.now + time.Minute}
	if a.observe {
		x.until = m.now + time.Duration(m.rng.Int64N(int64(24*time.Hour)))
	}
	p.asked = append(p.asked, x)
	to := s.to
	if a.unicast != nil {
		to = a.unicast
	}
	m.cast(to, outer, []byte(x.token), p)
}

func (p *modelNode) token() []byte {
	p.tokens++
	return binary.BigEndian.AppendUint32([]byte{byte(p.person.id)}, p.tokens)
}

// unsent says whether protecting failed for a reason that the model knows: the
// disk did not take the reservation, or the numbers are spent.
func (m *model) unsent(p *modelNode, err error) bool {
	m.t.Helper()
	switch {
	case err == nil:
		return false
	case errors.Is(err, errModelDisk) && p.disk.failed:
	case errors.Is(err, oscore.ErrSpent) && p.view.next >= modelSpent:
		if p.in && m.hasKIDs() {
			m.rename(p)
		}
	default:
		m.fatalf("%v cannot send: %v", p, err)
	}
	return true
}

// encode makes the datagram of a message.
func (m *model) encode(outer *coap.Message, token []byte) []byte {
	out := *outer
	out.Token, out.MessageID, out.Type = token, 1, coap.NonConfirmable
	datagram, err := coap.MarshalUDP(&out)
	if err != nil {
		m.fatalf("encoding: %v", err)
	}
	return datagram
}

// cast sends a message to one endpoint, or to all other members.
func (m *model) cast(to *modelPerson, outer *coap.Message, token []byte, from *modelNode) {
	datagram := m.encode(outer, token)
	if to != nil {
		m.transmit(&modelDatagram{to, datagram})
		return
	}
	for _, p := range m.gm.members {
		if p != from {
			m.transmit(&modelDatagram{p.person, datagram})
		}
	}
}

// request is what happens to a request at p. What it lacks it fetches.
func (m *model) request(p *modelNode, outer *coap.Message) {
	s := m.oracle.lookUp(outer)
	claimed, fetched := "", false
	for range 5 {
		want := m.judgeRequest(p, s)
		req, b, err := p.member.UnprotectRequest(outer)
		m.compare(p, want, s, err)
		switch {
		case want == accepted:
			m.serve(p, s, req, b, outer.Token)
			return
		case want == mustProve:
			m.challenge(p, s, err, outer.Token)
			return
		case want == needsKeys && m.fetchKeys(p), want == needsCredential && m.fetchPeer(p, s.kid):
		default:
			if fetched {
				m.discard(p, claimed)
			} else if claimed, fetched = m.fetchClaimed(p, want, err); fetched {
				continue
			}
			return
		}
	}
	m.fatalf("%v fetches without end for %v", p, s)
}

// serve takes a request up, and later responds.
func (m *model) serve(p *modelNode, s *modelSent, req *coap.Message, b *Binding, token []byte) {
	m.given(p, s, b.From, b.Mode, req)
	p.view.peers[s.kid].receive(s)
	x := &modelServing{b: b, req: s, token: bytes.Clone(token), view: p.view, until: m.now + 2*time.Minute}
	if s.observe {
		x.until = m.now + time.Duration(m.rng.Int64N(int64(24*time.Hour)))
	}
	p.serving = append(p.serving, x)
	for range 1 + m.rng.IntN(2)*m.rng.IntN(2) {
		m.after(m.delay(), func() { m.respond(p, x) })
	}
}

// respond sends a response, in the latest context.
func (m *model) respond(p *modelNode, x *modelServing) {
	if x.over {
		return
	}
	s := &modelSent{mode: m.mode(), request: x.req}
	if s.mode == Pairwise {
		s.to = x.req.from
	}
	s.body = coap.Respond(coap.Content, 0, m.bytes(m.rng.IntN(48)))
	if s.observe = x.req.observe && !m.chance(0.05); s.observe {
		coap.AddUint(s.body, coap.OptionObserve, uint32(x.sent))
	}
	outer, err := p.member.ProtectResponse(s.body, x.b, s.mode)
	if s.mode == Pairwise && !p.knows(s.to) {
		if !errors.As(err, new(*UnknownPeerError)) {
			m.fatalf("%v responds to %v, who is no member: %v", p, x.req, err)
		}
		x.over = true
		return
	}
	if m.unsent(p, err) {
		return
	}
	m.record(p, s, outer)
	switch later := x.sent > 0; {
	case s.piv < 0 && (later || x.view != p.view):
		m.fatalf("%v has the nonce of the request", s)
	case !later && s.epoch != x.req.epoch:
		if w, _ := readModelWire(coap.GetOption(outer, coap.OptionOSCORE)); w.kidContext == nil {
			m.fatalf("%v does not name its epoch", s)
		}
	}
	x.sent++
	m.cast(x.req.from, outer, x.token, p)
	if x.req.observe && !s.observe {
		x.over = true // an Observe response without the option is the last
	}
}

func (p *modelNode) knows(person *modelPerson) bool {
	for _, peer := range p.view.peers {
		if peer.who == person {
			return true
		}
	}
	return false
}

// challenge sends the Echo challenge that p made. RFC 10021, Section 9.
func (m *model) challenge(p *modelNode, s *modelSent, err error, token []byte) {
	peer := p.view.peers[s.kid]
	peer.proven = true
	e, ok := errors.AsType[*EchoError](err)
	if !ok {
		m.unsent(p, err)
		return
	}
	if string(e.From.KID) != s.kid || !bytes.Equal(e.From.Cred, s.from.cred) {
		m.fatalf("%v challenges %x for %v", p, e.From.KID, s)
	}
	c := &modelSent{mode: Group, request: s, challenge: true}
	if m.hasPairwise() {
		c.mode, c.to = Pairwise, s.from
	}
	m.record(p, c, e.Challenge)
	if c.piv < 0 {
		m.fatalf("%v has the nonce of the request", c)
	}
	peer.challenges = append(peer.challenges, c)
	m.cast(s.from, e.Challenge, token, p)
}

// response is what happens to a response at p.
func (m *model) response(p *modelNode, outer *coap.Message) {
	at := slices.IndexFunc(p.asked, func(x *modelAsked) bool { return x.token == string(outer.Token) })
	if at < 0 {
		return // CoAP drops it
	}
	x, s := p.asked[at], m.oracle.lookUp(outer)
	claimed, fetched := "", false
	for range 5 {
		want := m.judgeResponse(p, x, s)
		resp, from, mode, err := m.unprotect(p, x, s, outer)
		m.compare(p, want, s, err)
		switch {
		case want == accepted:
			m.take(p, x, s, resp, from, mode)
			return
		case want == needsKeys && m.fetchKeys(p), want == needsCredential && m.fetchPeer(p, s.kid):
		default:
			if fetched {
				m.discard(p, claimed)
			} else if claimed, fetched = m.fetchClaimed(p, want, err); fetched {
				continue
			}
			return
		}
	}
	m.fatalf("%v fetches without end for %v", p, s)
}

// unprotect opens a response, some in the two steps of who verifies many at a
// time.
func (m *model) unprotect(p *modelNode, x *modelAsked, s *modelSent, outer *coap.Message) (*coap.Message, Peer, Mode, error) {
	if s == nil || s.mode != Group || s.epoch != p.view.epoch || m.chance(0.7) {
		resp, from, mode, err := p.member.UnprotectResponse(outer, x.b)
		if err == nil && s != nil && x.sent.mode == Pairwise {
			x.home = s.epoch
		}
		return resp, from, mode, err
	}
	c := p.member.Current()
	first, err := c.BeginResponse(outer, x.b)
	if err != nil {
		return nil, Peer{}, Group, err
	}
	second, err := c.BeginResponse(outer, x.b)
	if err != nil {
		m.fatalf("%v gets %v twice: %v", p, s, err)
	}
	if _, _, _, err := c.FinishResponse(first, false); err == nil {
		m.fatalf("%v accepts %v, whose signature is wrong", p, s)
	}
	resp, from, mode, err := c.FinishResponse(first, first.Public.Verify(first.Message, first.Sig))
	if err != nil {
		return nil, from, mode, err
	}
	if _, _, _, err := c.FinishResponse(second, true); !errors.Is(err, oscore.ErrReplay) {
		m.fatalf("%v, who has accepted %v, takes up what it began before: %v", p, s, err)
	}
	if x.sent.mode == Pairwise && !s.observe {
		p.member.Close(x.b) // a Context cannot tell its Member
	}
	return resp, from, mode, nil
}

// take accepts a response.
func (m *model) take(p *modelNode, x *modelAsked, s *modelSent, resp *coap.Message, from Peer, mode Mode) {
	if s.challenge {
		m.checkChallenge(p, s, resp)
	}
	m.given(p, s, from, mode, resp)
	p.viewOf(s.epoch).peers[s.kid].proven = true
	x.accepted = append(x.accepted, s)
	if s.epoch != x.sent.epoch {
		m.counts[acrossEpochs]++
	}
	if len(x.accepted) > 1 && s.from == x.accepted[0].from {
		m.counts[further]++
	}
	if x.sent.mode == Pairwise {
		x.over = !s.observe
		p.release()
	}
	if !s.challenge || x.answered[s.from] || s.epoch != p.view.epoch || p.view.peers[s.kid] == nil || m.chance(m.link.loss/2) {
		return
	}
	x.answered[s.from] = true
	a := modelAsk{mode: Group, observe: x.sent.observe, answers: s, unicast: s.from, body: oscore.WithEcho(x.sent.body, resp)}
	if m.hasPairwise() {
		a.mode, a.to = Pairwise, s.kid
	}
	m.ask(p, a)
}

// checkChallenge checks that a challenge is a 4.01 with an Echo value and nothing
// else, and one that no other window had.
func (m *model) checkChallenge(p *modelNode, s *modelSent, resp *coap.Message) {
	value := coap.GetOption(resp, coap.OptionEcho)
	if resp.Code != coap.Unauthorized || len(resp.Options) != 1 || len(value) == 0 || len(resp.Payload) > 0 {
		m.fatalf("%v gets the challenge %v", p, resp)
	}
	s.body = resp
	key := fmt.Sprintf("%x", value)
	if other := m.oracle.echoes[key]; other != nil && other != s.from {
		m.fatalf("%v has the Echo value of another", s)
	}
	m.oracle.echoes[key] = s.from
}

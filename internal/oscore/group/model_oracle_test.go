package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// verdict is what must become of a message, and why.
type verdict string

// Verdicts. What the link loses has none.
const (
	accepted  verdict = "accepted"
	mustProve verdict = "challenged: the Replay Window is invalid"

	needsCredential verdict = "waits for the sender's credential"
	needsKeys       verdict = "waits for the keys of a later epoch"

	replayed   verdict = "refused: received before"
	tooOld     verdict = "refused: below the Replay Window"
	staleEpoch verdict = "refused: of an epoch that is over"
	ownMessage verdict = "refused: from the own Sender ID"
	purged     verdict = "refused: from no member of the epoch"
	notForMe   verdict = "refused: in pairwise mode for another"
	wrongAsked verdict = "refused: responds to another request"
	exchanged  verdict = "refused: the exchange has its only response"
	outOfOrder verdict = "refused: not above the Response Number"
	lateEpoch  verdict = "refused: of an epoch before the last response's"
	renamed    verdict = "refused: the server's Sender ID changed in the exchange"
	forged     verdict = "refused: nobody sent it"

	// Not verdicts, but counted with them.
	lost         verdict = "lost on the link"
	malformed    verdict = "no CoAP any more"
	gone         verdict = "nobody at the address"
	noMember     verdict = "the Group Manager knows no member with the Sender ID"
	unreachable  verdict = "the Group Manager cannot be reached"
	impersonated verdict = "made up by a member"
	acrossEpochs verdict = "accepted under later keys than the request"
	further      verdict = "accepted after another response of the server"
)

// modelErrors says which error stands for a verdict; any error will do for the
// others, and for a response of an epoch that is over, as most name no epoch.
var modelErrors = map[verdict]func(error) bool{
	mustProve:       func(err error) bool { return errors.As(err, new(*EchoError)) },
	needsCredential: func(err error) bool { return errors.As(err, new(*UnknownPeerError)) },
	needsKeys:       func(err error) bool { return errors.Is(err, coap.ErrNoContext) },
	replayed:        func(err error) bool { return errors.Is(err, oscore.ErrReplay) },
	tooOld:          func(err error) bool { return errors.Is(err, oscore.ErrReplay) },
	staleEpoch:      func(err error) bool { return errors.Is(err, coap.ErrNoContext) },
	ownMessage:      func(err error) bool { return errors.Is(err, ErrOwn) },
}

// modelSent is one protected message.
type modelSent struct {
	serial    int
	from      *modelPerson
	epoch     *modelEpoch
	kid       string
	mode      Mode
	to        *modelPerson // pairwise: for whom
	isRequest bool
	request   *modelSent    // that a response answers
	challenge bool          // it is an Echo challenge
	answers   *modelSent    // the challenge whose value a request has
	body      *coap.Message // what was protected
	observe   bool
	piv       int64 // on the wire; -1: none
}

func (s *modelSent) String() string {
	what := "request"
	if !s.isRequest {
		what = fmt.Sprintf("response to %d", s.request.serial)
	}
	return fmt.Sprintf("%v %d by %d as %x, epoch %d, number %d, %v mode", what, s.serial, s.from.id, s.kid, s.epoch.number, s.piv, s.mode)
}

// modelOracle knows all that was sent.
type modelOracle struct {
	sent   []*modelSent
	byWire map[string]*modelSent   // by request or response, OSCORE Option and payload
	nonces map[string]*modelSent   // by key and nonce, as the wire shows them
	echoes map[string]*modelPerson // who made an Echo value
}

func newModelOracle() modelOracle {
	return modelOracle{byWire: map[string]*modelSent{}, nonces: map[string]*modelSent{}, echoes: map[string]*modelPerson{}}
}

// modelWire is an OSCORE Option as RFC 10021, Section 4.1, has it; read here once
// more, so as not to believe the implementation's reader.
type modelWire struct {
	group           bool
	piv             int64  // -1: none
	kid, kidContext []byte // nil: none
}

func readModelWire(option []byte) (modelWire, bool) {
	w := modelWire{piv: -1}
	if len(option) == 0 {
		return w, true
	}
	flags, rest := option[0], option[1:]
	n := int(flags & 7)
	if flags&0xc0 != 0 || len(rest) < n {
		return w, false
	}
	w.group = flags&0x20 != 0
	if n > 0 {
		w.piv = int64(binary.BigEndian.Uint64(append(make([]byte, 8-n), rest[:n]...)))
		rest = rest[n:]
	}
	if flags&0x10 != 0 {
		if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
			return w, false
		}
		size := int(rest[0])
		w.kidContext, rest = bytes.Clone(rest[1:1+size]), rest[1+size:]
	}
	if flags&0x08 != 0 {
		w.kid, rest = append([]byte{}, rest...), nil
	}
	return w, len(rest) == 0
}

func isModelRequest(outer *coap.Message) bool { return outer.Code < 1<<5 }

func wireKey(outer *coap.Message) string {
	option := coap.GetOption(outer, coap.OptionOSCORE)
	return fmt.Sprintf("%v %x %x", isModelRequest(outer), option, outer.Payload)
}

// lookUp returns the message that was sent in this form, nil when nobody did.
func (o *modelOracle) lookUp(outer *coap.Message) *modelSent { return o.byWire[wireKey(outer)] }

// record takes down what p protected, after a look at its form.
func (m *model) record(p *modelNode, s *modelSent, outer *coap.Message) *modelSent {
	m.t.Helper()
	w, ok := readModelWire(coap.GetOption(outer, coap.OptionOSCORE))
	s.serial, s.from, s.epoch, s.kid, s.piv = len(m.oracle.sent), p.person, p.view.epoch, p.view.kid, w.piv
	m.logf("%v sends %v", p, s)
	switch {
	case !ok:
		m.fatalf("%v: option %x", s, coap.GetOption(outer, coap.OptionOSCORE))
	case w.group != (s.mode == Group):
		m.fatalf("%v has the group flag %v", s, w.group)
	case w.kid != nil && string(w.kid) != s.kid:
		m.fatalf("%v names %x", s, w.kid)
	case w.kidContext != nil && !bytes.Equal(w.kidContext, s.epoch.gid):
		m.fatalf("%v has the kid context %x", s, w.kidContext)
	case s.isRequest && (w.piv < 0 || w.kid == nil || w.kidContext == nil):
		m.fatalf("%v lacks what a request must have", s)
	case !s.isRequest && s.request.mode == Group && w.kid == nil:
		m.fatalf("%v has no kid", s)
	case w.piv >= 0 && w.piv < p.view.next:
		m.fatalf("%v has an old number; the next is %d", s, p.view.next)
	}
	if w.piv >= 0 {
		p.view.next = w.piv + 1
	}
	m.checkNonce(s)
	m.oracle.sent = append(m.oracle.sent, s)
	m.oracle.byWire[wireKey(outer)] = s
	return s
}

// checkNonce names key and nonce by what makes them different: the Sender ID
// under a Gid and, in pairwise mode, both credentials; who made the Partial IV,
// and that. RFC 10021, Sections 2.3, 2.5.1 and 3.3.
func (m *model) checkNonce(s *modelSent) {
	to, maker, piv := -1, s.kid, s.piv
	if s.mode == Pairwise {
		to = s.to.id
	}
	if piv < 0 {
		maker, piv = s.request.kid, s.request.piv
	}
	pair := fmt.Sprintf("%d %x %d, %x %d", s.epoch.number, s.kid, to, maker, piv)
	if other := m.oracle.nonces[pair]; other != nil {
		m.fatalf("%v has the key and nonce of %v", s, other)
	}
	m.oracle.nonces[pair] = s
}

// judgeRequest says what must become of a request at p.
func (m *model) judgeRequest(p *modelNode, s *modelSent) verdict {
	switch {
	case s == nil:
		return forged
	case s.epoch.number < p.view.epoch.number:
		return staleEpoch
	case s.epoch.number > p.view.epoch.number:
		return needsKeys
	case s.kid == p.view.kid:
		return ownMessage
	}
	peer := p.view.peers[s.kid]
	switch {
	case peer == nil:
		return needsCredential
	case s.mode == Pairwise && s.to != p.person:
		return notForMe
	case !peer.valid && (s.answers == nil || !contains(peer.challenges, s.answers)):
		return mustProve
	case !peer.valid:
		return accepted
	case s.piv < peer.floor || peer.seen[s.piv]:
		return replayed
	case s.piv <= peer.high-int64(p.windowSize()):
		return tooOld
	}
	return accepted
}

func contains(list []*modelSent, s *modelSent) bool {
	for _, other := range list {
		if other == s {
			return true
		}
	}
	return false
}

func (p *modelNode) windowSize() int {
	if p.window == 0 {
		return oscore.DefaultWindowSize
	}
	return p.window
}

// judgeResponse says what must become of a response to what p asked. RFC 10021,
// Sections 5.3.1 and 7.4: only ascending numbers are taken.
func (m *model) judgeResponse(p *modelNode, x *modelAsked, s *modelSent) verdict {
	switch {
	case s == nil:
		return forged
	case s.request != x.sent:
		return wrongAsked
	case x.over:
		return exchanged
	}
	v := p.viewOf(s.epoch)
	switch {
	case v == nil && s.epoch.number > p.view.epoch.number:
		return needsKeys
	case v == nil:
		return staleEpoch
	case v.peers[s.kid] == nil && v == p.view:
		return needsCredential
	case v.peers[s.kid] == nil:
		return purged
	}
	last, greatest := x.last(s)
	switch {
	case last == nil:
		return accepted
	case s.piv < 0:
		return outOfOrder // it counts as the oldest
	case s.epoch.number < last.epoch.number:
		return lateEpoch
	case s.epoch != last.epoch:
		return accepted
	case s.kid != last.kid:
		return renamed
	case s.piv <= greatest:
		return outOfOrder
	}
	return accepted
}

// last returns the last response that was accepted of the server that sent s,
// and the greatest Partial IV of it in the epoch of s.
func (x *modelAsked) last(s *modelSent) (last *modelSent, greatest int64) {
	greatest = -1
	for _, r := range x.accepted {
		if r.from == s.from {
			last = r
			if r.epoch == s.epoch {
				greatest = max(greatest, r.piv)
			}
		}
	}
	return last, greatest
}

// compare holds the implementation's answer against the verdict.
func (m *model) compare(p *modelNode, want verdict, s *modelSent, err error) {
	m.t.Helper()
	m.counts[want]++
	if s != nil || want != forged {
		m.logf("%v gets %v: %v", p, s, want)
	}
	if (want == accepted) != (err == nil) {
		m.fatalf("%v gets %v: %v, not %v", p, s, err, want)
	}
	late := want == staleEpoch && !s.isRequest
	if fits := modelErrors[want]; fits != nil && !fits(err) && !late {
		if want == mustProve && p.disk.failed && errors.Is(err, errModelDisk) {
			return
		}
		if want == mustProve && p.view.next >= modelSpent && errors.Is(err, oscore.ErrSpent) {
			return
		}
		m.fatalf("%v gets %v: %v, not %v", p, s, err, want)
	}
	if want != mustProve && errors.As(err, new(*EchoError)) {
		m.fatalf("%v gets %v: a challenge, not %v", p, s, want)
	}
}

// given checks what an application is given: sent, by whom it names, to this
// endpoint at most once, as it was, and never by who is no member.
func (m *model) given(p *modelNode, s *modelSent, from Peer, mode Mode, got *coap.Message) {
	m.t.Helper()
	switch {
	case string(from.KID) != s.kid || !bytes.Equal(from.Cred, s.from.cred) || mode != s.mode:
		m.fatalf("%v gets %v, said to be from %x %x in %v mode", p, s, from.KID, from.Cred, mode)
	case p.person.accepted[s.serial]:
		m.fatalf("%v accepts %v again", p, s)
	case got.Code != s.body.Code || !bytes.Equal(got.Payload, s.body.Payload) || !sameOptions(got, s.body):
		m.fatalf("%v gets %v, and in it %v, not %v", p, s, got, s.body)
	}
	p.person.accepted[s.serial] = true
}

// sameOptions compares inner options; the value of a notification's Observe
// Option is empty inside. RFC 8613, Section 4.1.3.5.2.
func sameOptions(got, want *coap.Message) bool {
	if len(got.Options) != len(want.Options) {
		return false
	}
	for i, o := range want.Options {
		notification := o.ID == coap.OptionObserve && !isModelRequest(want)
		if got.Options[i].ID != o.ID || !notification && !bytes.Equal(got.Options[i].Value, o.Value) {
			return false
		}
	}
	return true
}

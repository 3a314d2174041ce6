package group

import (
	"bytes"
	"maps"
	"slices"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// attack lets the adversary do one of the things that it can do: it hears
// everything, sends what it likes, has the keys of those who left, and is a
// member itself. What comes of it the model judges as for any message.
func (m *model) attack() {
	if len(m.late) == 0 {
		return
	}
	d := m.heard()
	switch m.rng.IntN(10) {
	case 0, 1, 2:
		m.deliver(d) // what was heard before, as it was
	case 3, 4:
		m.deliver(&modelDatagram{pick(m, m.gm.members).person, d.bytes}) // to someone else
	case 5, 6:
		m.alter(d)
	case 7:
		m.haunt()
	case 8:
		m.impersonate()
	case 9:
		m.intrude()
	}
}

// alter delivers a changed copy of a message, to where it went or elsewhere.
func (m *model) alter(d *modelDatagram) {
	change := pick(m, []func(*coap.Message){m.flip, m.flip, m.splice, m.elsewhere, m.relabel, m.relabel})
	outer, err := coap.UnmarshalUDP(bytes.Clone(d.bytes))
	if err != nil {
		m.fatalf("reading what was sent: %v", err)
	}
	change(outer)
	to := d.to
	if m.chance(0.2) {
		to = pick(m, m.gm.members).person
	}
	// An open exchange of the receiver makes a response look expected.
	if p := to.node; p != nil && !isModelRequest(outer) && len(p.asked) > 0 && m.chance(0.5) {
		outer.Token = []byte(pick(m, p.asked).token)
	}
	datagram, err := coap.MarshalUDP(outer)
	if err != nil {
		return
	}
	m.deliver(&modelDatagram{to, datagram})
}

// flip turns one bit of the OSCORE Option or of the payload, or changes the
// payload's length.
func (m *model) flip(outer *coap.Message) {
	option := bytes.Clone(coap.GetOption(outer, coap.OptionOSCORE))
	if len(option) > 0 && m.chance(0.4) {
		option[m.rng.IntN(len(option))] ^= 1 << m.rng.IntN(8)
		coap.SetOption(outer, coap.OptionOSCORE, option)
		return
	}
	switch payload := outer.Payload; m.rng.IntN(8) {
	case 0:
		outer.Payload = payload[:m.rng.IntN(len(payload))]
	case 1:
		outer.Payload = append(payload, m.bytes(1)...)
	default:
		payload[m.rng.IntN(len(payload))] ^= 1 << m.rng.IntN(8)
	}
}

// splice gives a message the payload or the option of another.
func (m *model) splice(outer *coap.Message) {
	other, err := coap.UnmarshalUDP(bytes.Clone(m.heard().bytes))
	if err != nil {
		m.fatalf("reading what was sent: %v", err)
	}
	switch m.rng.IntN(3) {
	case 0:
		outer.Payload = other.Payload
	case 1:
		coap.SetOption(outer, coap.OptionOSCORE, coap.GetOption(other, coap.OptionOSCORE))
	case 2: // the last bytes, where a countersignature is
		n := min(len(outer.Payload), len(other.Payload), 64)
		copy(outer.Payload[len(outer.Payload)-n:], other.Payload[len(other.Payload)-n:])
	}
}

// elsewhere gives a response the token of another exchange, and makes a request
// look like a response and back.
func (m *model) elsewhere(outer *coap.Message) {
	if m.chance(0.3) {
		if isModelRequest(outer) {
			outer.Code = coap.Changed
		} else {
			outer.Code = coap.POST
		}
	}
	if p := pick(m, m.gm.members); len(p.asked) > 0 {
		outer.Token = []byte(pick(m, p.asked).token)
	}
}

// relabel changes what the option says: the Gid to the current one, the kid to
// another member's, the Partial IV to a later one, or the mode; or how it says it,
// which changes neither key nor nonce.
func (m *model) relabel(outer *coap.Message) {
	o, err := oscore.MessageOption(outer)
	if err != nil {
		m.fatalf("reading what was sent: %v", err)
	}
	switch m.rng.IntN(7) {
	case 0:
		o.KIDContext = m.gm.current().gid
	case 1:
		o.KID = []byte(m.gm.kid[pick(m, m.gm.members)])
	case 2:
		o.PIV = oscore.AppendPIV(nil, uint64(m.rng.Int64N(300)))
	case 3:
		o.Group = !o.Group
	case 4:
		o.KID = nil
	case 5:
		o.KIDContext = nil
	case 6:
		if n := len(o.PIV); n > 0 && n < 5 {
			o.PIV = append([]byte{0}, o.PIV...)
		}
	}
	coap.SetOption(outer, coap.OptionOSCORE, oscore.AppendOption([]byte{}, o))
}

// haunt lets a member that left send with the keys that it kept: requests, and
// responses to what it was asked.
func (m *model) haunt() {
	if len(m.ghosts) == 0 {
		return
	}
	p := m.ghosts[max(0, len(m.ghosts)-1-m.rng.IntN(4))]
	if len(p.serving) > 0 && m.chance(0.6) {
		m.respond(p, pick(m, p.serving))
		return
	}
	m.askAny(p, false)
}

// intrude lets a member respond, in its own name, to a request that was for
// another: what it must know of that is on the wire.
func (m *model) intrude() {
	p, client := pick(m, m.gm.members), pick(m, m.gm.members)
	if len(client.asked) == 0 {
		return
	}
	x := client.asked[len(client.asked)-1]
	if x.sent.mode != Pairwise || x.sent.to == p.person || p == client {
		return
	}
	b := &Binding{From: Peer{KID: []byte(x.sent.kid), Cred: client.person.cred}, Mode: Pairwise, request: request{
		kid: []byte(x.sent.kid), piv: oscore.AppendPIV(nil, uint64(x.sent.piv)), kidContext: x.sent.epoch.gid}}
	outer, err := p.member.ProtectResponse(coap.Respond(coap.Content, 0, []byte("forged")), b, m.mode())
	if err != nil {
		return // it has no keys for the client, or no numbers
	}
	m.inject(client.person, outer, []byte(x.token))
}

// inject delivers what the adversary made.
func (m *model) inject(to *modelPerson, outer *coap.Message, token []byte) {
	m.counts[impersonated]++
	m.deliver(&modelDatagram{to, m.encode(outer, token)})
}

// impersonate lets one member, who has all the group's keys but not the other's
// private key, send in the name of another: a request, or the response to a
// request that both got.
func (m *model) impersonate() {
	p, victim := pick(m, m.gm.members), pick(m, m.gm.members)
	if p == victim || p.view.epoch != victim.view.epoch {
		return
	}
	m.forged++
	c := m.context(p, p.view.epoch, victim.view.kid, func(params *Params) {
		params.Sequence = oscore.NewSequence(1<<38+m.forged<<10, nil) // not the victim's numbers
	})
	c.cred = victim.person.cred
	kids := slices.Sorted(maps.Keys(p.view.peers))
	for _, kid := range kids {
		m.setPeer(c, &modelView{kid: victim.view.kid, peers: map[string]*modelPeer{}}, modelEntry{kid, p.view.peers[kid].who})
	}
	var outer *coap.Message
	var err error
	token, to := []byte{1}, pick(m, m.gm.members)
	if len(p.serving) > 0 && m.chance(0.5) {
		x := pick(m, p.serving)
		if to = x.req.from.node; to == nil {
			return
		}
		token = x.token
		outer, err = c.ProtectResponse(coap.Respond(coap.Content, 0, []byte("forged")), x.b, m.mode())
	} else {
		var kid []byte
		if m.mode() == Pairwise {
			kid = []byte(to.view.kid)
		}
		outer, _, err = c.ProtectRequest(coap.NewRequest(coap.PUT, "/forged", []byte("forged")), kid)
	}
	if err != nil {
		return
	}
	m.inject(to.person, outer, token)
}

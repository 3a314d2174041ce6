package group

import (
	"bytes"
	"slices"

	"lamplighter/internal/coap"
)

// modelDatagram is on its way to an endpoint.
type modelDatagram struct {
	to    *modelPerson
	bytes []byte
}

// modelTaps bounds what the adversary remembers, of old and of late.
const (
	modelOld  = 300
	modelLate = 30
)

// transmit puts a datagram on the link, which may lose it, repeat it and hold it
// up. The adversary listens.
func (m *model) transmit(d *modelDatagram) {
	if m.late = append(m.late, d); len(m.late) > modelLate {
		if len(m.old) < modelOld {
			m.old = append(m.old, m.late[0])
		} else {
			m.old[m.rng.IntN(modelOld)] = m.late[0]
		}
		m.late = slices.Delete(m.late, 0, 1)
	}
	if m.chance(m.link.loss / 4) {
		m.after(0, func() { m.alter(d) }) // before the message itself arrives
	}
	copies := 1
	for m.chance(m.link.dup) {
		copies++
	}
	for range copies {
		if m.chance(m.link.loss) {
			m.counts[lost]++
			continue
		}
		m.after(m.delay(), func() { m.deliver(d) })
	}
}

// heard draws one of the messages that the adversary remembers.
func (m *model) heard() *modelDatagram {
	if len(m.old) == 0 || m.chance(0.5) {
		return pick(m, m.late)
	}
	return pick(m, m.old)
}

// deliver hands a datagram to whoever is at the address now.
func (m *model) deliver(d *modelDatagram) {
	p := d.to.node
	outer, err := coap.UnmarshalUDP(bytes.Clone(d.bytes))
	switch {
	case err != nil || !coap.HasOption(outer, coap.OptionOSCORE):
		m.counts[malformed]++
	case p == nil:
		m.counts[gone]++
	case isModelRequest(outer):
		m.request(p, outer)
	default:
		m.response(p, outer)
	}
	m.checkNonces()
}

// checkNonces fails when anything in this test binary used a nonce twice.
func (m *model) checkNonces() {
	if now := nonceRepeats(); now != m.repeat {
		m.fatalf("a nonce was used for two ciphertexts")
	}
}

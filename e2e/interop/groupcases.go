package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

// groupRefused: the peer does not obey a request that it had before, in either
// mode. aiocoap's fault: its group contexts have no attribute echo_recovery, so
// that it refuses a replay by an AttributeError; what reaches us is a 5.00 without
// protection, in place of a 4.01 or of silence.
func groupRefused(ctx context.Context, l *lab) error {
	for _, mode := range []group.Mode{group.Group, group.Pairwise} {
		udp, err := l.newUDP()
		if err != nil {
			return err
		}
		sent := &recording{Exchanger: udp}
		m, err := l.newAsking(ctx, encounter{algs: group.DefaultAlgorithms, request: mode, answer: group.Pairwise})
		if err != nil {
			return err
		}
		ask := m.asker(sent)
		if err := walk(ctx, ask, pairwise); err != nil {
			return err
		}
		if err := refusedReplay(ctx, ask, sent, m.at); err != nil {
			return fmt.Errorf("in %v mode: %w", mode, err)
		}
	}
	return nil
}

// refusedReplay switches the lamp on and off, and then on again by a replay.
func refusedReplay(ctx context.Context, ask asker, sent *recording, to netip.AddrPort) error {
	if _, err := ask(ctx, step{method: coap.PUT, path: "/light", payload: "on"}); err != nil {
		return err
	}
	replay := sent.sent
	if _, err := ask(ctx, step{method: coap.PUT, path: "/light", payload: "off"}); err != nil {
		return err
	}
	resp, err := sent.Exchanger.Exchange(ctx, to, replay)
	if err != nil {
		return err
	}
	if oscore.IsProtected(resp) || resp.Code != coap.InternalServerError {
		return fmt.Errorf("a replay: answered %s; is the fault mended?", coap.CodeString(resp.Code))
	}
	got, err := ask(ctx, step{method: coap.GET, path: "/light"})
	if err == nil && string(got.payload) != "off" {
		err = errors.New("a replay was obeyed")
	}
	return err
}

// groupRefuses: our lamp does not obey the peer under the keys of another group
// with the same identifiers, in either mode, and says nothing. RFC 10021,
// Section 7.
func groupRefuses(ctx context.Context, l *lab) error {
	for _, mode := range []group.Mode{group.Group, group.Pairwise} {
		meeting, err := l.groupPair(ctx, encounter{
			algs: group.DefaultAlgorithms, request: mode, answer: group.Pairwise, wrongSecret: true,
		})
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err = byPeer(meeting.client, meeting.at)(short, exercise[1])
		cancel()
		if err == nil {
			return fmt.Errorf("another key in %v mode: %w", mode, wrong(err))
		}
		if used, _ := meeting.lamp.counts(); used > 0 {
			return fmt.Errorf("another key in %v mode: our lamp obeyed", mode)
		}
	}
	return nil
}

// groupOwnPIV: our answers have Partial IVs of their own, as those of a server
// whose group was rekeyed have. RFC 10021, Section 5.1.
func groupOwnPIV(ctx context.Context, l *lab) error {
	for _, mode := range []group.Mode{group.Group, group.Pairwise} {
		meeting, err := l.groupPair(ctx, encounter{
			algs: group.DefaultAlgorithms, request: mode, answer: mode, ownPIV: true,
		})
		if err != nil {
			return err
		}
		if err := walk(ctx, byPeer(meeting.client, meeting.at), mode.String()); err != nil {
			return fmt.Errorf("in %v mode: %w", mode, err)
		}
	}
	return nil
}

// groupTheirPIV: the same of the peer, which peers/contexts.py makes do it.
func groupTheirPIV(ctx context.Context, l *lab) error {
	for _, mode := range []group.Mode{group.Group, group.Pairwise} {
		udp, err := l.newUDP()
		if err != nil {
			return err
		}
		heard := &recording{Exchanger: udp}
		m, err := l.newAsking(ctx, encounter{algs: group.DefaultAlgorithms, request: mode, answer: mode, ownPIV: true})
		if err != nil {
			return err
		}
		if err := walk(ctx, m.asker(heard), mode.String()); err != nil {
			return fmt.Errorf("in %v mode: %w", mode, err)
		}
		if o, err := oscore.MessageOption(heard.heard); err != nil || o.PIV == nil {
			return fmt.Errorf("in %v mode: the answer has no Partial IV (%v)", mode, err)
		}
	}
	return nil
}

// groupOfThree: two servers of the peer answer to one request of our member, and
// each answer is taken once. As aiocoap does not bind to loopback and to a
// multicast address, the datagram goes to each.
func groupOfThree(answer group.Mode) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		p, err := newParty(group.DefaultAlgorithms)
		if err != nil {
			return err
		}
		own, err := p.context(false)
		if err != nil {
			return err
		}
		other := p
		if other.theirs, err = newMember([]byte{0x09}, "", p.algs.Sign); err != nil {
			return err
		}
		if err := own.SetPeer(group.Peer{KID: other.theirs.id, Cred: other.theirs.cred}); err != nil {
			return err
		}
		udp, err := l.newUDP()
		if err != nil {
			return err
		}
		outer, binding, err := own.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), nil)
		if err != nil {
			return err
		}
		for _, p := range []party{p, other} {
			config := p.config()
			config.Answer = answer.String()
			server, err := l.start(ctx, "server", peerConfig{Group: config})
			if err != nil {
				return err
			}
			resp, err := udp.Exchange(ctx, address(server.UDP), outer)
			if err != nil {
				return err
			}
			inner, from, mode, err := own.UnprotectResponse(resp, binding)
			if err != nil {
				return err
			}
			if string(inner.Payload) != "off" || mode != answer || !bytes.Equal(from.KID, p.theirs.id) {
				return fmt.Errorf("%x answered %q in %v mode", from.KID, inner.Payload, mode)
			}
			if _, _, _, err := own.UnprotectResponse(resp, binding); !errors.Is(err, oscore.ErrReplay) {
				return fmt.Errorf("the same answer again: %w", wrong(err))
			}
		}
		return nil
	}
}

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore/group"
)

// groupServer: the peer asks our member in one mode and is answered in another.
func groupServer(e encounter) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		meeting, err := l.groupPair(ctx, e)
		if err != nil {
			return err
		}
		return walk(ctx, byPeer(meeting.client, meeting.at), e.answer.String())
	}
}

// groupEcho: our member has lost its Replay Windows. It challenges the peer's
// group-mode request, and the peer repeats it in pairwise mode. RFC 10021,
// Section 9.
func groupEcho(ctx context.Context, l *lab) error {
	meeting, err := l.groupPair(ctx, encounter{
		algs: group.DefaultAlgorithms, request: group.Group, answer: group.Pairwise, echoFirst: true,
	})
	if err != nil {
		return err
	}
	// This lamp obeys pairwise requests only: the one that comes again.
	r, err := byPeer(meeting.client, meeting.at)(ctx, exercise[0])
	if err != nil {
		return err
	}
	if r.code != coap.Content || r.mode != pairwise {
		return fmt.Errorf("answered %s, protected as %q", coap.CodeString(r.code), r.mode)
	}
	_, challenges := meeting.lamp.counts()
	return variant{windowLost: true}.check(challenges)
}

// meeting is what came of an encounter.
type meeting struct {
	lamp   *lamp
	at     netip.AddrPort // of the lamp
	client *peer
}

// groupPair starts our member with its lamp and the peer's client.
func (l *lab) groupPair(ctx context.Context, e encounter) (m meeting, err error) {
	party, err := newParty(e.algs)
	if err != nil {
		return m, err
	}
	own, err := party.context(e.echoFirst)
	if err != nil {
		return m, err
	}
	if err := e.overseer.join(party, own); err != nil {
		return m, err
	}
	if e.wrongSecret {
		party.secret = random(16)
	}
	config, kind := party.config(), coap.PeerGroup
	if e.request == group.Pairwise || e.echoFirst {
		kind = coap.PeerPairwise
	}
	if e.request == group.Pairwise {
		config.To = hex.EncodeToString(party.ours.id)
	}
	opener := &groupMember{own: own, answer: e.answer, ownPIV: e.ownPIV}
	if m.lamp, m.at, err = l.newLamp(kind, e.overseer.opener(opener)); err != nil {
		return m, err
	}
	m.client, err = l.start(ctx, "client", peerConfig{Group: config, Proxy: e.proxy})
	return m, err
}

// groupMember opens what members of its group send. It implements
// [coap.Opener].
type groupMember struct {
	answer group.Mode // of answers
	ownPIV bool       // in answers

	mu  sync.Mutex
	own *group.Context
}

// Open implements [coap.Opener].
func (m *groupMember) Open(_ context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	req, binding, err := m.own.UnprotectRequest(outer.Message)
	if challenge, ok := errors.AsType[*group.EchoError](err); ok {
		return nil, challenge.Challenge, err
	}
	if err != nil {
		return nil, nil, err
	}
	kind, answer := coap.PeerGroup, m.answer
	if binding.Mode == group.Pairwise {
		kind = coap.PeerPairwise
	}
	return &coap.Opened{
		Message: req,
		Peer:    coap.Peer{Kind: kind, Name: m.own.Name(), KID: binding.From.KID, Cred: binding.From.Cred},
		Seal: func(resp *coap.Message) (*coap.Message, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.ownPIV { // the nonce of the request is used, if not for what is sent
				if _, err := m.own.ProtectResponse(resp, binding, answer); err != nil {
					return nil, err
				}
			}
			return m.own.ProtectResponse(resp, binding, answer)
		},
	}, nil, nil
}

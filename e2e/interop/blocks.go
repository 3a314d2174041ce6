package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore/group"
)

// body needs several blocks.
var body = strings.Repeat("all the lamps of the town, one after another; ", 80)

// blockExercise is what a client does with a new lamp whose state is too long
// for one message, and around the length of one block.
var blockExercise = []step{
	{coap.PUT, "/light", body, coap.Changed, ""},
	{coap.GET, "/light", "", coap.Content, body},
	{coap.PUT, "/light", body[:1024], coap.Changed, ""},
	{coap.GET, "/light", "", coap.Content, body[:1024]},
	{coap.PUT, "/light", body[:1025], coap.Changed, ""},
	{coap.GET, "/light", "", coap.Content, body[:1025]},
	{coap.PUT, "/light", body[1:2049], coap.Changed, ""},
	{coap.GET, "/light", "", coap.Content, body[1:2049]},
}

// blockMessages is the least number of requests that the exercise needs when
// blocks have 1024 bytes, and 1025 fit in a message without protection.
const blockMessages = 2 * (4 + 1 + 1 + 2)

// A callerMaker starts the peer's server and makes our client of it.
type callerMaker func(ctx context.Context, l *lab, by way) (coap.Caller, *recording, string, error)

// openCaller: without protection.
func openCaller(ctx context.Context, l *lab, by way) (coap.Caller, *recording, string, error) {
	ex, server, err := l.plainLink(ctx, by)
	if err != nil {
		return nil, nil, "", err
	}
	sent := &recording{Exchanger: ex}
	return coap.To(sent, address(server.UDP)), sent, plain, nil
}

// pairCaller: with OSCORE.
func pairCaller(ctx context.Context, l *lab, by way) (coap.Caller, *recording, string, error) {
	pair, ex, server, err := l.oscoreLink(ctx, by)
	if err != nil {
		return nil, nil, "", err
	}
	sent := &recording{Exchanger: ex}
	client, err := pair.newClient(sent, server)
	return client, sent, single, err
}

// memberCaller: in a group.
func memberCaller(request, answer group.Mode) callerMaker {
	return func(ctx context.Context, l *lab, by way) (coap.Caller, *recording, string, error) {
		m, err := l.newAsking(ctx, encounter{algs: group.DefaultAlgorithms, request: request, answer: answer})
		if err != nil {
			return nil, nil, "", err
		}
		ex, err := by(ctx, l, m.server)
		if err != nil {
			return nil, nil, "", err
		}
		sent := &recording{Exchanger: ex}
		return memberAsking{m, sent, answer}, sent, answer.String(), nil
	}
}

// memberAsking is a [coap.Caller] that is answered in one mode.
type memberAsking struct {
	*asking
	ex     coap.Exchanger
	answer group.Mode
}

// Call sends req and returns the response inside.
func (m memberAsking) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	resp, mode, err := m.exchange(ctx, m.ex, req)
	if err == nil && mode != m.answer {
		err = fmt.Errorf("answered in %v mode, not %v", mode, m.answer)
	}
	return resp, err
}

// weAskInBlocks: our client uses the peer's lamp with a state that needs blocks
// of the given size, or of the default for 0. The peer's own have 1024 bytes.
func weAskInBlocks(by way, make callerMaker, size int) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		caller, sent, mode, err := make(ctx, l, by)
		if err != nil {
			return err
		}
		caller = coap.NewBlockCaller(caller, coap.BlockLimits{Size: size}, rand.Reader)
		if err := walkAlong(ctx, blockExercise, byCaller(caller, mode), mode); err != nil {
			return err
		}
		least := blockMessages
		if size > 0 {
			least = len(body) / size
		}
		if sent.count < least {
			return fmt.Errorf("only %d requests", sent.count)
		}
		return nil
	}
}

// itAsksInBlocks: the peer's client uses our lamp with such a state; our blocks
// have the given size.
func itAsksInBlocks(meet meets, mode string, size int) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		l.blockSize = size
		m, err := meet(ctx, l, "")
		if err != nil {
			return err
		}
		return inBlocks(mode)(ctx, m)
	}
}

// goesOn meets a lamp that obeys a member in both modes: after an answer in
// pairwise mode the peer asks for the next block in that mode.
func goesOn(meet meets) meets {
	return func(ctx context.Context, l *lab, proxy string) (meeting, error) {
		m, err := meet(ctx, l, proxy)
		if err == nil {
			m.lamp.anyMode = true
		}
		return m, err
	}
}

// itObservesInBlocks: the peer's client observes our lamp, and fetches the rest
// of notifications that do not fit in one block. RFC 7959, Section 2.6.
func itObservesInBlocks(ctx context.Context, l *lab) error {
	l.blockSize = 128
	m, err := pairMeets(ctx, l, "")
	if err != nil {
		return err
	}
	return m.watched(ctx, single, false)
}

// inBlocks has the peer's client use our lamp with a state that needs blocks.
func inBlocks(mode string) func(context.Context, meeting) error {
	return func(ctx context.Context, m meeting) error {
		if err := walkAlong(ctx, blockExercise, byPeer(m.client, m.at), mode); err != nil {
			return err
		}
		if n := m.lamp.arrived.Load(); n < blockMessages {
			return fmt.Errorf("only %d requests", n)
		}
		return nil
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// overseer is our external signature checker between two members: it has the
// Signature Encryption Key and no other. RFC 10021, Section 7.5. A nil one does
// nothing.
type overseer struct {
	ours, theirs []byte // Sender IDs

	mu      sync.Mutex
	checker *group.Checker
	checked int // messages in group mode
}

// join learns the group.
func (o *overseer) join(p party, own *group.Context) (err error) {
	if o == nil {
		return nil
	}
	o.ours, o.theirs = p.ours.id, p.theirs.id
	o.checker, err = group.NewChecker(group.CheckerParams{
		GID: p.gid, SignatureEncryptionKey: own.SignatureEncryptionKey(), GMCred: p.gmCred, Algs: p.algs,
	})
	if err != nil {
		return err
	}
	return errors.Join(
		o.checker.SetPeer(group.Peer{KID: p.ours.id, Cred: p.ours.cred}),
		o.checker.SetPeer(group.Peer{KID: p.theirs.id, Cred: p.theirs.cred}))
}

// request checks a request, which must be from the member with a Sender ID; with
// a bit flipped it must be refused.
func (o *overseer) request(outer *coap.Message, from []byte) (group.Checked, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if mode, _ := group.ModeOf(outer); mode == group.Pairwise {
		return o.checker.ReadRequest(outer)
	}
	checked, err := o.checker.CheckRequest(outer)
	if err != nil {
		return checked, fmt.Errorf("checking a request: %w", err)
	}
	if !bytes.Equal(checked.From.KID, from) {
		return checked, fmt.Errorf("the checker takes %x for %x", checked.From.KID, from)
	}
	if _, err := o.checker.CheckRequest(flipped(outer)); err == nil {
		return checked, errors.New("the checker accepts a forged request")
	}
	o.checked++
	return checked, nil
}

// response does the same for a response.
func (o *overseer) response(outer *coap.Message, req group.Checked, from []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if mode, _ := group.ModeOf(outer); mode == group.Pairwise {
		return nil
	}
	sender, err := o.checker.CheckResponse(outer, req)
	if err != nil {
		return fmt.Errorf("checking a response: %w", err)
	}
	if !bytes.Equal(sender.KID, from) {
		return fmt.Errorf("the checker takes %x for %x", sender.KID, from)
	}
	if _, err := o.checker.CheckResponse(flipped(outer), req); err == nil {
		return errors.New("the checker accepts a forged response")
	}
	o.checked++
	return nil
}

// flipped is m with another bit in its ciphertext.
func flipped(m *coap.Message) *coap.Message {
	forged := coap.Clone(m)
	forged.Payload = bytes.Clone(m.Payload)
	forged.Payload[0] ^= 1
	return forged
}

// overseen is an exchanger of ours whose messages are checked.
type overseen struct {
	coap.Exchanger
	by *overseer
}

// Exchange implements [coap.Exchanger].
func (o overseen) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	checked, err := o.by.request(req, o.by.ours)
	if err != nil {
		return nil, err
	}
	resp, err := o.Exchanger.Exchange(ctx, to, req)
	if err != nil {
		return nil, err
	}
	return resp, o.by.response(resp, checked, o.by.theirs)
}

// opener has what an opener of ours opens and seals checked.
func (o *overseer) opener(next coap.Opener) coap.Opener {
	if o == nil {
		return next
	}
	return overseenOpener{next, o}
}

type overseenOpener struct {
	coap.Opener
	by *overseer
}

// Open implements [coap.Opener].
func (o overseenOpener) Open(ctx context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	checked, err := o.by.request(outer.Message, o.by.theirs)
	if err != nil {
		return nil, nil, err
	}
	opened, reply, err := o.Opener.Open(ctx, outer)
	if opened == nil {
		return opened, reply, err
	}
	seal := opened.Seal
	opened.Seal = func(resp *coap.Message) (*coap.Message, error) {
		sealed, err := seal(resp)
		if err != nil {
			return nil, err
		}
		return sealed, o.by.response(sealed, checked, o.by.ours)
	}
	return opened, reply, err
}

// groupChecked: our checker verifies what we and the peer send each other in
// group mode, and to pairwise requests.
func groupChecked(sign cose.Algorithm) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		e := encounter{algs: mix(cose.AESCCM16_64_128, cose.AESCCM16_64_128, sign), answer: group.Group}
		for _, e.request = range []group.Mode{group.Group, group.Pairwise} {
			e.overseer = &overseer{}
			if err := groupServer(e)(ctx, l); err != nil {
				return fmt.Errorf("it asks in %v mode: %w", e.request, err)
			}
			if err := e.overseer.enough(e.request); err != nil {
				return err
			}
			e.overseer = &overseer{}
			m, err := l.newAsking(ctx, e)
			if err != nil {
				return err
			}
			udp, err := l.newUDP()
			if err != nil {
				return err
			}
			if err := walk(ctx, m.asker(overseen{udp, e.overseer}), grouped); err != nil {
				return fmt.Errorf("we ask in %v mode: %w", e.request, err)
			}
			if err := e.overseer.enough(e.request); err != nil {
				return err
			}
		}
		return nil
	}
}

// enough checks that all messages of the exercise in group mode were checked: the
// answers, and the requests unless they were in pairwise mode.
func (o *overseer) enough(request group.Mode) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	want := len(exercise)
	if request == group.Group {
		want *= 2
	}
	if o.checked != want {
		return fmt.Errorf("%d messages were checked, not %d", o.checked, want)
	}
	return nil
}

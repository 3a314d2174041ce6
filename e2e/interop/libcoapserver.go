package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// startLibcoap starts libcoap's server on a free port.
func (l *lab) startLibcoap(ctx context.Context) (netip.AddrPort, error) {
	return l.startProgram(ctx, libcoapServer)
}

func (l *lab) startProgram(ctx context.Context, program string, more ...string) (netip.AddrPort, error) {
	free, err := l.newUDP()
	if err != nil {
		return netip.AddrPort{}, err
	}
	to := free.Addr()
	_ = free.Close()
	args := append([]string{"-A", to.Addr().String(), "-p", strconv.Itoa(int(to.Port())), "-d", "4"}, more...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &l.log, &l.log
	cmd.WaitDelay = parting
	if err := cmd.Start(); err != nil {
		return to, fmt.Errorf("starting %s: %w", program, err)
	}
	l.later(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return to, nil
}

// ourClient starts a libcoap server and a client of ours.
func (l *lab) ourClient(ctx context.Context) (*endpoint.UDP, netip.AddrPort, error) {
	to, err := l.startLibcoap(ctx)
	if err != nil {
		return nil, to, err
	}
	udp, err := l.newUDP()
	if err != nil {
		return nil, to, err
	}
	for ctx.Err() == nil { // until it listens
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		_, err = udp.Exchange(short, to, coap.NewRequest(coap.GET, "/", nil))
		cancel()
		if err == nil {
			break
		}
	}
	return udp, to, err
}

func askLibcoap(ctx context.Context, l *lab) error {
	udp, to, err := l.ourClient(ctx)
	if err != nil {
		return err
	}
	steps := []step{
		{coap.GET, "/light", "", coap.NotFound, ""},
		{coap.PUT, "/light", "off", coap.Created, ""},
		{coap.GET, "/light", "", coap.Content, "off"},
		{coap.PUT, "/light", long, coap.Changed, ""},
		{coap.GET, "/light", "", coap.Content, long},
		{coap.DELETE, "/light", "", coap.Deleted, ""},
		{coap.GET, "/light", "", coap.NotFound, ""},
	}
	return walkAlong(ctx, steps, byCaller(coap.To(udp, to), plain), plain)
}

func askLibcoapInBlocks(ctx context.Context, l *lab) error {
	udp, to, err := l.ourClient(ctx)
	if err != nil {
		return err
	}
	for _, b := range blockSizes {
		body := text(3000 + b.size)
		for _, early := range []bool{false, true} {
			c := coap.NewBlockCaller(coap.To(udp, to), coap.BlockLimits{Size: b.size, Early: early}, strings.NewReader("seed"))
			put, err := c.Call(ctx, coap.NewRequest(coap.PUT, "/example_data", body))
			if err != nil || coap.Class(put.Code) != 2 {
				return fmt.Errorf("PUT in blocks of %d: %v %w", b.size, put, err)
			}
			got, err := c.Call(ctx, coap.NewRequest(coap.GET, "/example_data", nil))
			if err != nil || !bytes.Equal(got.Payload, body) {
				return fmt.Errorf("GET in blocks of %d: %v %w", b.size, got, err)
			}
		}
	}
	return nil
}

// observeLibcoap observes a resource that is large at first, which comes in blocks.
func observeLibcoap(ctx context.Context, l *lab) error {
	udp, to, err := l.ourClient(ctx)
	if err != nil {
		return err
	}
	request := func(value uint32) *coap.Message {
		m := coap.NewRequest(coap.GET, "/example_data", nil)
		coap.AddUint(m, coap.OptionObserve, value)
		return m
	}
	type call struct {
		m   *coap.Message
		err error
	}
	calls := make(chan call, 16)
	o, err := udp.Observe(coap.WithBlocks(ctx), to, request(coap.ObserveRegister), func(m *coap.Message, err error) { calls <- call{m, err} })
	if err != nil {
		return err
	}
	defer o.Close()
	c := coap.NewBlockCaller(coap.To(udp, to), coap.BlockLimits{}, strings.NewReader("seed"))
	var order coap.Order
	hear := func(want []byte, notification bool) error {
		var heard call
		select {
		case heard = <-calls:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %.20q: %w", want, ctx.Err())
		}
		if heard.err != nil {
			return heard.err
		}
		m, _, err := c.Rest(ctx, request(coap.ObserveRegister), heard.m)
		if err != nil {
			return err
		}
		if coap.IsNotification(m) != notification || want != nil && !bytes.Equal(m.Payload, want) || !order.Fresh(time.Now(), m) {
			return fmt.Errorf("heard %v with %.20q, not %.20q", m, m.Payload, want)
		}
		return nil
	}
	if err := hear(nil, true); err != nil {
		return err
	}
	states := [][]byte{[]byte("one"), text(3000), []byte("three")}
	for _, state := range states {
		if _, err := c.Call(ctx, coap.NewRequest(coap.PUT, "/example_data", state)); err != nil {
			return err
		}
		if err := hear(state, true); err != nil {
			return err
		}
	}
	if err := o.Again(request(coap.ObserveDeregister)); err != nil {
		return err
	}
	return hear(states[len(states)-1], false)
}

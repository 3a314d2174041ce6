package gm

import (
	"context"
	"net/netip"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// controlGroupURI is where messages for many go when the group's own requests go to
// an address. RFC 9594, Section 4.3.1: it names the group, and is no control_uri.
func controlGroupURI(address, name string) string {
	return "coap://" + address + groupPath("ace-group", name)
}

const (
	maxSent   = 3               // how often the same message for many is sent
	sendAgain = 3 * time.Second // after the first time, then thrice as long
)

// multicast sends the messages for many when it is their time: the same bytes each
// time, as they follow from the group and its job. RFC 9594, Section 6.2.
func (s *Server) multicast(ctx context.Context, p *plan) error {
	now := s.cfg.Now()
	if !p.job.toMany() || p.job.Sent >= maxSent || isLater(p.job.Next, now) {
		return nil
	}
	if s.cfg.Exchange != nil && p.g.ControlGroupURI != "" {
		if err := s.sendToMany(ctx, p); err != nil && ctx.Err() == nil {
			s.log.Warn("sending a message to a group's members", "group", p.g.Name, "num", p.job.Num, "err", err)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	wait := sendAgain
	for range p.job.Sent {
		wait *= 3
	}
	p.job.Sent++
	p.job.Next = now.Add(wait).UnixMilli()
	return s.commit(ctx, "rekeying progress", func(tx store.Tx) error {
		job, err := load[rekeyJob](tx, jobKey(p.g.Name))
		if err != nil || job == nil || job.Num != p.job.Num {
			return err
		}
		job.Sent, job.Next = p.job.Sent, p.job.Next
		return save(tx, jobKey(p.g.Name), job)
	})
}

// sendToMany sends each part once, unprotected otherwise and non-confirmable. No
// answers are waited for.
func (s *Server) sendToMany(ctx context.Context, p *plan) error {
	parts, err := s.sealToMany(ctx, p)
	if err != nil {
		return err
	}
	to, path, err := endpointOf(p.g.ControlGroupURI)
	if err != nil {
		return err
	}
	for _, part := range parts {
		req := coap.NewRequest(coap.POST, path, part)
		coap.AddUint(req, coap.OptionContentFormat, ace.FormatACEGroupcomm)
		coap.AddUint(req, coap.OptionNoResponse, coap.NoResponses)
		if err := s.cfg.Exchange.Multicast(ctx, to, req, 0, func(*coap.Message, netip.AddrPort) {}); err != nil {
			return err
		}
	}
	return nil
}

// deleteAtAll sends a DELETE to a group address, once.
func (s *Server) deleteAtAll(ctx context.Context, uri string) error {
	to, path, err := endpointOf(uri)
	if err != nil {
		return err
	}
	req := coap.NewRequest(coap.DELETE, path, nil)
	coap.AddUint(req, coap.OptionNoResponse, coap.NoResponses)
	return s.cfg.Exchange.Multicast(ctx, to, req, 0, func(*coap.Message, netip.AddrPort) {})
}

func (s *Server) sealToMany(ctx context.Context, p *plan) (parts [][]byte, err error) {
	alg, sign, err := s.treeSigner(p.g)
	if err != nil {
		return nil, err
	}
	var payload []byte
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		msg, err := p.g.rekeyingMessage(tx, p.job, p.job.EXI)
		if err == nil {
			payload = ace.Encode(msg)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.g.Tree.keys().Seal(p.g.Name, p.g.Num, payload, p.job.Cover, alg, sign)
}

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// killPerson is an installer who enrolled.
type killPerson struct {
	name, id string
	key      ed25519.PrivateKey
	cred     []byte
	as       *oscore.PSKClient
	leaving  atomic.Bool // the revocation was asked for
	revoked  atomic.Bool // and acknowledged
}

// killPeople invites people and revokes them.
type killPeople struct {
	s   *killSite
	rng *mathrand.Rand

	mu  sync.Mutex
	all []*killPerson
}

// one picks somebody who is not revoked.
func (p *killPeople) one(rng *mathrand.Rand) *killPerson {
	p.mu.Lock()
	defer p.mu.Unlock()
	var live []*killPerson
	for _, x := range p.all {
		if !x.leaving.Load() {
			live = append(live, x)
		}
	}
	return live[rng.IntN(len(live))]
}

func (p *killPeople) list() []*killPerson {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*killPerson{}, p.all...)
}

// enrolOne invites somebody until there is an answer, and enrols.
func (p *killPeople) enrolOne(ctx context.Context, number int) *killPerson {
	x := &killPerson{name: fmt.Sprintf("Person %d", number), key: ed25519.NewKeyFromSeed(random(ed25519.SeedSize))}
	x.cred = cose.NewCCS(x.name, x.key.Public().(ed25519.PublicKey))
	var i commission.Invitation
	if !p.s.insist(ctx, func(ctx context.Context) error {
		made, err := callAS[invited](ctx, atAS{p.s.data}, "POST", "/invite", inviteRequest{Name: x.name, Role: "installer", Seconds: 3600})
		if err == nil {
			i, err = commission.ParseInvitation(made.Link)
		}
		return err
	}) {
		return nil
	}
	if !p.s.insist(ctx, func(ctx context.Context) error { return p.enrol(ctx, x, i) }) {
		return nil
	}
	if !p.s.insist(ctx, func(ctx context.Context) error { return p.identify(ctx, x) }) {
		return nil
	}
	p.mu.Lock()
	p.all = append(p.all, x)
	p.mu.Unlock()
	p.s.ledger.count("enrolled")
	return x
}

// enrol trades the invitation for a key of the person's own.
func (p *killPeople) enrol(ctx context.Context, x *killPerson, i commission.Invitation) error {
	at := netip.MustParseAddrPort(i.ASAddress)
	session := oscore.NewPSKClient(oscore.NewPSK(i.ID, i.Secret, oscore.SaltInvitation), p.s.udp, at, rand.Reader)
	if err := call(ctx, session, coap.POST, "/enroll", map[int]any{1: x.cred, 2: x.name}); err != nil {
		return err
	}
	as, err := cose.ParseCCS(i.ASCred)
	if err != nil {
		return err
	}
	key, err := cose.DerivedKey(i.Secret, x.key, as.Public, x.cred, i.ASCred)
	if err != nil {
		return err
	}
	x.as = oscore.NewPSKClient(oscore.NewPSK(x.cred, key, oscore.SaltInstaller), p.s.udp, at, rand.Reader)
	return nil
}

// identify finds out the person's id.
func (p *killPeople) identify(ctx context.Context, x *killPerson) error {
	list, err := callAS[[]person](ctx, atAS{p.s.data}, "GET", "/people", nil)
	for _, other := range list {
		if other.Name == x.name && !other.Pending {
			x.id = other.ID
			return err
		}
	}
	return fmt.Errorf("%s is not on the list: %w", x.name, err)
}

// call makes a request with a CBOR payload whose answer is not looked at.
func call(ctx context.Context, to coap.Caller, method coap.Code, path string, body any) error {
	req := coap.NewRequest(method, path, cbor.MustMarshal(body))
	coap.AddUint(req, coap.OptionContentFormat, ace.FormatCBOR)
	resp, err := to.Call(ctx, req)
	if err != nil {
		return err
	}
	return coap.CheckResponse(resp)
}

// register makes a device known, so that a person may act for it.
func (x *killPerson) register(ctx context.Context, id string, cred []byte) error {
	sum := sha256.Sum256(cred)
	return call(ctx, x.as, coap.PUT, "/devices/"+id, map[int]any{1: sum[:], 2: "lamp"})
}

// token gets a token, for the person or for a device.
func (x *killPerson) token(ctx context.Context, s *killSite, device string, scope []byte) (*ace.TokenResponse, error) {
	tok, err := join.Token(ctx, x.as, ace.TokenRequest{ClientID: device, Scope: scope})
	if err == nil {
		s.ledger.token(s.tokenKey, tok)
		s.ledger.count("token")
	}
	return tok, err
}

// run revokes somebody now and then, and lets somebody else in.
func (p *killPeople) run(ctx context.Context) {
	for number := len(p.list()); ctx.Err() == nil; number++ {
		if !sleep(ctx, p.s.pace*time.Duration(20+p.rng.IntN(60))) {
			return
		}
		x := p.enrolOne(ctx, number)
		if x == nil {
			return
		}
		p.s.addOwn(x)
		p.revoke(ctx, p.one(p.rng))
	}
}

// revoke ends what somebody may do.
func (p *killPeople) revoke(ctx context.Context, x *killPerson) {
	x.leaving.Store(true)
	p.s.insist(ctx, func(ctx context.Context) error {
		_, err := callAS[[]person](ctx, atAS{p.s.data}, "POST", "/revoke", revokeRequest{x.id})
		if err != nil && strings.Contains(err.Error(), "revoked already") {
			err = nil // the answer was lost
		}
		if err == nil {
			x.revoked.Store(true)
			p.s.ledger.count("revoked")
		}
		return err
	})
}

// check holds the Authorization Server to what it acknowledged.
func (p *killPeople) check(ctx context.Context) {
	stands := map[string]person{}
	var list []person
	if !p.s.insistLocked(ctx, func(ctx context.Context) (err error) {
		list, err = callAS[[]person](ctx, atAS{p.s.data}, "GET", "/people", nil)
		return err
	}) {
		p.s.stuck("nobody says who has access")
	}
	for _, x := range list {
		stands[x.ID] = x
	}
	for _, x := range p.list() {
		now, known := stands[x.id]
		switch {
		case !known, now.Pending:
			p.s.ledger.fail("%s, who enrolled, is lost", x.name)
		case x.revoked.Load() != now.Revoked && !(x.leaving.Load() && !x.revoked.Load()):
			p.s.ledger.fail("%s: revoked %v, and is: %v", x.name, x.revoked.Load(), now.Revoked)
		}
	}
	p.checkShut(ctx)
}

// checkShut has who was revoked last ask for a token.
func (p *killPeople) checkShut(ctx context.Context) {
	all := p.list()
	for i := len(all) - 1; i >= 0; i-- {
		if !all[i].revoked.Load() {
			continue
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := join.Token(short, all[i].as, ace.TokenRequest{}); err == nil {
			p.s.ledger.fail("%s was revoked and got a token", all[i].name)
		}
		return
	}
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/admin"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// killAdmin creates, changes, pauses and deletes groups, evicts and rekeys.
type killAdmin struct {
	s      *killSite
	rng    *mathrand.Rand
	client *admin.Client // nil: it has no association; one request at a time
	etags  map[string]string

	mu     sync.Mutex
	groups []*killGroup
}

func (a *killAdmin) list() []*killGroup {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*killGroup{}, a.groups...)
}

// some lists the groups that are there.
func (a *killAdmin) some() (there []*killGroup) {
	for _, g := range a.list() {
		if g.state() == groupThere {
			there = append(there, g)
		}
	}
	return there
}

func (a *killAdmin) anyGroup(rng *mathrand.Rand) *killGroup {
	there := a.some()
	return there[rng.IntN(len(there))]
}

// connect gets an administrator's association from somebody's token.
func (a *killAdmin) connect(ctx context.Context) error {
	if a.client != nil {
		return nil
	}
	scope := ace.Scope{Admins: []ace.AdminEntry{{Groups: ace.AnyGroup, Perm: ace.PermAll}}}
	tok, err := a.s.people.one(a.rng).token(ctx, a.s, "", scope.Encode())
	if err != nil {
		return err
	}
	profile := join.OSCORE{
		Exchange: a.s.udp, GM: a.s.gmAt, RecipientID: random(4), Sequence: oscore.NewSequence(0, nil), Rand: rand.Reader,
	}
	c, err := profile.Transfer(ctx, tok)
	if err != nil {
		return err
	}
	a.client = admin.New(c, a.s.gmAt.String())
	return nil
}

// failed drops an association that is good for nothing any more.
func (a *killAdmin) failed(err error) error {
	if errors.Is(err, admin.ErrNoToken) || err != nil && !errors.Is(err, admin.ErrRefused) && !errors.Is(err, context.DeadlineExceeded) {
		a.client = nil
	}
	return err
}

// run does one thing after the other until ctx ends.
func (a *killAdmin) run(ctx context.Context) {
	for rest := a.s.pace; sleep(ctx, rest); {
		a.s.gate.RLock()
		rest = a.s.pace * time.Duration(a.rng.IntN(150)) / 100
		short, cancel := context.WithTimeout(ctx, patience)
		if err := a.connect(short); err == nil {
			_ = a.failed(a.step(short)) // whatever went wrong counts for neither side
		}
		cancel()
		a.s.gate.RUnlock()
	}
}

func (a *killAdmin) step(ctx context.Context) error {
	g := a.anyGroup(a.rng)
	if !g.may[0].Active.Value {
		return a.patch(ctx, g, ace.Configuration{Active: ace.Is(true)})
	}
	switch dice := a.rng.IntN(20); {
	case dice < 2 && len(a.list()) < 200:
		return a.create(ctx, fmt.Sprintf("room-%d", len(a.list())), false)
	case dice < 4 && !g.fixed:
		return a.remove(ctx, g)
	case dice < 8:
		return a.patch(ctx, g, ace.Configuration{GroupDescription: ace.Is(fmt.Sprintf("text %d", a.rng.Uint32()))})
	case dice < 9:
		algs := []cose.Algorithm{cose.AESCCM16_64_128, cose.A128GCM}
		return a.patch(ctx, g, ace.Configuration{GpEncAlg: ace.Alg(algs[a.rng.IntN(2)])})
	case dice < 11:
		return a.pause(ctx, g)
	case dice < 14:
		return a.evict(ctx, a.s.anyNode(a.rng))
	default:
		asked := g.num.Load()
		err := a.client.Rekey(ctx, g.name)
		if err == nil {
			a.s.ledger.count("rekeyed")
		}
		return errors.Join(err, a.progress(ctx, g, asked))
	}
}

// progress asks for the version of a group's keys.
func (a *killAdmin) progress(ctx context.Context, g *killGroup, asked uint64) error {
	p, err := a.client.Progress(ctx, g.name)
	if err == nil {
		g.saw(a.s.ledger, asked, p.Num)
	}
	return err
}

// create makes a group; the one that was asked for may be there also when the
// answer was lost.
func (a *killAdmin) create(ctx context.Context, name string, fixed bool) error {
	g := &killGroup{name: name, fixed: fixed, many: name == "many"}
	want := ace.Configuration{
		GroupName: ace.Is(ace.NamedGroup(name)), Active: ace.Is(true), MaxStaleSets: ace.Is[uint64](keptStaleSets),
		GroupDescription: ace.Is("new"), GpEncAlg: ace.Alg(cose.AESCCM16_64_128),
	}
	policies := ace.AdminPolicies{RekeyOnJoin: ace.Is(name == "fresh")}
	if g.many {
		policies.RekeyingScheme, policies.Multicast = ace.Is(ace.RekeyingCompleteSubtree), ace.Is(a.s.multicast.String())
	}
	want.Policies = ace.Is(policies)
	g.may = []ace.Configuration{want.Only(watchedParameters)}
	a.mu.Lock()
	a.groups = append(a.groups, g)
	a.mu.Unlock()
	out, err := a.client.Create(ctx, want)
	if err != nil {
		return err
	}
	if out.Name == name {
		g.is.Store(int32(groupThere))
		a.s.ledger.count("created")
	}
	return nil // else the first answer was lost, and another group was made
}

// watchedParameters are those that are changed, and held against what was acknowledged.
var watchedParameters = []int{ace.AdminActive, ace.AdminGroupDescription, ace.AdminGpEncAlg, ace.AdminMaxStaleSets}

// patch changes a configuration: without a look at what it is, or only if nobody
// changed it meanwhile.
func (a *killAdmin) patch(ctx context.Context, g *killGroup, change ace.Configuration) error {
	old := g.may
	next := make([]ace.Configuration, len(old))
	for i, c := range old {
		next[i] = c.With(change)
	}
	g.may = append(next[:len(next):len(next)], old...)
	var err error
	if a.rng.IntN(2) == 0 {
		_, err = a.client.Patch(ctx, g.name, change, nil)
	} else {
		_, err = a.client.Update(ctx, g.name, func(ace.Configuration) ace.Configuration { return change })
	}
	if err == nil {
		g.may = next
		a.s.ledger.count("changed")
	}
	return err
}

// pause makes a group inactive for a moment.
func (a *killAdmin) pause(ctx context.Context, g *killGroup) error {
	if err := a.patch(ctx, g, ace.Configuration{Active: ace.Is(false)}); err != nil {
		return err
	}
	a.s.ledger.count("paused")
	return a.patch(ctx, g, ace.Configuration{Active: ace.Is(true)})
}

func (a *killAdmin) remove(ctx context.Context, g *killGroup) error {
	if err := a.patch(ctx, g, ace.Configuration{Active: ace.Is(false)}); err != nil {
		return err
	}
	g.is.Store(int32(groupOpen))
	err := a.client.Delete(ctx, g.name, nil)
	if err == nil || errors.Is(err, admin.ErrNotFound) { // the answer to the first may be lost
		g.is.Store(int32(groupGone))
		a.s.ledger.count("deleted")
		return nil
	}
	return err
}

// evict ends the membership of a node that does nothing else meanwhile.
func (a *killAdmin) evict(ctx context.Context, n *killNode) error {
	n.turn.Lock()
	defer n.turn.Unlock()
	st := n.now.Load()
	if !st.member || st.open || n.goes() || st.group.state() != groupThere {
		return nil
	}
	asked := st.group.num.Load()
	before := n.open()
	err := a.client.Evict(ctx, st.group.name, st.node)
	if err != nil {
		n.gaveUp(before, surrender{least: asked, most: noNum, maybe: true})
		return err
	}
	n.gaveUp(before, surrender{least: asked, most: noNum})
	n.now.Store(&stand{group: st.group})
	a.s.ledger.count("evicted")
	return nil
}

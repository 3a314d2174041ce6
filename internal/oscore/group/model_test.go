package group

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"lamplighter/internal/cose"
)

// The model test: members of a group, a Group Manager and an adversary take
// random steps over a link that loses, repeats, delays and reorders. Beside the
// implementation runs a model that is told what each member was handed (keys,
// credentials, windows) and what was sent, never what the implementation thinks
// of it. For each datagram the model first says what must become of it and why;
// then the implementation is asked. So nothing is accepted that should not be,
// and nothing is lost but for a reason that the model can name.
//
// LAMPLIGHTER_SEED=n repeats a run, LAMPLIGHTER_STEPS=n makes it longer.

// modelConfig is one group.
type modelConfig struct {
	name  string
	algs  Algorithms
	p256  bool
	steps int
}

var modelConfigs = []modelConfig{
	{name: "both modes", algs: DefaultAlgorithms, steps: 10_000},
	{name: "ES256", p256: true, steps: 1500, algs: Algorithms{
		AEAD: cose.AESCCM16_64_128, GroupEnc: cose.AESCCM16_64_128, Sign: cose.ES256,
		Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256}},
	{name: "CTR", steps: 1500, algs: Algorithms{
		AEAD: cose.AESCCM16_64_128, GroupEnc: cose.A128CTR, Sign: cose.EdDSA,
		Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256}},
	{name: "group only", steps: 1500, algs: Algorithms{
		GroupEnc: cose.AESCCM16_64_128, Sign: cose.EdDSA, HKDF: cose.HMAC256}},
	{name: "pairwise only", steps: 1500, algs: Algorithms{
		AEAD: cose.ChaCha20Poly1305, Pairwise: cose.ECDHSSHKDF512, HKDF: cose.HMAC512}},
}

// modelShort is the share of the steps that are taken where they take long.
const modelShort = 0.15

func modelSteps(t *testing.T, c modelConfig) int {
	if text := os.Getenv("LAMPLIGHTER_STEPS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if modelRace || runtime.GOARCH == "wasm" {
		return int(float64(c.steps) * modelShort)
	}
	return c.steps
}

func modelSeed(t *testing.T, fallback uint64) uint64 {
	text := os.Getenv("LAMPLIGHTER_SEED")
	if text == "" {
		return fallback
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// TestModel takes 10,000 steps with a group that has both modes, and fewer with
// other algorithms.
func TestModel(t *testing.T) {
	for _, c := range modelConfigs {
		t.Run(c.name, func(t *testing.T) { runModel(t, c, modelSeed(t, 1), modelSteps(t, c)) })
	}
}

// TestModelSoak takes 10,000 steps with each group from many seeds.
func TestModelSoak(t *testing.T) {
	if os.Getenv("LAMPLIGHTER_SOAK") == "" {
		t.Skip("LAMPLIGHTER_SOAK is not set")
	}
	for _, c := range modelConfigs {
		for seed := range uint64(10) {
			t.Run(fmt.Sprint(c.name, " ", seed), func(t *testing.T) { runModel(t, c, modelSeed(t, 2+seed), max(10_000, modelSteps(t, c))) })
		}
	}
}

func runModel(t *testing.T, c modelConfig, seed uint64, steps int) {
	m := newModel(t, c, seed)
	for m.step = 1; m.step <= steps; m.step++ {
		m.act()
		m.advance(time.Duration(m.rng.Int64N(int64(400 * time.Millisecond))))
		m.checkNonces()
	}
	m.heal()
	if steps >= 10_000 && m.hasGroup() && m.hasPairwise() {
		m.covered()
	}
	for _, v := range slices.Sorted(maps.Keys(m.counts)) {
		t.Logf("%7d %s", m.counts[v], v)
	}
	t.Logf("%7d messages sent in %d epochs", len(m.oracle.sent), len(m.gm.epochs))
}

// covered checks that what can happen did happen.
func (m *model) covered() {
	for _, v := range []verdict{
		accepted, mustProve, needsCredential, needsKeys, replayed, tooOld, staleEpoch, ownMessage, purged, notForMe,
		wrongAsked, exchanged, outOfOrder, lateEpoch, renamed, forged,
		lost, gone, noMember, unreachable, impersonated, acrossEpochs, further,
	} {
		if m.counts[v] == 0 {
			m.t.Errorf("seed %d: never %q", m.seed, v)
		}
	}
}

// modelActions are the steps and how often they are taken.
var modelActions = []struct {
	weight int
	do     func(m *model, p *modelNode)
}{
	{300, func(m *model, p *modelNode) { m.askAny(p, false) }},
	{50, func(m *model, p *modelNode) { m.askAny(p, true) }},
	{280, (*model).notify},
	{200, func(m *model, _ *modelNode) { m.attack() }},
	{25, func(m *model, p *modelNode) { m.reboot(p, true) }},
	{15, func(m *model, p *modelNode) { m.reboot(p, false) }},
	{10, func(m *model, p *modelNode) { m.renew(p, m.lose) }},
	{10, func(m *model, p *modelNode) { m.renew(p, m.rename) }},
	{15, (*model).forget},
	{20, func(m *model, _ *modelNode) { m.rekeyAmid() }},
	{10, (*model).change},
	{10, func(m *model, _ *modelNode) { m.weather() }},
	{5, func(m *model, _ *modelNode) { m.advance(time.Duration(m.rng.Int64N(int64(3 * time.Hour)))) }},
}

// act takes one random step.
func (m *model) act() {
	total := 0
	for _, a := range modelActions {
		total += a.weight
	}
	at := m.rng.IntN(total)
	for _, a := range modelActions {
		if at < a.weight {
			a.do(m, pick(m, m.gm.members))
			return
		}
		at -= a.weight
	}
}

// notify lets a server send a further response, mostly to a registration.
func (m *model) notify(p *modelNode) {
	from := slices.DeleteFunc(slices.Clone(p.serving), func(x *modelServing) bool { return !x.req.observe })
	if len(from) == 0 || m.chance(0.2) {
		from = p.serving
	}
	if len(from) > 0 {
		m.respond(p, pick(m, from))
	}
}

// rekeyAmid rekeys the group while responses are on their way for long.
func (m *model) rekeyAmid() {
	slow := m.link.slow
	m.link.slow = 0.8
	for range 6 {
		m.notify(pick(m, m.gm.members))
	}
	m.link.slow = slow
	m.rekey()
}

// renew gives a member a new Sender ID; when they run out, the group is rekeyed.
func (m *model) renew(p *modelNode, how func(*modelNode)) {
	if !m.hasKIDs() {
		m.rekey()
	}
	how(p)
}

// change lets someone join or leave. After a join the group may be rekeyed.
func (m *model) change(p *modelNode) {
	n := len(m.gm.members)
	if n == modelMembers || n > modelFewest && m.chance(0.4) {
		m.leave(p)
		return
	}
	if !m.hasKIDs() {
		m.rekey()
	}
	m.join()
	if m.chance(0.5) {
		m.rekey()
	}
}

// weather changes how the link behaves.
func (m *model) weather() {
	m.link = modelFaults{loss: m.rng.Float64() * 0.3, dup: m.rng.Float64() * 0.3, slow: m.rng.Float64() * 0.3}
}

// heal takes the faults off the link: then the members understand each other
// again, whatever was before. The first round finds and answers challenges.
func (m *model) heal() {
	m.link = modelFaults{}
	m.advance(time.Hour)
	for round := range 2 {
		for _, p := range slices.Clone(m.gm.members) {
			for _, to := range slices.Clone(m.gm.members) {
				if p == to {
					continue
				}
				a := modelAsk{mode: Group}
				if !m.hasGroup() {
					a.mode, a.to = Pairwise, m.gm.kid[to]
					if p.view.peers[a.to] == nil && !m.fetchPeer(p, a.to) {
						m.fatalf("%v cannot fetch %x", p, a.to)
					}
				}
				before := len(m.oracle.sent)
				m.ask(p, a)
				m.advance(time.Minute)
				if round > 0 && len(m.oracle.sent) > before && !to.person.accepted[before] {
					m.fatalf("%v does not understand %v", to, m.oracle.sent[before])
				}
			}
		}
	}
}

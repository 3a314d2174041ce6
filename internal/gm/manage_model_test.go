package gm

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

// recommended is the configuration that a request without parameters makes: GMA,
// Section 5.2, written down by hand.
var recommended = ace.Configuration{
	HKDF: ace.Alg(5), CredFmt: ace.Is(14), GroupMode: ace.Is(true), GpEncAlg: ace.Alg(10), SignAlg: ace.Alg(-8),
	SignParams: ace.Is(ace.Capabilities{{1}, {1, 6}}), PairwiseMode: ace.Is(true), Alg: ace.Alg(10), ECDHAlg: ace.Alg(-27),
	ECDHParams: ace.Is(ace.Capabilities{{1}, {1, 4}}), DetReq: ace.Is(false), RT: ace.Is("core.osc.gconf"), Active: ace.Is(false),
	GroupDescription: ace.IsNull[string](), Profile: ace.Is(1), MaxStaleSets: ace.Is[uint64](3), GIDReuse: ace.Is(false),
	AppGroups: ace.Is([]string{}), ASURI: ace.Is(""),
	Policies: ace.Is(ace.AdminPolicies{CheckInterval: ace.Is[uint64](3600), ExpirationDelta: ace.Is[uint64](0)}),
}

// wishes are parameters that go with the defaults and with each other.
var wishes = []ace.Configuration{
	{Active: ace.Is(true)}, {Active: ace.Is(false)}, {GroupDescription: ace.Is("what")}, {GroupDescription: ace.IsNull[string]()},
	{MaxStaleSets: ace.Is[uint64](2)}, {MaxStaleSets: ace.Is[uint64](7)}, {AppGroups: ace.Is([]string{"a", "b"})}, {AppGroups: ace.Is([]string{})},
	{GpEncAlg: ace.Alg(cose.A128CTR)}, {GpEncAlg: ace.Alg(cose.ChaCha20Poly1305)}, {Alg: ace.Alg(cose.AESCCM64_64_128)}, {Alg: ace.Alg(cose.AESCCM16_64_128)},
	{HKDF: ace.Alg(cose.HMAC512), ECDHAlg: ace.Alg(cose.ECDHSSHKDF512)}, {HKDF: ace.Alg(cose.HMAC256), ECDHAlg: ace.Alg(cose.ECDHSSHKDF256)},
	{Policies: ace.Is(ace.AdminPolicies{CheckInterval: ace.Is[uint64](60), ExpirationDelta: ace.Is[uint64](5)})},
	{Policies: ace.Is(ace.AdminPolicies{CheckInterval: ace.Is[uint64](3600), ExpirationDelta: ace.Is[uint64](0), Multicast: ace.Is("[ff35::1]:5683")})},
	{SignAlg: ace.Alg(cose.ES256), SignParams: ace.Is(ace.Capabilities{{2}, {2, 1}}), ECDHParams: ace.Is(ace.Capabilities{{2}, {2, 1}})},
	{SignAlg: ace.Alg(cose.EdDSA), SignParams: ace.Is(ace.Capabilities{{1}, {1, 6}}), ECDHParams: ace.Is(ace.Capabilities{{1}, {1, 4}})},
}

// neverDone are requests for which there is nothing but an error, in every state.
var neverDone = map[coap.Code][]ace.Configuration{
	coap.BadRequest:         {{EXP: ace.Is[uint64](1)}, {MaxStaleSets: ace.Is[uint64](0)}, {Profile: ace.Is(1)}},
	coap.ServiceUnavailable: {{CredFmt: ace.Is(33)}, {DetReq: ace.Is(true)}},
}

// adminModel holds the admin interface to what was acknowledged. A request whose
// answer a crash has swallowed was done wholly or not at all.
type adminModel struct {
	w     *world
	store *fragile
	rng   *rand.Rand
	boss  *direct
	want  map[string]ace.Configuration // by name, without exp
	etags map[string]string            // of a representation
	reps  map[string]string            // of an ETag
}

func newAdminModel(t *testing.T, seed uint64) *adminModel {
	f := &fragile{Store: store.NewMemory()}
	w := newEmptyWorld(t, withP256, func(c *Config) { c.Store = f })
	w.store = f
	return &adminModel{
		w: w, store: f, rng: rand.New(rand.NewPCG(seed, 1)), boss: w.chief(),
		want: map[string]ace.Configuration{}, etags: map[string]string{}, reps: map[string]string{},
	}
}

func (m *adminModel) pick() ace.Configuration {
	c := ace.Configuration{}
	for range 1 + m.rng.IntN(3) {
		c = c.With(wishes[m.rng.IntN(len(wishes))])
	}
	return c
}

func (m *adminModel) name() string { return fmt.Sprint("gp", m.rng.IntN(4)) }

// step makes one random request, perhaps with a crash.
func (m *adminModel) step() {
	m.store.next = crash(max(0, m.rng.IntN(6)-3))
	name := m.name()
	before, exists := m.want[name]
	switch m.rng.IntN(7) {
	case 0, 1:
		if !exists {
			m.create(name)
		}
	case 2, 3:
		c := m.pick()
		m.try(coap.IPATCH, name, c, exists, before.With(c))
	case 4:
		c := m.pick()
		after := recommended.With(ace.Configuration{GroupName: ace.Is(ace.NamedGroup(name)), JoiningURI: ace.Is("/ace-group/" + name)}).With(c)
		m.try(coap.POST, name, c, exists, after)
	case 5:
		m.remove(name, before, exists)
	case 6:
		m.refuse(name, exists)
		m.w.pass(time.Duration(m.rng.IntN(1000)) * time.Millisecond)
	}
	m.recover()
	m.check()
}

// recover starts the Group Manager anew after a crash.
func (m *adminModel) recover() {
	m.store.next = never
	if m.store.dead {
		m.store.dead = false
		m.w.restart()
	}
}

func (m *adminModel) create(name string) {
	c := m.pick()
	after := recommended.With(ace.Configuration{GroupName: ace.Is(ace.NamedGroup(name)), JoiningURI: ace.Is("/ace-group/" + name)}).With(c)
	resp := m.w.ask(m.boss, coap.POST, "/manage", c.With(named(name)))
	m.settle(resp, name, ace.Configuration{}, false, after, coap.Created)
}

func (m *adminModel) try(method coap.Code, name string, c ace.Configuration, exists bool, after ace.Configuration) {
	resp := m.w.ask(m.boss, method, "/manage/"+name, c)
	if !exists {
		m.gone(resp)
		return
	}
	m.settle(resp, name, m.want[name], true, after, coap.Changed)
}

func (m *adminModel) remove(name string, before ace.Configuration, exists bool) {
	resp := m.w.call(m.boss, coap.DELETE, "/manage/"+name, -1, nil)
	switch {
	case !exists:
		m.gone(resp)
	case before.Active.Value && resp.Code != coap.InternalServerError:
		wantProblem(m.w.t, "delete", resp, coap.BadRequest, ace.ErrorActive)
	case resp.Code == coap.Deleted:
		delete(m.want, name)
	default:
		m.recover()
		if m.w.call(m.boss, coap.GET, "/manage/"+name, -1, nil).Code == coap.NotFound {
			delete(m.want, name)
		}
	}
}

func (m *adminModel) refuse(name string, exists bool) {
	for code, all := range neverDone {
		c := all[m.rng.IntN(len(all))]
		if resp := m.w.ask(m.boss, coap.POST, "/manage", c.With(named("other"))); resp.Code != coap.InternalServerError {
			wantCode(m.w.t, "create", resp, code)
		}
		if resp := m.w.ask(m.boss, coap.PATCH, "/manage/"+name, c); exists && resp.Code != coap.InternalServerError {
			wantCode(m.w.t, "update", resp, code)
		}
	}
}

func (m *adminModel) gone(resp *coap.Message) {
	if resp.Code != coap.InternalServerError {
		wantCode(m.w.t, "a group that is not there", resp, coap.NotFound)
	}
}

// settle notes what a change has made: what was asked when it was acknowledged,
// else that or what was before.
func (m *adminModel) settle(resp *coap.Message, name string, before ace.Configuration, existed bool, after ace.Configuration, code coap.Code) {
	if resp.Code == code {
		m.want[name] = after
		return
	}
	if resp.Code != coap.InternalServerError {
		m.w.t.Errorf("%s: %s %q", name, coap.CodeString(resp.Code), resp.Payload)
	}
	m.recover()
	now := m.w.call(m.boss, coap.GET, "/manage/"+name, -1, nil)
	if now.Code != coap.Content {
		if existed {
			m.w.t.Errorf("%s is lost: %s", name, coap.CodeString(now.Code))
		}
		return
	}
	if got := withoutEXP(wantConfiguration(m.w.t, now)); got.Equal(after) || !existed || !got.Equal(before) {
		m.want[name] = after // if it is neither, check says so
	}
}

func withoutEXP(c ace.Configuration) ace.Configuration {
	c.EXP = ace.Param[uint64]{}
	return c
}

// check compares all that the interface shows, and the store, with the model.
func (m *adminModel) check() {
	t := m.w.t
	if got, want := linkNames(t, m.w.call(m.boss, coap.GET, "/manage", -1, nil)), slices.Sorted(maps.Keys(m.want)); !slices.Equal(got, want) {
		t.Errorf("groups %q, want %q", got, want)
	}
	for name, want := range m.want {
		got, etag := m.w.configurationOf(m.boss, name)
		if !withoutEXP(got).Equal(want) {
			t.Errorf("%s: %x, want %x", name, ace.Encode(withoutEXP(got)), ace.Encode(want))
		}
		if got.EXP.Value <= uint64(m.w.clock().Unix()) {
			t.Errorf("%s: exp %d", name, got.EXP.Value)
		}
		rep := string(ace.Encode(got))
		if old, ok := m.etags[rep]; ok && old != string(etag) {
			t.Errorf("%s: one representation, two ETags", name)
		}
		if old, ok := m.reps[string(etag)]; ok && old != rep {
			t.Errorf("%s: one ETag, two representations", name)
		}
		m.etags[rep], m.reps[string(etag)] = string(etag), rep
	}
	checkStore(t, m.store)
}

// checkStore looks for groups and parts of groups without each other.
func checkStore(t testing.TB, s store.Store) {
	t.Helper()
	groups, gids, prefixes := map[string]*groupRecord{}, map[string]string{}, map[string]bool{}
	var rest []string
	err := s.View(context.Background(), func(tx store.Tx) error {
		return tx.Scan("", func(key string, value []byte) bool {
			kind, name, _ := strings.Cut(key, "/")
			switch kind {
			case "g":
				g, err := load[groupRecord](tx, key)
				if err != nil {
					t.Error(err)
				}
				groups[name] = g
			case "i":
				gids[name] = string(value)
			case "p":
				prefixes[name] = true
			case "m", "s", "k", "e":
				rest = append(rest, key)
			case "r":
				if what, of, _ := strings.Cut(name, "/"); what != "n" { // a notice outlives its group
					rest = append(rest, "r/"+of)
				}
			}
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for gid, name := range gids {
		if groups[name] == nil || hex.EncodeToString(groups[name].GID) != gid {
			t.Errorf("Gid %s of %q", gid, name)
		}
	}
	for name, g := range groups {
		if gids[hex.EncodeToString(g.GID)] != name || !prefixes[hex.EncodeToString(g.Prefix)] || !bytes.HasPrefix(g.GID, g.Prefix) {
			t.Errorf("group %q without its Gid %x", name, g.GID)
		}
	}
	for _, key := range rest {
		if name, _, _ := strings.Cut(key[2:], "/"); groups[name] == nil {
			t.Errorf("%q is of no group", key)
		}
	}
}

// Random requests of administrators, with crashes: what is shown is what was asked
// for, with the defaults, and the ETag is another if and only if the configuration
// is.
func TestManageModel(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newAdminModel(t, seed)
			for range 60 {
				if m.step(); t.Failed() {
					return
				}
			}
		})
	}
}

// A crash at any moment of creating and of deleting a group with members: it is
// there with all its parts, or nothing of it is.
func TestManageCrashes(t *testing.T) {
	for _, when := range []crash{beforeCommit, afterCommit} {
		f := &fragile{Store: store.NewMemory()}
		w := newEmptyWorld(t, func(c *Config) { c.Store = f })
		w.store = f
		boss := w.chief()
		die := func() {
			f.next, f.dead = never, false
			w.restart()
			checkStore(t, f)
		}
		f.next = when
		wantCode(t, "create", w.ask(boss, coap.POST, "/manage", named(testGroup).With(ace.Configuration{Active: ace.Is(true)})), coap.InternalServerError)
		die()
		exists := when == afterCommit
		if got := w.call(boss, coap.GET, "/manage/hall", -1, nil).Code == coap.Content; got != exists {
			t.Fatalf("created: %v, want %v", got, exists)
		}
		if !exists {
			w.must(boss, coap.POST, "/manage", named(testGroup).With(ace.Configuration{Active: ace.Is(true)}), coap.Created)
		}
		a := w.join("dev", both)
		w.join("other", both)
		w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
		f.next = when
		wantCode(t, "delete", w.call(boss, coap.DELETE, "/manage/hall", -1, nil), coap.InternalServerError)
		die()
		want := coap.Content
		if when == afterCommit {
			want = coap.NotFound
		}
		wantCode(t, "configuration", w.call(boss, coap.GET, "/manage/hall", -1, nil), want)
		wantCode(t, "membership", w.call(a.gm, coap.GET, a.m.NodePath, -1, nil), want)
	}
}

// A group is deleted while nodes join and leave: what is left is whole.
func TestDeleteWhileJoining(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	var nodes []*applicant
	for i := range 20 {
		nodes = append(nodes, w.applicant(fmt.Sprint("dev", i), both))
	}
	done := make(chan coap.Code)
	for _, a := range nodes {
		jr := ace.Encode(a.request(both))
		go func() {
			resp, err := a.gm.Call(context.Background(), request(coap.POST, "/ace-group/hall", cf261, jr))
			if err != nil {
				panic(err)
			}
			done <- resp.Code
		}()
	}
	joined := 0
	for i := range nodes {
		if i == len(nodes)/2 {
			w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
			wantCode(t, "delete", w.call(boss, coap.DELETE, "/manage/hall", -1, nil), coap.Deleted)
		}
		switch code := <-done; code {
		case coap.Created:
			joined++
		case coap.ServiceUnavailable, coap.NotFound:
		default:
			t.Errorf("a join: %s", coap.CodeString(code))
		}
	}
	checkStore(t, w.store)
	w.must(boss, coap.POST, "/manage", named("hall"), coap.Created)
	if m := w.members(); len(m) != 0 {
		t.Errorf("%d of %d members came back with the group's name", len(m), joined)
	}
}

// Administrators who make the same group at once get groups of different names, and
// of many who quote the same ETag one wins.
func TestConcurrentAdministrators(t *testing.T) {
	w := newEmptyWorld(t)
	const many = 10
	names := make(chan string, many)
	var all []*direct
	for range many {
		all = append(all, w.chief())
	}
	each := func(f func(*direct)) {
		done := make(chan struct{})
		for _, gm := range all {
			go func() { f(gm); done <- struct{}{} }()
		}
		for range all {
			<-done
		}
	}
	each(func(gm *direct) {
		resp, _ := gm.Call(context.Background(), request(coap.POST, "/manage", cf261, ace.Encode(named("gp"))))
		if c, err := ace.DecodeConfiguration(resp.Payload); err == nil {
			names <- c.GroupName.Value.Text
		}
	})
	close(names)
	got := map[string]bool{}
	for n := range names {
		got[n] = true
	}
	if len(got) != many || !got["gp"] {
		t.Errorf("names %v", got)
	}
	_, etag := w.configurationOf(all[0], "gp")
	won := make(chan bool, many)
	each(func(gm *direct) {
		req := request(coap.PATCH, "/manage/gp", cf261, ace.Encode(ace.Configuration{GroupDescription: ace.Is(gm.id)}))
		coap.AddOption(req, coap.OptionIfMatch, etag)
		resp, _ := gm.Call(context.Background(), req)
		won <- resp.Code == coap.Changed
	})
	wins := 0
	for range many {
		if <-won {
			wins++
		}
	}
	if wins != 1 {
		t.Errorf("%d won", wins)
	}
}

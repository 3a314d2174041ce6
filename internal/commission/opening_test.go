package commission

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	oscoregroup "lamplighter/internal/oscore/group"
)

// circle is a group of contexts: a browser's and of its members.
type circle struct {
	t       *testing.T
	browser *group
	members []*oscoregroup.Context
	params  []oscoregroup.Params // of all, the browser's first
}

func newCircle(t *testing.T, members int) *circle {
	t.Helper()
	secret := make(cose.Secret, 16) // a fresh one: nonces are recorded over all tests
	if _, err := rand.Read(secret); err != nil {
		t.Fatal(err)
	}
	var contexts []*oscoregroup.Context
	var peers []oscoregroup.Peer
	var params []oscoregroup.Params
	for i := range members + 1 {
		key := cose.NewEd25519(newKey(t))
		cred := cose.NewCCS("", key.Public().Bytes())
		params = append(params, oscoregroup.Params{
			GID: []byte{1}, MasterSecret: secret, Algs: oscoregroup.DefaultAlgorithms,
			GMCred: []byte("gm"), SenderID: []byte{byte(i)}, Cred: cred, Key: key, Rand: rand.Reader,
		})
		ctx, err := oscoregroup.New(params[i])
		if err != nil {
			t.Fatal(err)
		}
		contexts = append(contexts, ctx)
		peers = append(peers, oscoregroup.Peer{KID: ctx.SenderID(), Cred: cred})
	}
	for i, ctx := range contexts {
		for j, p := range peers {
			if i == 0 && j == members {
				continue // the browser does not know the last one
			}
			if err := ctx.SetPeer(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &circle{t, &group{keys: oscoregroup.NewMember(contexts[0])}, contexts[1:], params}
}

// rekey gives everybody new keys, but for the members with the Sender IDs gone.
func (c *circle) rekey(gone ...[]byte) {
	c.t.Helper()
	secret := make(cose.Secret, 16)
	if _, err := rand.Read(secret); err != nil {
		c.t.Fatal(err)
	}
	var contexts []*oscoregroup.Context
	for i, p := range c.params {
		p.GID, p.MasterSecret = append([]byte{2}, p.GID...), secret
		ctx, err := oscoregroup.New(p)
		if err != nil {
			c.t.Fatal(err)
		}
		for j, peer := range c.params {
			left := slices.ContainsFunc(gone, func(id []byte) bool { return bytes.Equal(id, peer.SenderID) })
			if i == j || i == 0 && (left || j == len(c.params)-1) {
				continue
			}
			if err := ctx.SetPeer(oscoregroup.Peer{KID: peer.SenderID, Cred: peer.Cred}); err != nil {
				c.t.Fatal(err)
			}
		}
		contexts = append(contexts, ctx)
	}
	c.browser.using.Lock()
	defer c.browser.using.Unlock()
	c.browser.keys.Rekey(contexts[0])
	c.members = contexts[1:]
}

// ask lets every member answer a group request once, with what answer makes.
func (c *circle) ask(mode oscoregroup.Mode, answer func(i int) *coap.Message) []arrival {
	c.t.Helper()
	outer, binding, err := c.browser.protect(coap.NewRequest(coap.GET, "/light", nil), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	var list []arrival
	for i, m := range c.members {
		_, b, err := m.UnprotectRequest(outer)
		if err != nil {
			c.t.Fatal(err)
		}
		resp, err := m.ProtectResponse(answer(i), b, mode)
		if err != nil {
			c.t.Fatal(err)
		}
		list = append(list, arrival{outer: resp, binding: binding})
	}
	return list
}

// counted is a [Verifier] that keeps count. It takes its time, during which the
// group must be free for others.
type counted struct {
	group *group

	mu    sync.Mutex
	sizes []int
}

func (c *counted) Verify(batch []Signature) []bool {
	if c.group != nil {
		c.group.using.Lock() // blocks for ever where it is held
		defer c.group.using.Unlock()
	}
	c.mu.Lock()
	c.sizes = append(c.sizes, len(batch))
	c.mu.Unlock()
	return inGo{}.Verify(batch)
}

// TestOpen: of answers that come together each gets its own verdict, and all
// signatures are verified at a time.
func TestOpen(t *testing.T) {
	c := newCircle(t, 8)
	plain := func(i int) *coap.Message { return coap.Respond(coap.Content, 60, []byte{byte(i)}) }
	list := c.ask(oscoregroup.Group, func(i int) *coap.Message {
		m := plain(i)
		if i == 4 {
			coap.SetOption(m, 65001, []byte{1}) // critical, of nobody
		}
		return m
	})
	list[1].outer.Payload[len(list[1].outer.Payload)-1] ^= 1 // signature
	list[2].outer.Payload[0] ^= 1                            // ciphertext
	list[3].outer = coap.Clone(list[3].outer)
	list[3].outer.Payload = list[0].outer.Payload // another's
	list = append(list, list[0])                  // once more
	list[6].outer.Payload = list[6].outer.Payload[:20]

	v := &counted{group: c.browser}
	got := c.browser.open(v, list)
	var unknown *oscoregroup.UnknownPeerError
	for i, o := range got {
		want := []error{nil, oscore.ErrVerify, oscore.ErrVerify, oscore.ErrVerify, coap.ErrBadOption, nil, oscore.ErrVerify, nil, oscore.ErrReplay}[i]
		switch {
		case i == 7:
			if !errors.As(o.err, &unknown) {
				t.Errorf("%d: %v, want an unknown peer", i, o.err)
			}
		case !errors.Is(o.err, want):
			t.Errorf("%d: %v, want %v", i, o.err, want)
		case want == nil && (!bytes.Equal(o.resp.Payload, []byte{byte(i)}) || !bytes.Equal(o.peer.KID, []byte{byte(i + 1)})):
			t.Errorf("%d: %v of %x", i, o.resp, o.peer.KID)
		}
	}
	if len(v.sizes) != 1 || v.sizes[0] < 6 {
		t.Errorf("batches of %v signatures", v.sizes)
	}
	for i, o := range c.browser.open(v, c.ask(oscoregroup.Pairwise, plain)[:7]) {
		if o.err != nil || !bytes.Equal(o.resp.Payload, []byte{byte(i)}) {
			t.Errorf("in pairwise mode %d: %v, %v", i, o.resp, o.err)
		}
	}
	if len(v.sizes) != 1 {
		t.Errorf("pairwise mode has signatures: %v", v.sizes)
	}
	if got := c.browser.open(v, nil); len(got) != 0 {
		t.Error("something came of nothing")
	}
}

// during does something while signatures are verified.
type during func()

func (d during) Verify(batch []Signature) []bool {
	d()
	return inGo{}.Verify(batch)
}

// TestOpenWhileKeysChange: answers that are on their way when the group gets new
// keys are opened under the keys that they are under, as long as their exchange is
// open; those of a member that is gone are not.
func TestOpenWhileKeysChange(t *testing.T) {
	c := newCircle(t, 4)
	list := c.ask(oscoregroup.Group, func(i int) *coap.Message { return coap.Respond(coap.Content, 60, []byte{byte(i)}) })
	got := c.browser.open(during(func() { c.rekey([]byte{2}) }), list[:2])
	if got[0].err != nil || !bytes.Equal(got[0].resp.Payload, []byte{0}) {
		t.Errorf("begun under the old keys: %v, %v", got[0].resp, got[0].err)
	}
	var unknown *oscoregroup.UnknownPeerError
	if !errors.As(got[1].err, &unknown) {
		t.Errorf("of a member that is gone: %v, %v", got[1].resp, got[1].err)
	}
	if got := c.browser.open(inGo{}, list[2:3]); got[0].err != nil || !bytes.Equal(got[0].resp.Payload, []byte{2}) {
		t.Errorf("late, under the old keys: %v, %v", got[0].resp, got[0].err)
	}
	again := list[2]
	c.browser.close(again.binding)
	if got := c.browser.open(inGo{}, []arrival{list[0]}); got[0].err == nil {
		t.Error("the exchange was closed:", got[0].resp)
	}
	for _, mode := range []oscoregroup.Mode{oscoregroup.Group, oscoregroup.Pairwise} {
		next := c.ask(mode, func(i int) *coap.Message { return coap.Respond(coap.Content, 60, []byte{byte(i)}) })
		if got := c.browser.open(inGo{}, next[:1]); got[0].err != nil {
			t.Errorf("under the new keys: %v", got[0].err)
		}
	}
}

// forger spoils multicast answers of some devices, and lets these devices answer
// nothing else.
type forger struct {
	coap.Exchanger
	victims map[netip.AddrPort]bool
}

func (f *forger) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	i := 0
	return f.Exchanger.Multicast(ctx, to, req, wait, func(m *coap.Message, from netip.AddrPort) {
		if f.victims[from] {
			m = coap.Clone(m)
			m.Payload = bytes.Clone(m.Payload)
			m.Payload[i*7%len(m.Payload)] ^= 1 << (i % 8)
			i++
		}
		each(m, from)
	})
}

func (f *forger) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	if f.victims[to] {
		return nil, coap.ErrTimeout
	}
	return f.Exchanger.Exchange(ctx, to, req)
}

// TestForgedAnswers: of devices that answer in group mode exactly those whose
// answers were tampered with are not verified. DESIGN S9.
func TestForgedAnswers(t *testing.T) {
	w := newWorld(t, 24)
	mode := oscoregroup.Group
	for _, l := range w.lamps {
		l.cfg.ResponseMode = &mode
		w.boot(l)
	}
	f, v := &forger{}, &counted{}
	b := w.enrolled(func(c *Config) {
		f.Exchanger = c.Exchange
		c.Exchange, c.Verify = f, v
		c.Tuning.FollowUp = 20 * time.Millisecond
	})
	b.joined()
	b.verified(len(w.lamps)) // by unicast, if it must be: they have to see that the browser is fresh
	forged := map[string]bool{}
	f.victims = map[netip.AddrPort]bool{}
	for i := 0; i < len(w.lamps); i += 3 {
		forged[w.lamps[i].id()] = true
		f.victims[w.lamps[i].addr] = true
	}
	v.sizes = nil
	call, err := b.RollCall(t.Context(), hall)
	b.must(call, err)
	for _, a := range call.Answers {
		want := AnswerVerified
		if forged[a.Device] {
			want = AnswerSilent
		}
		if a.State != want || a.Unicast {
			t.Errorf("%s, forged %v: %+v", a.Device, forged[a.Device], a)
		}
	}
	total := 0
	for _, n := range v.sizes {
		total += n
	}
	if total < len(w.lamps)-len(forged) {
		t.Errorf("%v signatures were verified in batches", v.sizes)
	}
	f.victims = nil
	b.verified(len(w.lamps))
}

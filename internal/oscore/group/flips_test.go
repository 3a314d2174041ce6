package group

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"testing"

	"lamplighter/internal/coap"
)

// flippable are bytes in use, of which each bit counts.
type flippable struct {
	name  string
	bytes []byte
}

// Each bit of option and payload of every vector, and of what the receiver puts
// into the additional data, counts: flipped, the message is refused and nothing
// has changed, so that after all of them the honest message is still accepted.
func TestFlips(t *testing.T) {
	for name, file := range vectorFiles(t) {
		t.Run(name, func(t *testing.T) {
			cases, flipped := file.byName(), 0
			for i := range file.Groups {
				g := &file.Groups[i]
				end := separate(t.Name() + g.Name)
				for j := range file.Cases {
					if v := &file.Cases[j]; v.Group == g.Name {
						flipped += flipVector(t, file.share(), g, v, cases[v.Request])
					}
				}
				end()
			}
			if t.Logf("%d bits", flipped); flipped == 0 {
				t.Error("no bits")
			}
		})
	}
}

// share is how many of a thousand bits TestFlips flips: all of our own vectors,
// and of further ones about as many altogether.
func (f *vectors) share() uint32 {
	if slow || testing.Short() {
		return someBits
	}
	return uint32(max(someBits, min(1000, 100_000/len(f.Cases))))
}

func flipVector(t *testing.T, share uint32, g *vectorGroup, v, request *vectorCase) int {
	t.Helper()
	r := newReceiver(t, g, v, request)
	n := flipEach(t, v.Name, share, r.flippable(t), r.state, r.open)
	if err := r.open(); err != nil {
		t.Errorf("%s: the honest message: %v", v.Name, err)
	}
	if r.state() == r.before {
		t.Errorf("%s: the honest message changed nothing that is looked at", v.Name)
	}
	return n
}

// flipEach flips bit by bit and back, or the share of them that is asked for.
func flipEach(t *testing.T, name string, share uint32, all []flippable, state func() string, open func() error) (flipped int) {
	t.Helper()
	before := state()
	for _, f := range all {
		for bit := range 8 * len(f.bytes) {
			if !chosen(share, name, f.name, bit) {
				continue
			}
			flipped++
			f.bytes[bit/8] ^= 1 << (bit % 8)
			err := open()
			f.bytes[bit/8] ^= 1 << (bit % 8)
			if err == nil {
				t.Fatalf("%s: bit %d of %s does not count", name, bit, f.name)
			}
			if now := state(); now != before {
				t.Fatalf("%s: bit %d of %s: %v changed %s to %s", name, bit, f.name, err, before, now)
			}
		}
	}
	return flipped
}

// someBits is how many of a thousand bits are flipped where all take too long.
const someBits = 20

// chosen takes the same share of bits in every run.
func chosen(share uint32, parts ...any) bool {
	if share == 1000 {
		return true
	}
	h := fnv.New32a()
	fmt.Fprint(h, parts...)
	return h.Sum32()%1000 < share
}

// receiver has one vector to open, again and again.
type receiver struct {
	c       *Context
	b       *Binding // a response's
	message *coap.Message
	sender  *recipient
	before  string
}

func newReceiver(t *testing.T, g *vectorGroup, v, request *vectorCase) *receiver {
	t.Helper()
	r := &receiver{message: decode(t, v.Message)}
	if v.Kind == "response" {
		r.c, _, r.b = g.request(t, request)
		r.b.request = apart(r.b.request)
	} else {
		for _, m := range g.Members {
			if !bytes.Equal(m.ID, v.Sender) && (v.Recipient == nil || bytes.Equal(m.ID, v.Recipient)) {
				r.c = g.context(t, m.ID, 0)
			}
		}
	}
	r.sender = r.c.peers[string(v.Sender)]
	if r.c.algs.hasPairwise() { // the keys are not what is tested here
		if err := r.c.pairwise(r.sender); err != nil {
			t.Fatal(err)
		}
	}
	r.before = r.state()
	return r
}

// apart gives a request memory of its own.
func apart(r request) request {
	return request{bytes.Clone(r.kid), bytes.Clone(r.piv), bytes.Clone(r.kidContext)}
}

// flippable is what the message consists of, and what goes into external_aad,
// keystream and nonce beside it.
func (r *receiver) flippable(t *testing.T) []flippable {
	t.Helper()
	all := []flippable{
		{"option", coap.GetOption(r.message, coap.OptionOSCORE)},
		{"payload", r.message.Payload},
		{"sender_cred", r.sender.peer.Cred},
		{"gm_cred", r.c.gmCred},
		{"algorithms", r.c.algsCBOR},
	}
	if optionOf(t, r.message).Group {
		all = append(all, flippable{"Signature Encryption Key", r.c.seKey}, flippable{"Gid", r.c.gid})
	}
	if r.b != nil {
		all = append(all, flippable{"request_kid", r.b.request.kid}, flippable{"request_piv", r.b.request.piv},
			flippable{"request_kid_context", r.b.request.kidContext})
	}
	return all
}

func (r *receiver) open() (err error) {
	if r.b != nil {
		_, _, _, err = r.c.UnprotectResponse(r.message, r.b)
	} else {
		_, _, err = r.c.UnprotectRequest(r.message)
	}
	return err
}

// state is all that a message that is received can change.
func (r *receiver) state() string {
	s := fmt.Appendf(nil, "%d", r.c.Sequence().Peek())
	for _, p := range r.c.Peers() {
		m := r.c.peers[string(p.KID)]
		s = fmt.Append(s, m.window.State(), m.valid, m.proven, m.echo)
	}
	if r.b != nil {
		s = fmt.Append(s, r.b.used, r.b.done, len(r.b.servers))
	}
	return string(s)
}

// The same for a signature checker, of a share of the bits.
func TestCheckerFlips(t *testing.T) {
	flipped := 0
	for _, file := range vectorFiles(t) {
		cases := file.byName()
		for i := range file.Groups {
			for j := range file.Cases {
				if v := &file.Cases[j]; v.Group == file.Groups[i].Name && v.Mode == "group" {
					flipped += flipChecked(t, &file.Groups[i], v, cases[v.Request])
				}
			}
		}
	}
	if flipped < 1000 {
		t.Errorf("%d bits", flipped)
	}
}

func flipChecked(t *testing.T, g *vectorGroup, v, request *vectorCase) int {
	t.Helper()
	c, m := g.checker(t), decode(t, v.Message)
	open := func() error {
		_, err := c.CheckRequest(m)
		return err
	}
	if request != nil {
		checked, err := c.ReadRequest(decode(t, request.Message))
		if err != nil {
			t.Fatal(err)
		}
		open = func() error {
			_, err := c.CheckResponse(m, checked)
			return err
		}
	}
	if err := open(); err != nil {
		t.Errorf("%s: the honest message: %v", v.Name, err)
	}
	return flipEach(t, v.Name, someBits, []flippable{
		{"option", coap.GetOption(m, coap.OptionOSCORE)},
		{"payload", m.Payload},
		{"sender_cred", c.peers[string(v.Sender)].Cred},
		{"gm_cred", c.gmCred},
		{"algorithms", c.algsCBOR},
		{"Signature Encryption Key", c.seKey},
		{"Gid", c.gid},
	}, func() string { return "" }, open)
}

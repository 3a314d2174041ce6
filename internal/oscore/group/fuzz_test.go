package group

import (
	"runtime"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// fuzzed is what the fuzz targets share: every vector as a seed, and for each
// somebody who can open it. An input is a seed's number, and an option and a
// payload in place of the seed's.
type fuzzed struct {
	seeds []*fuzzSeed
	known map[string]bool // what honest senders have sent, by group, option and payload
}

type fuzzSeed struct {
	group      *vectorGroup
	v, request *vectorCase

	receiver *receiver // made when needed; nil again when its state has changed
}

// take returns somebody who did not open the seed yet.
func (s *fuzzSeed) take(t *testing.T) *receiver {
	t.Helper()
	if s.receiver == nil {
		s.receiver = newReceiver(t, s.group, s.v, s.request)
	}
	return s.receiver
}

func newFuzzed(f *testing.F, wanted func(*vectorCase) bool) *fuzzed {
	f.Helper()
	z := &fuzzed{known: map[string]bool{}}
	for _, file := range vectorFiles(f) {
		cases := file.byName()
		for i := range file.Groups {
			for j := range file.Cases {
				v := &file.Cases[j]
				if v.Group != file.Groups[i].Name {
					continue
				}
				z.known[sent(v.Group, v.Option, v.Payload)] = true
				if wanted(v) {
					f.Add(uint16(len(z.seeds)), []byte(v.Option), []byte(v.Payload))
					z.seeds = append(z.seeds, &fuzzSeed{group: &file.Groups[i], v: v, request: cases[v.Request]})
				}
			}
		}
	}
	f.Add(uint16(0), []byte{0x39, 0, 2, 0xdd, 0x11, 0}, make([]byte, 80))
	f.Add(uint16(1), []byte{0x80}, []byte{})
	f.Add(uint16(2), make([]byte, 300), make([]byte, 1<<16))
	return z
}

func sent(group string, option, payload []byte) string {
	return group + "|" + string(option) + "|" + string(payload)
}

// run fuzzes: open says whether it accepted. What is accepted was sent, and what
// arrives costs memory in proportion to its length.
func (z *fuzzed) run(f *testing.F, open func(t *testing.T, s *fuzzSeed, m *coap.Message) bool) {
	f.Fuzz(func(t *testing.T, n uint16, option, payload []byte) {
		s := z.seeds[int(n)%len(z.seeds)]
		defer separate(s.group.Name)()
		m := oscore.Finish(&coap.Message{Code: coap.POST}, option, payload)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		accepted := open(t, s, m)
		if accepted {
			s.receiver = nil
		}
		runtime.ReadMemStats(&after)
		if accepted && !z.known[sent(s.group.Name, option, payload)] {
			t.Errorf("%s: a forgery was accepted", s.v.Name)
		}
		const fixed, perByte = 1 << 20, 64 // the fuzzer itself allocates too
		if got := after.TotalAlloc - before.TotalAlloc; got > fixed+perByte*uint64(len(option)+len(payload)) {
			t.Errorf("%s: %d bytes were allocated for %d", s.v.Name, got, len(option)+len(payload))
		}
	})
}

func FuzzUnprotectRequest(f *testing.F) {
	z := newFuzzed(f, func(v *vectorCase) bool { return v.Kind == "request" })
	z.run(f, func(t *testing.T, s *fuzzSeed, m *coap.Message) bool {
		r := s.take(t)
		req, b, err := r.c.UnprotectRequest(m)
		if (err == nil) != (req != nil && b != nil) {
			t.Errorf("%v, %v, %v", req, b, err)
		}
		if err != nil && r.state() != r.before {
			t.Errorf("%v, and the state changed", err)
		}
		return err == nil
	})
}

func FuzzUnprotectResponse(f *testing.F) {
	z := newFuzzed(f, func(v *vectorCase) bool { return v.Kind == "response" })
	z.run(f, func(t *testing.T, s *fuzzSeed, m *coap.Message) bool {
		r := s.take(t)
		u, begun := r.c.BeginResponse(m, r.b)
		if (begun == nil) != (u != nil) || r.state() != r.before {
			t.Errorf("%v, %v, state %s", u, begun, r.state())
		}
		resp, from, _, err := r.c.UnprotectResponse(m, r.b)
		if (err == nil) != (resp != nil) || err == nil && (from.Cred == nil || begun != nil) {
			t.Errorf("%v from %+v, %v, begun: %v", resp, from, err, begun)
		}
		if err != nil && r.state() != r.before {
			t.Errorf("%v, and the state changed", err)
		}
		return err == nil
	})
}

func FuzzChecker(f *testing.F) {
	z := newFuzzed(f, func(v *vectorCase) bool { return v.Mode == "group" })
	z.run(f, func(t *testing.T, s *fuzzSeed, m *coap.Message) bool {
		c := s.group.checker(t)
		if s.request == nil {
			checked, err := c.CheckRequest(m)
			if (err == nil) != (checked.From.Cred != nil) {
				t.Errorf("%+v, %v", checked, err)
			}
			return err == nil
		}
		checked, err := c.ReadRequest(decode(t, s.request.Message))
		if err != nil {
			t.Fatal(err)
		}
		from, err := c.CheckResponse(m, checked)
		if (err == nil) != (from.Cred != nil) {
			t.Errorf("%+v, %v", from, err)
		}
		return err == nil
	})
}

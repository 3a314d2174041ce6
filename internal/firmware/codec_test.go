package firmware

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
)

var (
	four    = []byte{1, 2, 3, 4}
	eight   = []byte{1, 2, 3, 4, 5, 6, 7, 8}
	sixteen = bytes.Repeat([]byte{9}, 16)
)

func ability() *Ability {
	return &Ability{Block: 1024, K: 64, Parity: 32, Slot: 1 << 20, Vendor: sixteen, Class: sixteen, Minimum: 3, Anchors: [][]byte{{0xa0}}, Hardware: "LL-1"}
}

func full() Status {
	return Status{
		State: Testing, Session: four, Running: &Running{7, eight, "1.2.3", 4, 5}, Deficits: []byte{0, 64, 3}, Heard: 300, Result: ResultOlder,
		Ready: eight, Missing: []byte{0x80}, Ability: ability(), Nonce: eight, Feeder: eight, FedAgo: 9, Left: 100, Last: 2*256 + 70,
	}
}

// again parses with p, and says whether what it gives encodes to the same message.
func again[T any, P interface {
	*T
	Append([]byte) []byte
}](t *testing.T, p func([]byte) (T, error), data []byte) bool {
	v, err := p(data)
	if err != nil {
		if !errors.Is(err, cbor.ErrDecode) || !reflect.ValueOf(v).IsZero() {
			t.Fatalf("%x: %+v, %v", data, v, err)
		}
		return false
	}
	b := P(&v).Append(nil)
	w, err := p(b)
	if err != nil {
		t.Fatalf("%x: %+v became %+v, %v", data, v, w, err)
	}
	if c := P(&w).Append(nil); !bytes.Equal(b, c) {
		t.Fatalf("%x became %x", b, c)
	}
	return true
}

func TestStatus(t *testing.T) {
	s := full()
	if !again(t, ParseStatus, s.Append(nil)) {
		t.Error("a full status is refused")
	}
	if !again(t, ParseStatus, []byte{0xa1, 1, 0}) {
		t.Error("a short status is refused")
	}
	for name, spoil := range map[string]func(*Status){
		"state":     func(s *Status) { s.State = Testing + 1 },
		"session":   func(s *Status) { s.Session = eight },
		"deficits":  func(s *Status) { s.Deficits = make([]byte, MaxGenerations+1) },
		"deficit":   func(s *Status) { s.Deficits[1] = 65 },
		"ready":     func(s *Status) { s.Ready = four },
		"missing":   func(s *Status) { s.Missing = make([]byte, maxBitmap+1) },
		"nonce":     func(s *Status) { s.Nonce = four },
		"feeder":    func(s *Status) { s.Feeder = four },
		"digest":    func(s *Status) { s.Running.Digest = nil },
		"version":   func(s *Status) { s.Running.Version = strings.Repeat("x", 65) },
		"block":     func(s *Status) { s.Ability.Block = 63 },
		"k":         func(s *Status) { s.Ability.K = 0 },
		"vendor":    func(s *Status) { s.Ability.Vendor = four },
		"class":     func(s *Status) { s.Ability.Class = nil },
		"anchors":   func(s *Status) { s.Ability.Anchors = make([][]byte, 17) },
		"anchor":    func(s *Status) { s.Ability.Anchors[0] = make([]byte, 257) },
		"empty key": func(s *Status) { s.Ability.Anchors[0] = []byte{} },
		"hardware":  func(s *Status) { s.Ability.Hardware = strings.Repeat("x", 65) },
	} {
		s := full()
		if spoil(&s); again(t, ParseStatus, s.Append(nil)) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStatusRequest(t *testing.T) {
	r := StatusRequest{Fields: FieldProgress | FieldNonce, Session: four, Spread: 500, Absent: true}
	if !again(t, ParseStatusRequest, r.Append(nil)) {
		t.Error("refused")
	}
	r.Session = eight
	if again(t, ParseStatusRequest, r.Append(nil)) {
		t.Error("a long session is accepted")
	}
}

func TestSessionRequest(t *testing.T) {
	for _, r := range []SessionRequest{{four, OpOpen, 64, 1}, {four, OpOpen, 1024, 64}, {four, OpAbort, 0, 0}} {
		if !again(t, ParseSessionRequest, r.Append(nil)) {
			t.Errorf("%+v: refused", r)
		}
	}
	for _, r := range []SessionRequest{
		{nil, OpOpen, 64, 1}, {eight, OpAbort, 0, 0}, {four, 0, 64, 1}, {four, 2, 64, 1}, {four, 4, 64, 1},
		{four, OpOpen, 63, 1}, {four, OpOpen, 1025, 1}, {four, OpOpen, 64, 0}, {four, OpOpen, 64, 65},
	} {
		if again(t, ParseSessionRequest, r.Append(nil)) {
			t.Errorf("%+v: accepted", r)
		}
	}
}

func TestActivateRequest(t *testing.T) {
	good := ActivateRequest{Session: four, Digest: eight, Mode: ModeTest, In: MaxIn * 1000, Within: MaxConfirm, Nonces: append(bytes.Repeat([]byte{0}, 8), eight...)}
	if !again(t, ParseActivateRequest, good.Append(nil)) {
		t.Error("refused")
	}
	if !good.Quotes(eight) || !good.Quotes(make([]byte, 8)) || good.Quotes(four) || good.Quotes(nil) || good.Quotes([]byte("otherone")) {
		t.Error("the nonces are not those that were quoted")
	}
	if across := append(make([]byte, 4), four...); good.Quotes(across) {
		t.Error("a nonce across two is found")
	}
	for name, spoil := range map[string]func(*ActivateRequest){
		"session":  func(r *ActivateRequest) { r.Session = nil },
		"digest":   func(r *ActivateRequest) { r.Digest = four },
		"mode":     func(r *ActivateRequest) { r.Mode = 0 },
		"mode 5":   func(r *ActivateRequest) { r.Mode = 5 },
		"in":       func(r *ActivateRequest) { r.In++ },
		"in at":    func(r *ActivateRequest) { r.At = 1 },
		"within":   func(r *ActivateRequest) { r.Within++ },
		"none":     func(r *ActivateRequest) { r.Nonces = nil },
		"half one": func(r *ActivateRequest) { r.Nonces = r.Nonces[:12] },
		"too many": func(r *ActivateRequest) { r.Nonces = make([]byte, 8*(MaxNonces+1)) },
	} {
		r := good
		if spoil(&r); again(t, ParseActivateRequest, r.Append(nil)) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestReport(t *testing.T) {
	r := Report{four, ResultBootLoop, 2, 1, 9, "the new image did not start"}
	if !again(t, ParseReport, r.Append(nil)) {
		t.Error("refused")
	}
	r.Reason = strings.Repeat("x", 257)
	if again(t, ParseReport, r.Append(nil)) {
		t.Error("a long reason is accepted")
	}
	r.Reason, r.Session = "", eight
	if again(t, ParseReport, r.Append(nil)) {
		t.Error("a long session is accepted")
	}
}

func TestBlock(t *testing.T) {
	for _, b := range []Block{{Session: four, Index: 255, Bytes: make([]byte, MaxBlock)}, {Session: four, Generation: 4095, Bytes: []byte{1}}} {
		if !again(t, ParseBlock, b.Append(nil)) {
			t.Errorf("%+v: refused", b)
		}
	}
	for _, b := range []Block{
		{Session: nil, Bytes: four}, {Session: eight, Bytes: four}, {Session: four, Index: 256, Bytes: four}, {Session: four},
		{Session: four, Bytes: make([]byte, MaxBlock+1)}, {Session: four, Generation: 4096, Bytes: four},
	} {
		if again(t, ParseBlock, b.Append(nil)) {
			t.Errorf("%+v: accepted", b)
		}
	}
}

// No parser looks through a tag, takes two items, or another type.
func TestParsersAreStrict(t *testing.T) {
	s, b := full(), Block{Session: four, Bytes: four}
	for _, good := range [][]byte{s.Append(nil), b.Append(nil)} {
		for _, bad := range [][]byte{nil, append([]byte{0xc1}, good...), append(bytes.Clone(good), 0), good[:len(good)-1], {0xf6}, {0x01}, {0x80}} {
			for name, parser := range map[string]func([]byte) error{
				"status": func(d []byte) error { _, err := ParseStatus(d); return err },
				"fetch":  func(d []byte) error { _, err := ParseStatusRequest(d); return err },
				"open":   func(d []byte) error { _, err := ParseSessionRequest(d); return err },
				"switch": func(d []byte) error { _, err := ParseActivateRequest(d); return err },
				"report": func(d []byte) error { _, err := ParseReport(d); return err },
				"block":  func(d []byte) error { _, err := ParseBlock(d); return err },
			} {
				if err := parser(bad); !errors.Is(err, cbor.ErrDecode) {
					t.Errorf("%s of %x: %v", name, bad, err)
				}
			}
		}
	}
}

// States and results have words, each its own.
func TestWords(t *testing.T) {
	seen := map[string]bool{}
	for s := Idle; s <= Testing+1; s++ {
		seen[s.String()] = true
	}
	for r := range results {
		seen[r.String()] = true
	}
	seen[Result(99).String()] = true
	if want := int(Testing) + 2 + len(results) + 1; len(seen) != want {
		t.Errorf("%d different sentences, want %d", len(seen), want)
	}
}

func FuzzParse(f *testing.F) {
	s, b := full(), Block{Session: four, Bytes: four}
	f.Add(s.Append(nil))
	f.Add(b.Append(nil))
	f.Add((&StatusRequest{Fields: 3, Session: four, Spread: 9, Absent: true}).Append(nil))
	f.Add((&SessionRequest{four, OpOpen, 64, 1}).Append(nil))
	f.Add((&ActivateRequest{Session: four, Digest: eight, Mode: ModeTest, Nonces: eight}).Append(nil))
	f.Add((&Report{four, 1, 2, 3, 4, "x"}).Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		again(t, ParseStatus, data)
		again(t, ParseStatusRequest, data)
		again(t, ParseSessionRequest, data)
		again(t, ParseActivateRequest, data)
		again(t, ParseReport, data)
		again(t, ParseBlock, data)
	})
}

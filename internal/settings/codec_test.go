package settings

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
)

var (
	four  = []byte{1, 2, 3, 4}
	eight = []byte{1, 2, 3, 4, 5, 6, 7, 8}
	of    = AppendOf(AppendOf(nil, []byte{7}), []byte{1, 2})
)

func fullStatus() Status {
	return Status{
		State: Trial, Running: eight, Result: ResultBase, Txn: four, Candidate: eight, Nonce: four, Left: 5, Values: Map{1: int64(5), 6: Map{3: Map{1: "x"}}},
		Schema: &SchemaRef{Model: "lamp", Version: 1, Digest: eight}, Before: Map{2: false}, Key: 1,
	}
}

func stage() Transaction {
	return Transaction{Txn: four, Mode: ModeStage, Base: eight, Schema: 1, Patch: Map{1: int64(-7), 2: nil, 6: Map{3: nil, 4: Map{1: nil}}}, Of: of, Fields: FieldNonce}
}

func commit() Transaction {
	return Transaction{Txn: four, Mode: ModeCommit, In: MaxAhead * 1000, Within: MaxConfirm, Nonces: append(make([]byte, 4), four...)}
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
	s := fullStatus()
	if got, err := ParseStatus(s.Append(nil)); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%+v, %v", got, err)
	}
	if !again(t, ParseStatus, (&Status{Running: eight}).Append(nil)) {
		t.Error("a short status is refused")
	}
	for name, spoil := range map[string]func(*Status){
		"state":         func(s *Status) { s.State = Trial + 1 },
		"no digest":     func(s *Status) { s.Running = nil },
		"digest":        func(s *Status) { s.Running = four },
		"txn":           func(s *Status) { s.Txn = eight },
		"candidate":     func(s *Status) { s.Candidate = four },
		"nonce":         func(s *Status) { s.Nonce = eight },
		"left":          func(s *Status) { s.Left = MaxAhead*1000 + 1 },
		"key":           func(s *Status) { s.Key = MaxKey + 1 },
		"too large":     func(s *Status) { s.Values = Map{1: strings.Repeat("x", MaxValues)} },
		"deleted":       func(s *Status) { s.Values = Map{1: nil} },
		"deleted below": func(s *Status) { s.Before = Map{1: Map{2: Map{3: nil}}} },
		"model":         func(s *Status) { s.Schema.Model = "a model" },
		"version":       func(s *Status) { s.Schema.Version = 0 },
		"schema":        func(s *Status) { s.Schema.Digest = four },
	} {
		s := fullStatus()
		if spoil(&s); again(t, ParseStatus, s.Append(nil)) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStatusRequest(t *testing.T) {
	good := StatusRequest{Fields: FieldNonce | FieldValues, Keys: []uint64{1, 2}, Txn: four, Of: of}
	if !again(t, ParseStatusRequest, good.Append(nil)) {
		t.Error("refused")
	}
	if !again(t, ParseStatusRequest, []byte{0xa2, 1, 1, 9, 0}) {
		t.Error("a field of the future is refused")
	}
	for name, spoil := range map[string]func(*StatusRequest){
		"txn":       func(r *StatusRequest) { r.Txn = eight },
		"keys":      func(r *StatusRequest) { r.Keys = make([]uint64, 129) },
		"of, cut":   func(r *StatusRequest) { r.Of = of[:len(of)-1] },
		"of, long":  func(r *StatusRequest) { r.Of = append([]byte{8}, eight...) },
		"of, large": func(r *StatusRequest) { r.Of = make([]byte, MaxOf+1) },
	} {
		r := good
		if spoil(&r); again(t, ParseStatusRequest, r.Append(nil)) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTransaction(t *testing.T) {
	for _, good := range []Transaction{
		stage(), commit(), {Txn: four, Mode: ModeCommit, At: 1 << 40, Nonces: four}, {Txn: four, Mode: ModeCheck, Schema: 1},
		{Txn: four, Mode: ModeConfirm, Nonces: four}, {Txn: four, Mode: ModeCancel}, {Txn: four, Mode: ModeRevert},
	} {
		got, err := ParseTransaction(good.Append(nil))
		if err != nil || !bytes.Equal(got.Append(nil), good.Append(nil)) {
			t.Errorf("%+v: %+v, %v", good, got, err)
		}
	}
	for name, bad := range map[string]func() Transaction{
		"no txn":           func() Transaction { t := stage(); t.Txn = nil; return t },
		"txn":              func() Transaction { t := stage(); t.Txn = eight; return t },
		"mode 0":           func() Transaction { t := stage(); t.Mode = 0; return t },
		"mode 7":           func() Transaction { t := stage(); t.Mode = 7; return t },
		"base":             func() Transaction { t := stage(); t.Base = four; return t },
		"base of a commit": func() Transaction { t := commit(); t.Base = eight; return t },
		"schema":           func() Transaction { t := stage(); t.Schema = 0; return t },
		"large":            func() Transaction { t := stage(); t.Patch[3] = strings.Repeat("x", MaxPatch); return t },
		"of":               func() Transaction { t := stage(); t.Of = []byte{2, 1}; return t },
		"staged nonces":    func() Transaction { t := stage(); t.Nonces = four; return t },
		"staged time":      func() Transaction { t := stage(); t.In = 1; return t },
		"commit, patch":    func() Transaction { t := commit(); t.Patch = Map{1: true}; return t },
		"commit, schema":   func() Transaction { t := commit(); t.Schema = 1; return t },
		"commit, of":       func() Transaction { t := commit(); t.Of = of; return t },
		"two times":        func() Transaction { t := commit(); t.At = 1; return t },
		"far":              func() Transaction { t := commit(); t.In++; return t },
		"within":           func() Transaction { t := commit(); t.Within++; return t },
		"half a nonce":     func() Transaction { t := commit(); t.Nonces = t.Nonces[:6]; return t },
		"many nonces":      func() Transaction { t := commit(); t.Nonces = make([]byte, 4*(MaxNonces+1)); return t },
		"confirm, time":    func() Transaction { t := commit(); t.Mode, t.Within = ModeConfirm, 0; return t },
		"confirm, within":  func() Transaction { t := commit(); t.Mode, t.In = ModeConfirm, 0; return t },
	} {
		bad := bad()
		if again(t, ParseTransaction, bad.Append(nil)) {
			t.Errorf("%s: accepted", name)
		}
	}
	tx := commit()
	if !tx.Quotes(four) || !tx.Quotes(make([]byte, 4)) || tx.Quotes(nil) || tx.Quotes([]byte{0, 0, 1, 2}) {
		t.Error("the nonces are not those that were quoted")
	}
	if whole := bytes.Repeat([]byte{1}, 4*MaxNonces); len((&Transaction{Txn: four, Mode: ModeConfirm, Nonces: whole}).Append(nil)) > 900 {
		t.Error("as many nonces do not fit into one datagram")
	}
}

// A device must not carry out by half what it does not wholly know.
func TestUnknownFields(t *testing.T) {
	tx, recall := stage(), Recall{Scene: 3, Fade: 500}
	for name, c := range map[string]struct {
		data  []byte
		parse func([]byte) error
	}{
		"transaction": {tx.Append(nil), func(d []byte) error { _, err := ParseTransaction(d); return err }},
		"recall":      {recall.Append(nil), func(d []byte) error { _, err := ParseRecall(d); return err }},
	} {
		if err := c.parse(c.data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, field := range []byte{0, 12, 23} {
			more := append(bytes.Clone(c.data), field, 0)
			if more[0]++; !errors.Is(c.parse(more), cbor.ErrDecode) {
				t.Errorf("%s: a field %d is let pass", name, field)
			}
		}
	}
}

func TestRecall(t *testing.T) {
	for _, r := range []Recall{{}, {Scene: MaxScene, Fade: MaxFade}} {
		if !again(t, ParseRecall, r.Append(nil)) {
			t.Errorf("%+v: refused", r)
		}
	}
	for _, r := range []Recall{{Scene: MaxScene + 1}, {Fade: MaxFade + 1}} {
		if again(t, ParseRecall, r.Append(nil)) {
			t.Errorf("%+v: accepted", r)
		}
	}
}

func TestAddressees(t *testing.T) {
	if !Means(nil, four) || !Means(of, []byte{7}) || !Means(of, []byte{1, 2}) || Means(of, []byte{2}) || Means(of, nil) || Means(of, []byte{1}) {
		t.Error("others are meant")
	}
	if !Means(AppendOf(nil, nil), nil) {
		t.Error("the empty Sender ID is one, too")
	}
}

func TestMalformed(t *testing.T) {
	tx, s, r, c := stage(), fullStatus(), StatusRequest{Fields: 3, Txn: four}, Recall{Scene: 1}
	for _, good := range [][]byte{tx.Append(nil), s.Append(nil), r.Append(nil), c.Append(nil)} {
		for _, bad := range [][]byte{nil, {}, {0xf6}, {0x80}, {0xa0}, good[:len(good)-1], append(bytes.Clone(good), 0), append([]byte{0xc6}, good...)} {
			for name, parser := range map[string]func([]byte) error{
				"transaction": func(d []byte) error { _, err := ParseTransaction(d); return err },
				"status":      func(d []byte) error { _, err := ParseStatus(d); return err },
			} {
				if err := parser(bad); !errors.Is(err, cbor.ErrDecode) {
					t.Errorf("%s of %x: %v", name, bad, err)
				}
			}
		}
	}
}

// States, results and modes have words, each its own; a refusal says what to do.
func TestWords(t *testing.T) {
	seen := map[string]bool{}
	for s := Idle; s <= Trial+1; s++ {
		seen[s.String()] = true
	}
	for r := range results {
		seen[r.String()] = true
		if r.Refused() != (r >= 20) || r.Refused() && !strings.Contains(r.String(), "; ") {
			t.Errorf("%d: %q", r, r)
		}
	}
	seen[Result(99).String()] = true
	for m := Mode(0); m <= ModeRevert+1; m++ {
		seen[m.String()] = true
	}
	if want := int(Trial) + 2 + len(results) + 1 + int(ModeRevert) + 2; len(seen) != want {
		t.Errorf("%d different sentences, want %d", len(seen), want)
	}
}

func FuzzParse(f *testing.F) {
	s, st, c := fullStatus(), stage(), commit()
	f.Add(s.Append(nil))
	f.Add(st.Append(nil))
	f.Add(c.Append(nil))
	f.Add((&StatusRequest{Fields: 3, Txn: four, Of: of}).Append(nil))
	f.Add((&Recall{Scene: 3, Fade: 500}).Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		again(t, ParseStatus, data)
		again(t, ParseStatusRequest, data)
		again(t, ParseTransaction, data)
		again(t, ParseRecall, data)
	})
}

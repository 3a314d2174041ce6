package settings

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"lamplighter/internal/cbor"
)

func TestMergeOfDiffIsTheTarget(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	value := func() any {
		switch rng.IntN(5) {
		case 0:
			return rng.IntN(2) == 0
		case 1:
			return int64(rng.IntN(9)) - 4
		case 2:
			return "text"
		case 3:
			return []byte{byte(rng.IntN(3))}
		}
		return Map{uint64(rng.IntN(3)): int64(rng.IntN(2)), 7: "x", 8: Map{uint64(rng.IntN(3)): int64(rng.IntN(2))}}
	}
	random := func() Map {
		m := Map{}
		for range rng.IntN(6) {
			m[uint64(rng.IntN(6))] = value()
		}
		return m
	}
	for range 2000 {
		from, to := random(), random()
		if got := Merge(from, Diff(from, to)); got.Digest() != to.Digest() {
			t.Fatalf("%v + %v = %v, want %v", from, Diff(from, to), got, to)
		}
		if len(Diff(to, to)) != 0 {
			t.Fatalf("a patch from %v to itself", to)
		}
	}
}

func TestValuesThatSettingsDoNotHave(t *testing.T) {
	for name, data := range map[string]string{
		"a float": "\xa1\x01\xf9\x3c\x00", "an array": "\xa1\x01\x80", "a tag": "\xa1\x01\xc1\x01",
		"three levels of maps below": "\xa1\x01\xa1\x01\xa1\x01\xa1\x01\x01", "text as a key": "\xa1\x61a\x01",
		"a number above 2^63": "\xa1\x01\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "a key twice": "\xa2\x01\x01\x01\x02",
	} {
		var m Map
		if err := cbor.Unmarshal([]byte(data), &m); err == nil {
			t.Errorf("%s is taken: %v", name, m)
		}
	}
}

func FuzzMap(f *testing.F) {
	f.Add([]byte("\xa2\x01\x18\x64\x02\xa1\x03\xf6"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Map
		if cbor.Unmarshal(data, &m) != nil {
			return
		}
		var again Map
		if err := cbor.Unmarshal(cbor.MustMarshal(m), &again); err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%v came back as %v, %v", m, again, err)
		}
	})
}

// What is not there takes no bytes; that a device has no settings is told.
func TestNoSettings(t *testing.T) {
	if b := (&Transaction{Txn: four, Mode: ModeConfirm}).Append(nil); b[0] != 0xa2 {
		t.Errorf("a transaction without patch is %x", b)
	}
	s, err := ParseStatus((&Status{Running: eight, Values: Map{}}).Append(nil))
	if err != nil || s.Values == nil || s.Before != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if Map(nil).Digest() != (Map{}).Digest() {
		t.Error("no settings have two digests")
	}
	var m Map
	if err := cbor.Unmarshal([]byte{cbor.Null}, &m); err == nil && m != nil {
		t.Errorf("null became %v", m)
	}
	if _, err := ParseTransaction([]byte("\xa4\x01\x44\x01\x02\x03\x04\x02\x02\x04\x01\x05\xf6")); err == nil {
		t.Error("null is taken as a patch")
	}
}

// One patch over another keeps what either deletes, and neither changes.
func TestOverlay(t *testing.T) {
	under := Map{1: int64(1), 2: nil, 4: Map{1: Map{1: int64(1)}, 2: Map{1: int64(2), 2: int64(20)}, 3: nil}, 5: Map{1: true}}
	over := Map{1: nil, 4: Map{2: Map{1: int64(3)}, 3: Map{}, 4: nil}, 5: nil, 6: Map{1: nil}}
	want := Map{1: nil, 2: nil, 4: Map{1: Map{1: int64(1)}, 2: Map{1: int64(3), 2: int64(20)}, 3: Map{}, 4: nil}, 5: nil, 6: Map{1: nil}}
	for range 2 {
		if got := Overlay(under, over); got.Digest() != want.Digest() {
			t.Errorf("%v", got)
		}
	}
	if got := Overlay(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("%v", got)
	}
}

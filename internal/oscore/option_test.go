package oscore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/coap"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 8613, Section 6.3, and RFC 10021, Section 4.3, and more.
func TestOption(t *testing.T) {
	for _, c := range []struct {
		value string
		want  Option
	}{
		{"", Option{}},
		{"090525", Option{PIV: []byte{5}, KID: []byte{0x25}}},
		{"0900", Option{PIV: []byte{0}, KID: []byte{}}},
		{"19050544616c656b", Option{PIV: []byte{5}, KIDContext: []byte("Dalek"), KID: []byte{}}},
		{"0107", Option{PIV: []byte{7}}},
		{"390503" + "44616c" + "25", Option{Group: true, PIV: []byte{5}, KIDContext: []byte("Dal"), KID: []byte{0x25}}},
		{"2852", Option{Group: true, KID: []byte{0x52}}},
		{"1000", Option{KIDContext: []byte{}}},
		{"0d" + "ffffffffff" + "01020304050607", Option{PIV: []byte{255, 255, 255, 255, 255}, KID: []byte{1, 2, 3, 4, 5, 6, 7}}},
	} {
		got, err := ParseOption(unhex(t, c.value))
		if err != nil {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.value, got, c.want)
		}
		if b := AppendOption([]byte{}, c.want); hex.EncodeToString(b) != c.value {
			t.Errorf("%s: encodes as %x", c.value, b)
		}
	}
}

func TestOptionMalformed(t *testing.T) {
	for name, value := range map[string]string{
		"nothing but a zero flag byte": "00",
		"reserved bit 0x40":            "4901" + "25",
		"reserved bit 0x80":            "8901" + "25",
		"Partial IV of 6 bytes":        "0e010203040506",
		"Partial IV of 7 bytes":        "0f01020304050607",
		"Partial IV cut off":           "0a01",
		"Partial IV with zeroes":       "0a0005",
		"kid context without length":   "1105",
		"kid context cut off":          "110505616263",
		"bytes after the end":          "010525",
		"bytes after kid context":      "11050161ff",
		"256 bytes":                    "0905" + strings.Repeat("00", 254),
	} {
		if o, err := ParseOption(unhex(t, value)); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	m := &coap.Message{}
	if _, err := MessageOption(m); !errors.Is(err, ErrDecode) {
		t.Errorf("no option: %v", err)
	}
	coap.AddOption(m, coap.OptionOSCORE, nil)
	coap.AddOption(m, coap.OptionOSCORE, nil)
	if _, err := MessageOption(m); !errors.Is(err, ErrDecode) {
		t.Errorf("two options: %v", err)
	}
}

func TestPIV(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "00", 1: "01", 255: "ff", 256: "0100", 1<<16 - 1: "ffff", 1 << 16: "010000",
		1<<32 - 1: "ffffffff", 1 << 32: "0100000000", 1<<40 - 1: "ffffffffff",
	} {
		piv := AppendPIV(nil, n)
		if hex.EncodeToString(piv) != want || PIVNumber(piv) != n {
			t.Errorf("%d: %x", n, piv)
		}
	}
}

func FuzzOption(f *testing.F) {
	for _, s := range []string{"", "0914", "19140837cbf3210017a2d3", "390002dd1125", "00", "0d0102030405"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		o, err := ParseOption(value)
		if err != nil {
			return
		}
		if back := AppendOption(nil, o); !bytes.Equal(back, value) {
			t.Errorf("%x encodes back as %x", value, back)
		}
	})
}

func FuzzPlaintext(f *testing.F) {
	for _, s := range []string{"01b3747631", "45ff48656c6c6f", "44", "", "01ff", "01d0f1", "01e1000041", "0101ff"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		m, err := parse(plaintext)
		if err != nil {
			return
		}
		back := []byte{byte(m.Code)}
		last := coap.OptionID(0)
		for _, o := range m.Options {
			back = appendCoAPOption(back, o.ID-last, o.Value)
			last = o.ID
		}
		if len(m.Payload) > 0 {
			back = append(append(back, payloadMarker), m.Payload...)
		}
		if !bytes.Equal(back, plaintext) {
			t.Errorf("%x encodes back as %x", plaintext, back)
		}
	})
}

func TestPlaintextMalformed(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":                   "",
		"marker without payload":    "01ff",
		"option cut off":            "01b374",
		"delta 15":                  "01f0",
		"length 15":                 "011f",
		"extended delta cut off":    "01d0",
		"2-byte delta cut off":      "01e000",
		"extended length cut off":   "011d",
		"option number above 65535": "01e0ffff",
	} {
		if m, err := parse(unhex(t, s)); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// Lengths and deltas around the borders of the option format.
func TestOptionFormatBorders(t *testing.T) {
	for _, delta := range []int{0, 12, 13, 268, 269, 65000} {
		for _, length := range []int{0, 12, 13, 268, 269, 1000} {
			value := bytes.Repeat([]byte{7}, length)
			m, err := parse(appendCoAPOption([]byte{1}, coap.OptionID(delta), value))
			if err != nil || len(m.Options) != 1 || int(m.Options[0].ID) != delta || !bytes.Equal(m.Options[0].Value, value) {
				t.Errorf("delta %d, length %d: %v", delta, length, err)
			}
		}
	}
}

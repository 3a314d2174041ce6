package label

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

func lamp(n byte) Label {
	return Label{
		ID: [8]byte{0, 0x0b, 0x57, 0xff, 0xfe, 0x40, 0x1a, n}, Model: "lamp-dim-1",
		Thumbprint: bytes.Repeat([]byte{0xa0 + n}, 16), Secret: bytes.Repeat([]byte{n + 1}, 16),
	}
}

// RFC 9285, Sections 4.3 and 4.4.
func TestBase45(t *testing.T) {
	for plain, coded := range map[string]string{
		"AB": "BB8", "Hello!!": "%69 VD92EX0", "base-45": "UJCLQE7W581", "ietf!": "QED8WEX0", "": "",
	} {
		if got := encodeBase45([]byte(plain)); got != coded {
			t.Errorf("encode(%q) = %q, want %q", plain, got, coded)
		}
		if got, err := decodeBase45(coded); err != nil || string(got) != plain {
			t.Errorf("decode(%q) = %q, %v", coded, got, err)
		}
	}
	for _, bad := range []string{"A", "BB8A", "GGW", ":::", "::", "bb8", "B_8", "ZZ"} {
		if got, err := decodeBase45(bad); err == nil {
			t.Errorf("decode(%q) = %x, want an error", bad, got)
		}
	}
}

func TestParseEncodes(t *testing.T) {
	want := lamp(1)
	text := want.Encode()
	for _, form := range []string{text, strings.ToLower(text), "  " + text + "\n"} {
		got, err := Parse(form)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%q) = %+v, %v", form, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := map[int]any{1: 1, 2: make([]byte, 8), 3: "m", 4: make([]byte, 16), 8: make([]byte, 16)}
	with := func(k int, v any) string {
		m := map[int]any{}
		for k, v := range good {
			m[k] = v
		}
		if m[k] = v; v == nil {
			delete(m, k)
		}
		return Prefix + encodeBase45(cbor.MustMarshal(m))
	}
	if _, err := Parse(with(99, "unknown")); err != nil {
		t.Errorf("an unknown key is ignored, got %v", err)
	}
	cases := map[string]string{
		"version 2":       with(1, 2),
		"critical key":    with(-1, 1),
		"short id":        with(2, make([]byte, 7)),
		"long id":         with(2, make([]byte, 9)),
		"no model":        with(3, nil),
		"control char":    with(3, "a\nb"),
		"long model":      with(3, strings.Repeat("x", 65)),
		"short thumb":     with(4, make([]byte, 15)),
		"long thumb":      with(4, make([]byte, 33)),
		"no thumb":        with(4, nil),
		"short secret":    with(8, make([]byte, 15)),
		"no secret":       with(8, nil),
		"not a map":       Prefix + encodeBase45([]byte{0x01}),
		"trailing bytes":  Prefix + encodeBase45(append(cbor.MustMarshal(good), 0)),
		"empty":           Prefix,
		"nothing":         "",
		"cut":             lamp(1).Encode()[:20],
		"endless":         Prefix + strings.Repeat("0", maxText),
		"another scheme?": "hello",
	}
	for name, text := range cases {
		_, err := Parse(text)
		if !errors.Is(err, ErrDecode) && !errors.Is(err, ErrNoSecret) {
			t.Errorf("%s: %v, want ErrDecode", name, err)
		}
	}
	if _, err := Parse(cases["no secret"]); !errors.Is(err, ErrNoSecret) {
		t.Errorf("no secret: %v", err)
	}
}

func TestParseNamesOtherSchemes(t *testing.T) {
	for text, want := range map[string]string{
		"MT:Y.K9042C00KA0648G00":           "a Matter code",
		"34970112332":                      "a Matter pairing code",
		"3497-011-2332":                    "a Matter pairing code",
		"DPP:K:MDkwEwYHKoZIzj0CAQ;;":       "a Wi-Fi Easy Connect (DPP) code",
		"90" + strings.Repeat("0", 50):     "a Z-Wave code",
		"4006381333931":                    "a product's bar code (EAN)",
		"https://example.org/lamp":         "a web address",
		"LL2:ABC":                          "a label for a newer version of this program",
		"Z:0123456789ABCDEF$I:83FED3407A9": "a Zigbee install code",
	} {
		_, err := Parse(text)
		var scheme *SchemeError
		if !errors.As(err, &scheme) || scheme.Scheme != want {
			t.Errorf("Parse(%q): %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"4006381333932", "LLAMA:", "12345"} {
		var scheme *SchemeError
		if _, err := Parse(text); errors.As(err, &scheme) {
			t.Errorf("Parse(%q) claims to be %s", text, scheme.Scheme)
		}
	}
}

func TestMatches(t *testing.T) {
	cred := []byte("a credential")
	sum := cose.Thumbprint(cred)
	for n, want := range map[int]bool{0: false, 15: false, 16: true, 32: true} {
		if got := (Label{Thumbprint: sum[:n]}).Matches(cred); got != want {
			t.Errorf("%d bytes of the thumbprint match: %v", n, got)
		}
	}
	if (Label{Thumbprint: sum[:16]}).Matches([]byte("another")) {
		t.Error("another credential matches")
	}
}

func TestLabelHidesItsSecret(t *testing.T) {
	l := lamp(1)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if s := fmt.Sprintf(verb, l); strings.Contains(s, "02020202") || strings.Contains(s, "2, 2, 2") ||
			strings.Contains(s, "2 2 2 2") || strings.Contains(s, "0x2, 0x2") {
			t.Errorf("%s shows the secret: %s", verb, s)
		}
	}
}

func TestTable(t *testing.T) {
	a, b := lamp(1), lamp(2)
	a.Name, a.Place = `Hall "left", window`, "Hall; ceiling"
	a.Address = netip.MustParseAddrPort("127.1.0.1:5683")
	b.Address = netip.MustParseAddrPort("[2001:db8::1]:61616")
	var out bytes.Buffer
	if err := WriteCSV(&out, []Label{a, b}); err != nil {
		t.Fatal(err)
	}
	labels, bad, err := ParseCSV(bytes.NewReader(out.Bytes()))
	if err != nil || len(bad) != 0 || !reflect.DeepEqual(labels, []Label{a, b}) {
		t.Fatalf("%+v, %v, %v", labels, bad, err)
	}
}

func TestTableForms(t *testing.T) {
	const row = "00:0B:57:FF:FE:40:1A:01;lamp-dim-1;A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1;02020202020202020202020202020202"
	want := lamp(1)
	withAddress := want
	withAddress.Address = netip.MustParseAddrPort("192.0.2.7:5683")
	cases := map[string]struct {
		text string
		want Label
	}{
		"semicolons, BOM, CRLF": {"\ufeffID;Model;Thumbprint;Secret\r\n" + row + "\r\n", want},
		"other columns":         {"vendor;id;model;thumbprint;secret\nacme;" + row, want},
		"tabs, bare address": {"id\tmodel\tthumbprint\tsecret\taddress\n" +
			strings.ReplaceAll(row, ";", "\t") + "\t192.0.2.7\n\n", withAddress},
		"no header":    {"000b57fffe401a01,,lamp-dim-1,a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1,02020202020202020202020202020202", want},
		"labels":       {want.Encode() + "\n", want},
		"label column": {"label,address\n" + want.Encode() + ",192.0.2.7:5683\n", withAddress},
	}
	for name, c := range cases {
		labels, bad, err := ParseCSV(strings.NewReader(c.text))
		if err != nil || len(bad) != 0 || !reflect.DeepEqual(labels, []Label{c.want}) {
			t.Errorf("%s: %+v, %v, %v", name, labels, bad, err)
		}
	}
}

func TestTableKeepsGoodLines(t *testing.T) {
	a, b := lamp(1), lamp(2)
	var out bytes.Buffer
	if err := WriteCSV(&out, []Label{a, b}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	text := strings.Join([]string{
		lines[0], lines[1],
		`"000b57fffe401a05,no end`,
		`000b57fffe401a,x,m,00,00,,`,
		`000b57fffe401a06,x,lamp-dim-1,` + strings.Repeat("a1", 16) + `,1.2E+31,,`,
		lines[1],
		strings.Repeat("x", 3*maxLine),
		"MT:Y.K9042C00KA0648G00",
		strings.Replace(lines[2], ",\n", "", 1) + "999.1.1.1",
		"\xff\xfe",
		lines[2],
	}, "\n")
	labels, bad, err := ParseCSV(strings.NewReader(text))
	if err != nil || !reflect.DeepEqual(labels, []Label{a, b}) {
		t.Fatalf("%+v, %v", labels, err)
	}
	want := map[int]string{
		3: "quotation", 4: "device id", 5: "spreadsheet", 6: "line 2 already", 7: "too long",
		8: "Matter", 9: "address", 10: "UTF-8",
	}
	for _, e := range bad {
		if !strings.Contains(e.Reason, want[e.Line]) || want[e.Line] == "" {
			t.Errorf("%v, want %q", e, want[e.Line])
		}
		delete(want, e.Line)
	}
	if len(want) != 0 {
		t.Errorf("not reported: %v", want)
	}
}

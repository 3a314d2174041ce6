package cose_test

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	_ "lamplighter/internal/cose/x509cert"
)

//go:embed testdata/c509.json
var c509JSON []byte

// draft is the certificates of draft-ietf-cose-cbor-encoded-cert, Appendix A.
func draft(t testing.TB, name string) []byte {
	t.Helper()
	var all map[string]string
	if err := json.Unmarshal(c509JSON, &all); err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(all[name])
	if err != nil || len(b) == 0 {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

// keys is one private key of each curve.
func keys(t testing.TB) map[cose.Curve]cose.PrivateKey {
	t.Helper()
	seed := make([]byte, 32)
	rand.Read(seed)
	x, err := cose.NewX25519(seed)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := p256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := p256.NewKey(scalar)
	if err != nil {
		t.Fatal(err)
	}
	return map[cose.Curve]cose.PrivateKey{cose.Ed25519: cose.NewEd25519(seed), cose.X25519: x, cose.P256: p}
}

// compress returns a P-256 key's point with the given first byte for an even y.
func compress(k cose.PublicKey, even byte) []byte {
	point := k.Bytes()
	if point[64]&1 == 1 && even == 0xfe {
		return append([]byte{0xfd}, point[1:33]...)
	}
	return append([]byte{even | point[64]&1}, point[1:33]...)
}

func cwt(alg int, claims []byte) []byte {
	return cbor.MustMarshal([]any{cbor.MustMarshal(map[int]int{1: alg}), map[int]any{4: []byte("kid")}, claims, make([]byte, 64)})
}

// c509Items is a certificate whose items a test may change.
func c509Items(kind, alg int, key any) []any {
	return []any{kind, []byte{1}, 0, "issuer", 1672531200, nil, "lamp", alg, key, 1, make([]byte, 64)}
}

func sequence(items []any) (b []byte) {
	for _, item := range items {
		b = append(b, cbor.MustMarshal(item)...)
	}
	return b
}

type parser = func([]byte) (cose.Credential, error)

// Every format on every curve gives the key, the subject and its own bytes.
func TestFormats(t *testing.T) {
	c509Algorithm := map[cose.Curve]int{cose.P256: 1, cose.X25519: 8, cose.Ed25519: 12}
	for curve, key := range keys(t) {
		public := key.Public()
		ccs := public.CCS("lamp")
		native, reencoded := public.Bytes(), public.Bytes()
		if curve == cose.P256 {
			native, reencoded = compress(public, 2), compress(public, 0xfe)
		}
		array := cbor.MustMarshal(c509Items(2, c509Algorithm[curve], native))
		seq := sequence(c509Items(3, c509Algorithm[curve], reencoded))
		whole := cbor.MustMarshal(c509Items(3, c509Algorithm[curve], public.Bytes()))
		tokens := cwt(-7, ccs)
		for name, c := range map[string]struct {
			parse     parser
			data, raw []byte
		}{
			"CCS":                    {cose.ParseCCS, ccs, ccs},
			"kccs":                   {cose.KCCS.Parse, ccs, ccs},
			"kccs, tagged":           {cose.KCCS.Parse, append([]byte{0xd9, 0x02, 0x59}, ccs...), ccs},
			"CWT":                    {cose.ParseCWT, tokens, tokens},
			"kcwt":                   {cose.KCWT.Parse, tokens, tokens},
			"kcwt, COSE_Sign1 tag":   {cose.KCWT.Parse, append([]byte{0xd2}, tokens...), tokens},
			"kcwt, both tags":        {cose.KCWT.Parse, append([]byte{0xd8, 0x3d, 0xd2}, tokens...), tokens},
			"C509":                   {cose.ParseC509, array, array},
			"C509 sequence":          {cose.ParseC509, seq, seq},
			"C509, not compressed":   {cose.ParseC509, whole, whole},
			"c5c, bare":              {cose.C5C.Parse, array, array},
			"c5c, bare sequence":     {cose.C5C.Parse, seq, seq},
			"c5c, one":               {cose.C5C.Parse, cbor.AppendBytes(nil, seq), seq},
			"c5b, one":               {cose.C5B.Parse, cbor.AppendBytes(nil, seq), seq},
			"c5c, two":               {cose.C5C.Parse, cbor.MustMarshal([][]byte{seq, {1}}), seq},
			"c5c of eleven":          {cose.C5C.Parse, cbor.MustMarshal([][]byte{seq, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}), seq},
			"CWT without parameters": {cose.ParseCWT, cbor.MustMarshal([]any{[]byte{}, map[int]int{}, ccs, []byte{}}), nil},
		} {
			got, err := c.parse(c.data)
			if err != nil {
				t.Errorf("%s on %v: %v", name, curve, err)
				continue
			}
			if c.raw == nil {
				c.raw = c.data
			}
			if got.Subject != "lamp" || !got.Public.Equal(public) || got.Alg != public.SignatureAlgorithm() || !bytes.Equal(got.Raw, c.raw) {
				t.Errorf("%s on %v: %+v", name, curve, got)
			}
			if again, err := c.parse(got.Raw); err != nil || !bytes.Equal(again.Raw, got.Raw) || !again.Public.Equal(public) {
				t.Errorf("%s on %v: what is kept is read as %+v, %v", name, curve, again, err)
			}
			for i := range c.data {
				c.data[i] ^= 0xff
			}
			if bytes.Contains(c.data, got.Raw) {
				t.Errorf("%s on %v: Raw shares memory with its input", name, curve)
			}
			for i := range c.data {
				c.data[i] ^= 0xff
			}
		}
	}
}

// The same certificate in DER, re-encoded and natively signed has one key.
func TestDraftCertificates(t *testing.T) {
	private, err := p256.NewKey(draft(t, "subjectPrivateKey"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		parse   parser
		subject string
		raw     string
	}{
		{"x509", cose.X5Chain.Parse, "01-23-45-FF-FE-67-89-AB", "x509"},
		{"reencoded", cose.ParseC509, "", "reencoded"},
		{"native", cose.C5C.Parse, "", "native"},
		{"nativeArray", cose.C5C.Parse, "", "nativeArray"},
		{"nativeCertData", cose.C5C.Parse, "", "native"},
		{"nativeCertData", cose.C5B.Parse, "", "native"},
	} {
		got, err := c.parse(draft(t, c.name))
		if err != nil || !got.Public.Equal(private.Public()) || got.Alg != cose.ES256 || got.Subject != c.subject {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if !bytes.Equal(got.Raw, draft(t, c.raw)) {
			t.Errorf("%s: Raw %x", c.name, got.Raw)
		}
	}
	issuer, err := cose.NewPublicKey(cose.P256, draft(t, "issuerPublicKey"))
	if err != nil {
		t.Fatal(err)
	}
	native := draft(t, "native")
	tbs, sig := native[:len(native)-66], native[len(native)-64:]
	if !issuer.Verify(tbs, sig) {
		t.Error("the issuer's signature does not verify")
	}
	a, err := cose.X5Bag.Parse(draft(t, "devIDx509"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := cose.ParseC509(draft(t, "devIDReencoded"))
	if err != nil || !a.Public.Equal(b.Public) {
		t.Errorf("%+v and %+v, %v", a, b, err)
	}
}

func TestC509Subject(t *testing.T) {
	key := keys(t)[cose.Ed25519].Public()
	for _, c := range []struct {
		name any
		want string
	}{
		{"text", "text"},
		{[]any{-4, "US", 1, "utf8"}, "utf8"},
		{[]any{-1, "printable"}, "printable"},
		{[]any{-4, "US"}, ""},
		{[]any{}, ""},
		{[]any{1}, ""},
		{[]any{1, []byte{1, 2}}, ""},
		{[]byte{0x12}, ""},
		{cbor.Tag{Number: 48, Content: []byte{1, 2, 3, 4, 5, 6}}, ""},
	} {
		items := c509Items(2, 12, key.Bytes())
		items[6] = c.name
		if got, err := cose.ParseC509(cbor.MustMarshal(items)); err != nil || got.Subject != c.want {
			t.Errorf("%v: %q, %v", c.name, got.Subject, err)
		}
	}
}

// The end entity of a bag is what is not of a CA.
func TestC509Bag(t *testing.T) {
	key := keys(t)[cose.P256].Public()
	cert := func(alg int, key []byte, extensions any) []byte {
		items := c509Items(2, alg, key)
		items[9] = extensions
		return sequence(items)
	}
	end := cert(1, compress(key, 2), 1)
	usages := cert(1, compress(key, 2), []any{2, 1, 8, 2})
	noCA := cert(1, compress(key, 2), []any{2, 1, 4, -2})
	ca := cert(1, compress(key, 2), []any{-4, -1, 2, 1})
	limited := cert(1, compress(key, 2), []any{4, 3})
	rsaCA := cert(0, make([]byte, 256), []any{-4, 0})
	for name, c := range map[string]struct {
		bag  [][]byte
		want []byte
		err  error
	}{
		"last":               {[][]byte{ca, rsaCA, limited, end}, end, nil},
		"first":              {[][]byte{noCA, ca}, noCA, nil},
		"no constraints":     {[][]byte{ca, usages}, usages, nil},
		"twice":              {[][]byte{end, ca, end}, end, nil},
		"two":                {[][]byte{end, ca, noCA}, nil, cose.ErrCredential},
		"none":               {[][]byte{ca, limited}, nil, cose.ErrCredential},
		"one without an end": {[][]byte{end, {}}, nil, cose.ErrDecode},
		"one of another key": {[][]byte{end, cert(0, make([]byte, 256), 1)}, nil, cose.ErrUnsupported},
	} {
		got, err := cose.C5B.Parse(cbor.MustMarshal(c.bag))
		if !errors.Is(err, c.err) || !bytes.Equal(got.Raw, c.want) {
			t.Errorf("%s: %x, %v", name, got.Raw, err)
		}
	}
	if got, err := cose.C5C.Parse(cbor.MustMarshal([][]byte{ca, end})); err != nil || !bytes.Equal(got.Raw, ca) {
		t.Errorf("the first of a chain: %x, %v", got.Raw, err)
	}
}

func TestBadFormats(t *testing.T) {
	all := keys(t)
	key := all[cose.Ed25519].Public()
	ccs := key.CCS("x")
	order := make([]byte, 32)
	good := cbor.MustMarshal(c509Items(2, 12, key.Bytes()))
	edit := func(i int, item any) []byte {
		items := c509Items(2, 12, key.Bytes())
		items[i] = item
		return cbor.MustMarshal(items)
	}
	private := cbor.MustMarshal(map[int]any{8: map[int]any{1: map[int]any{1: 1, -1: 6, -2: key.Bytes(), -4: make([]byte, 32)}}})
	part := func(items ...any) []byte { return cbor.MustMarshal(items) }
	many := make([][]byte, 17)
	for i := range many {
		many[i] = good
	}
	for name, c := range map[string]struct {
		parse parser
		data  []byte
		want  error
	}{
		"format unknown":             {cose.Format(34).Parse, ccs, cose.ErrUnsupported},
		"kccs: nothing":              {cose.KCCS.Parse, nil, cose.ErrDecode},
		"kccs: CWT's tag":            {cose.KCCS.Parse, append([]byte{0xd8, 0x3d}, ccs...), cose.ErrDecode},
		"CWT: nothing":               {cose.ParseCWT, nil, cose.ErrDecode},
		"CWT: a CCS":                 {cose.ParseCWT, ccs, cose.ErrDecode},
		"CWT: tagged":                {cose.ParseCWT, append([]byte{0xd2}, cwt(-7, ccs)...), cose.ErrDecode},
		"CWT: encrypted":             {cose.ParseCWT, part([]byte{}, map[int]int{}, []byte("ciphertext")), cose.ErrUnsupported},
		"CWT: with a MAC":            {cose.ParseCWT, cwt(5, ccs), cose.ErrUnsupported},
		"CWT: cut off":               {cose.ParseCWT, cwt(-7, ccs)[:90], cose.ErrDecode},
		"CWT: trailing byte":         {cose.ParseCWT, append(cwt(-7, ccs), 0), cose.ErrDecode},
		"CWT: five elements":         {cose.ParseCWT, part([]byte{}, map[int]int{}, ccs, []byte{}, 1), cose.ErrDecode},
		"CWT: header no bytes":       {cose.ParseCWT, part(map[int]int{}, map[int]int{}, ccs, []byte{}), cose.ErrDecode},
		"CWT: header no map":         {cose.ParseCWT, part([]byte{7}, map[int]int{}, ccs, []byte{}), cose.ErrDecode},
		"CWT: other header no map":   {cose.ParseCWT, part([]byte{}, nil, ccs, []byte{}), cose.ErrDecode},
		"CWT: detached":              {cose.ParseCWT, part([]byte{}, map[int]int{}, nil, []byte{}), cose.ErrDecode},
		"CWT: signature null":        {cose.ParseCWT, part([]byte{}, map[int]int{}, ccs, nil), cose.ErrDecode},
		"CWT: signature of numbers":  {cose.ParseCWT, part([]byte{}, map[int]int{}, ccs, []int{1, 2}), cose.ErrDecode},
		"CWT: nested":                {cose.ParseCWT, cwt(-7, cwt(-7, ccs)), cose.ErrDecode},
		"CWT: a private key":         {cose.ParseCWT, cwt(-7, private), cose.ErrCredential},
		"CWT: small order":           {cose.ParseCWT, cwt(-7, cose.Ed25519PublicKey(order).CCS("")), cose.ErrCredential},
		"C509: nothing":              {cose.ParseC509, nil, cose.ErrDecode},
		"C509: cut off":              {cose.ParseC509, good[:len(good)-1], cose.ErrDecode},
		"C509: trailing byte":        {cose.ParseC509, append(bytes.Clone(good), 0), cose.ErrDecode},
		"C509: ten items":            {cose.ParseC509, sequence(c509Items(2, 12, key.Bytes())[:10]), cose.ErrDecode},
		"C509: twelve items":         {cose.ParseC509, sequence(append(c509Items(2, 12, key.Bytes()), 1)), cose.ErrDecode},
		"C509: sequence cut off":     {cose.ParseC509, good[1 : len(good)-1], cose.ErrDecode},
		"C509: type 0":               {cose.ParseC509, edit(0, 0), cose.ErrUnsupported},
		"C509: type -2":              {cose.ParseC509, edit(0, -2), cose.ErrUnsupported},
		"C509: type null":            {cose.ParseC509, edit(0, nil), cose.ErrUnsupported},
		"C509: RSA":                  {cose.ParseC509, edit(7, 0), cose.ErrUnsupported},
		"C509: P-384":                {cose.ParseC509, edit(7, 2), cose.ErrUnsupported},
		"C509: Ed448":                {cose.ParseC509, edit(7, 13), cose.ErrUnsupported},
		"C509: an OID":               {cose.ParseC509, edit(7, []byte{0x2b, 0x65, 0x70}), cose.ErrUnsupported},
		"C509: key no bytes":         {cose.ParseC509, edit(8, nil), cose.ErrDecode},
		"C509: key of numbers":       {cose.ParseC509, edit(8, []int{1, 2, 3}), cose.ErrDecode},
		"C509: empty key":            {cose.ParseC509, edit(8, []byte{}), cose.ErrCredential},
		"C509: small order":          {cose.ParseC509, edit(8, order), cose.ErrCredential},
		"C509: empty P-256":          {cose.ParseC509, cbor.MustMarshal(c509Items(3, 1, []byte{})), cose.ErrCredential},
		"C509: native with fe":       {cose.ParseC509, cbor.MustMarshal(c509Items(2, 1, compress(all[cose.P256].Public(), 0xfe))), cose.ErrCredential},
		"C509: X25519, small order":  {cose.ParseC509, cbor.MustMarshal(c509Items(2, 8, order)), cose.ErrCredential},
		"c5c: nothing":               {cose.C5C.Parse, nil, cose.ErrDecode},
		"c5c: text":                  {cose.C5C.Parse, part("x")[1:], cose.ErrDecode},
		"c5c: array of one":          {cose.C5C.Parse, part(good), cose.ErrDecode},
		"c5c: array of none":         {cose.C5C.Parse, part(), cose.ErrDecode},
		"c5c: array cut off":         {cose.C5C.Parse, part(good, good)[:50], cose.ErrDecode},
		"c5c: array of 17":           {cose.C5C.Parse, cbor.MustMarshal(many), cose.ErrDecode},
		"c5c: second no bytes":       {cose.C5C.Parse, part(good, 1), cose.ErrDecode},
		"c5c: byte string cut off":   {cose.C5C.Parse, cbor.AppendBytes(nil, good)[:50], cose.ErrDecode},
		"c5c: bytes after the bytes": {cose.C5C.Parse, append(cbor.AppendBytes(nil, good), 0), cose.ErrDecode},
	} {
		if got, err := c.parse(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := cose.C5C.Parse(cbor.MustMarshal(many[:16])); err != nil {
		t.Errorf("a chain of 16: %v", err)
	}
}

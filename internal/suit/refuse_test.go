package suit_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/suit"
)

type m = map[any]any

var (
	vendorID = suit.VendorID("example.com")
	classID  = suit.ClassID(vendorID, "lamp")
	wanted   = suit.Recipient{Vendor: vendorID, Class: classID}
	imageSum = cbor.MustMarshal([]any{-16, bytes.Repeat([]byte{5}, 32)})
	otherSum = cbor.MustMarshal([]any{-16, bytes.Repeat([]byte{6}, 32)})
	checkIDs = []any{1, 15, 2, 15}
)

func seq(items ...any) []byte { return cbor.MustMarshal(items) }

func ids() m {
	return m{1: vendorID[:], 2: classID[:], 3: imageSum, 14: 1000}
}

func common(components int, shared ...any) []byte {
	list := make([][][]byte, components)
	for i := range list {
		list[i] = [][]byte{{byte(i)}}
	}
	c := m{2: list}
	if shared != nil {
		c[4] = seq(shared...)
	}
	return cbor.MustMarshal(c)
}

// plain is a manifest that a device follows, made with the general encoder.
func plain() m {
	return m{
		1: 1, 2: 9, 3: common(1, append([]any{20, ids()}, checkIDs...)...),
		7: seq(3, 15), 9: seq(23, 2), 20: seq(20, m{21: "coap://files/1"}, 21, 2, 3, 15),
	}
}

func with(base m, changes m) m {
	base = maps.Clone(base)
	for k, v := range changes {
		if v == nil {
			delete(base, k)
		} else {
			base[k] = v
		}
	}
	return base
}

// signed signs a manifest, whatever it is.
func signed(t testing.TB, manifest []byte, more m) ([]byte, cose.PublicKey) {
	t.Helper()
	s := signer(t, cose.AlgEd25519)
	return envelopeWith(more, manifest, block(t, s, manifest, m{1: -19}, m{}, nil)), s.Public()
}

// block makes an authentication block of any headers.
func block(t testing.TB, s suit.Signer, manifest []byte, protected, unprotected m, payload any) []byte {
	t.Helper()
	header := cbor.MustMarshal(protected)
	sig, err := s.Sign(cbor.MustMarshal([]any{"Signature1", header, []byte{}, digestOf(manifest)}))
	if err != nil {
		t.Fatal(err)
	}
	return cbor.MustMarshal(cbor.Tag{Number: 18, Content: []any{header, unprotected, payload, sig}})
}

func TestPlain(t *testing.T) {
	data, key := signed(t, cbor.MustMarshal(plain()), nil)
	e, _, err := suit.Open(data, key)
	if err != nil {
		t.Fatal(err)
	}
	i, err := e.Apply(wanted)
	if err != nil || i.Size != 1000 || i.URI != "coap://files/1" || i.Digest[0] != 5 || !i.Invoke || i.Sequence != 9 {
		t.Errorf("%+v, %v", i, err)
	}
}

// What is not built is refused by its name, what is malformed as such.
func TestManifestRefused(t *testing.T) {
	shared := func(items ...any) m { return m{3: common(1, items...)} }
	two := append([]any{12, 0, 20, ids()}, checkIDs...)
	for name, c := range map[string]struct {
		changes m
		err     error
		says    string
	}{
		"version":                {m{1: 2}, suit.ErrUnsupported, "version 2"},
		"no version":             {m{1: nil}, suit.ErrDecode, "version"},
		"negative sequence":      {m{2: -1}, suit.ErrDecode, "sequence number"},
		"no common":              {m{3: nil}, suit.ErrDecode, "suit-common"},
		"common is a map":        {m{3: m{}}, suit.ErrDecode, "suit-common"},
		"reference URI is bytes": {m{4: []byte{1}}, suit.ErrDecode, "suit-reference-uri"},
		"component id":           {m{5: []byte{1}}, suit.ErrUnsupported, "suit-manifest-component-id"},
		"candidate verification": {m{18: seq(3, 15)}, suit.ErrUnsupported, "suit-candidate-verification"},
		"uninstall":              {m{24: seq(3, 15)}, suit.ErrUnsupported, "suit-uninstall"},
		"unknown element":        {m{99: 0}, suit.ErrUnsupported, "unknown element 99"},
		"custom element":         {m{-300: 0}, suit.ErrUnsupported, "custom element -300"},
		"text as key":            {m{"x": 0}, suit.ErrDecode, "manifest"},
		"dependencies":           {m{3: cbor.MustMarshal(m{1: m{}, 2: [][][]byte{{{0}}}})}, suit.ErrUnsupported, "suit-dependencies"},
		"no components":          {m{3: cbor.MustMarshal(m{2: []any{}})}, suit.ErrDecode, "suit-components"},
		"many components":        {m{3: common(9, two...)}, suit.ErrUnsupported, "9 components"},
		"component as text":      {m{3: cbor.MustMarshal(m{2: []any{[]any{"a"}}})}, suit.ErrDecode, "suit-components"},
		"no selection":           {m{3: common(2, two...)}, suit.ErrDecode, "suit-directive-set-component-index"},
		"empty sequence":         {m{7: seq()}, suit.ErrDecode, "suit-validate"},
		"half a pair":            {m{7: seq(3)}, suit.ErrDecode, "suit-validate"},
		"not in a byte string":   {m{7: []any{3, 15}}, suit.ErrDecode, "suit-validate"},
		"severed validate":       {m{7: []any{-16, make([]byte, 32)}}, suit.ErrDecode, "suit-validate"},
		"policy":                 {m{7: seq(3, 16)}, suit.ErrUnsupported, "reporting policy 16"},
		"policy is null":         {m{7: seq(3, nil)}, suit.ErrDecode, "suit-condition-image-match"},
		"check content":          {m{7: seq(6, 15)}, suit.ErrUnsupported, "suit-condition-check-content"},
		"abort":                  {m{7: seq(14, 15)}, suit.ErrUnsupported, "suit-condition-abort"},
		"write":                  {m{20: seq(18, 2)}, suit.ErrUnsupported, "suit-directive-write"},
		"swap":                   {m{20: seq(31, 2)}, suit.ErrUnsupported, "suit-directive-swap"},
		"run sequence":           {m{20: seq(32, seq(3, 15))}, suit.ErrUnsupported, "suit-directive-run-sequence"},
		"custom command":         {m{20: seq(-257, nil)}, suit.ErrUnsupported, "custom command -257"},
		"unknown command":        {m{20: seq(77, 0)}, suit.ErrUnsupported, "unknown command 77"},
		"all components":         {m{20: seq(12, true)}, suit.ErrUnsupported, "several components"},
		"some components":        {m{20: seq(12, []int{0})}, suit.ErrUnsupported, "several components"},
		"no such component":      {m{20: seq(12, 1)}, suit.ErrDecode, "no component 1"},
		"no such source":         {m{20: seq(20, m{22: 1})}, suit.ErrDecode, "no component 1"},
		"no parameters":          {m{20: seq(20, m{})}, suit.ErrDecode, "without parameters"},
		"content":                {m{20: seq(20, m{18: []byte{1}})}, suit.ErrUnsupported, "suit-parameter-content"},
		"strict order":           {m{20: seq(20, m{12: false})}, suit.ErrUnsupported, "suit-parameter-strict-order"},
		"invoke arguments":       {m{9: seq(20, m{23: []byte{1}}, 23, 2)}, suit.ErrUnsupported, "suit-parameter-invoke-args"},
		"encryption":             {m{20: seq(20, m{19: []byte{1}})}, suit.ErrUnsupported, "suit-parameter-encryption-info"},
		"custom parameter":       {m{20: seq(20, m{-1: 1})}, suit.ErrUnsupported, "custom parameter -1"},
		"enterprise number":      {shared(20, m{1: cbor.Tag{Number: 112, Content: []byte{1}}}), suit.ErrUnsupported, "enterprise number"},
		"short UUID":             {shared(20, m{1: []byte{1}}), suit.ErrDecode, "suit-parameter-vendor-identifier"},
		"SHA-512":                {shared(20, m{3: cbor.MustMarshal([]any{-44, make([]byte, 64)})}), suit.ErrUnsupported, "digest algorithm -44"},
		"short digest":           {shared(20, m{3: cbor.MustMarshal([]any{-16, make([]byte, 31)})}), suit.ErrDecode, "suit-parameter-image-digest"},
		"long digest":            {shared(20, m{3: cbor.MustMarshal([]any{-16, make([]byte, 32), 0})}), suit.ErrDecode, "suit-parameter-image-digest"},
		"URI is bytes":           {m{20: seq(20, m{21: []byte{1}})}, suit.ErrDecode, "suit-parameter-uri"},
		"fetch is shared":        {shared(20, ids(), 21, 2), suit.ErrDecode, "suit-directive-fetch in suit-shared-sequence"},
		"hidden fetch is shared": {shared(15, [][]byte{seq(23, 2), seq(23, 2)}), suit.ErrDecode, "suit-directive-invoke"},
		"one alternative":        {shared(15, [][]byte{seq(3, 15)}), suit.ErrDecode, "1 alternatives"},
		"empty alternative":      {shared(15, []any{seq(3, 15), seq(3, 15), nil}), suit.ErrUnsupported, "empty alternative"},
		"too deep":               {shared(15, nest(5)), suit.ErrUnsupported, "levels"},
		"text that is empty":     {m{23: cbor.MustMarshal(m{})}, suit.ErrDecode, "suit-text is empty"},
		"unknown text":           {m{23: cbor.MustMarshal(m{"en": m{5: "x"}})}, suit.ErrUnsupported, "unknown text 5"},
		"text is bytes":          {m{23: cbor.MustMarshal(m{"en": m{1: []byte{1}}})}, suit.ErrDecode, "suit-text"},
		"language is a number":   {m{23: cbor.MustMarshal(m{1: m{1: "x"}})}, suit.ErrDecode, "language"},
	} {
		data, _ := signed(t, cbor.MustMarshal(with(plain(), c.changes)), nil)
		_, err := suit.Parse(data)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// nest makes alternatives of alternatives.
func nest(depth int) [][]byte {
	if depth == 0 {
		return [][]byte{seq(3, 15), seq(3, 15)}
	}
	inner := seq(15, nest(depth-1))
	return [][]byte{inner, inner}
}

func TestEnvelopeRefused(t *testing.T) {
	manifest := cbor.MustMarshal(plain())
	text := cbor.MustMarshal(m{"en": m{1: "x"}})
	good, key := signed(t, manifest, nil)
	for name, c := range map[string]struct {
		data []byte
		err  error
		says string
	}{
		"nothing":            {nil, suit.ErrDecode, "107"},
		"no tag":             {good[2:], suit.ErrDecode, "107"},
		"another tag":        {cbor.MustMarshal(cbor.Tag{Number: 61, Content: m{}}), suit.ErrDecode, "tag 61"},
		"a manifest alone":   {cbor.MustMarshal(cbor.Tag{Number: 1070, Content: plain()}), suit.ErrUnsupported, "1070"},
		"an empty one":       {cbor.MustMarshal(cbor.Tag{Number: 107, Content: m{}}), suit.ErrDecode, "must be there"},
		"delegation":         {envelopeWith(m{14: []byte{1}}, manifest), suit.ErrUnsupported, "suit-delegation"},
		"CoSWID":             {envelopeWith(m{24: []byte{1}}, manifest), suit.ErrUnsupported, "suit-coswid"},
		"text, not severed":  {envelopeWith(m{23: text}, manifest), suit.ErrDecode, "suit-text"},
		"another manifest":   {envelopeWith(m{3: cbor.MustMarshal(with(plain(), m{2: 10}))}, manifest), suit.ErrDigest, "manifest"},
		"a strange payload":  {envelopeWith(m{"#x": []byte{1}}, manifest), suit.ErrUnsupported, `"#x"`},
		"a bad payload":      {envelopeWith(m{"coap://files/1": []byte{1}}, manifest), suit.ErrDigest, "1000"},
		"payload is no bstr": {envelopeWith(m{"coap://files/1": "x"}, manifest), suit.ErrDecode, "byte string"},
		"wrapper":            {cbor.MustMarshal(cbor.Tag{Number: 107, Content: m{2: []byte{0x80}, 3: manifest}}), suit.ErrDecode, "authentication wrapper"},
		"SHA-384":            {cbor.MustMarshal(cbor.Tag{Number: 107, Content: m{2: cbor.MustMarshal([][]byte{cbor.MustMarshal([]any{-43, make([]byte, 48)})}), 3: manifest}}), suit.ErrUnsupported, "-43"},
		"five signatures":    {envelope(manifest, good, good, good, good, good), suit.ErrUnsupported, "5 signatures"},
		"COSE_Mac0":          {envelope(manifest, cbor.MustMarshal(cbor.Tag{Number: 17, Content: []any{}})), suit.ErrUnsupported, "COSE_Mac0"},
		"COSE_Sign":          {envelope(manifest, cbor.MustMarshal(cbor.Tag{Number: 98, Content: []any{}})), suit.ErrUnsupported, "COSE_Sign"},
		"another block":      {envelope(manifest, cbor.MustMarshal(cbor.Tag{Number: 99, Content: []any{}})), suit.ErrDecode, "tag 99"},
		"three elements":     {envelope(manifest, cbor.MustMarshal(cbor.Tag{Number: 18, Content: []any{1, 2, 3}})), suit.ErrDecode, "3 elements"},
	} {
		if _, err := suit.Parse(c.data); !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	e, err := suit.Parse(envelope(manifest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Verify(key); !errors.Is(err, suit.ErrSigner) || !strings.Contains(err.Error(), "no signature") {
		t.Errorf("no signature at all: %v", err)
	}
}

func TestSignatureRefused(t *testing.T) {
	s := signer(t, cose.AlgEd25519)
	manifest := cbor.MustMarshal(plain())
	for name, c := range map[string]struct {
		protected, unprotected m
		payload                any
		says                   string // empty: it is accepted
	}{
		"Ed25519":            {m{1: -19}, m{}, nil, ""},
		"EdDSA":              {m{1: -8}, m{}, nil, ""},
		"a key id":           {m{1: -19, 4: []byte("vendor 1")}, m{}, nil, ""},
		"a loose key id":     {m{1: -19}, m{4: []byte("vendor 1")}, nil, "header parameter 04 of the signature that is not protected"},
		"a loose algorithm":  {m{}, m{1: -19}, nil, "not protected"},
		"no algorithm":       {m{}, m{}, nil, "algorithm 0"},
		"ES512":              {m{1: -36}, m{}, nil, "algorithm -36"},
		"critical":           {m{1: -19, 2: []int{1}}, m{}, nil, "header parameter 02"},
		"an attached digest": {m{1: -19}, m{}, digestOf(manifest), "attached payload"},
	} {
		e, signer, err := suit.Open(envelope(manifest, block(t, s, manifest, c.protected, c.unprotected, c.payload)), s.Public())
		switch {
		case c.says == "" && (err != nil || !signer.Equal(s.Public()) || e == nil):
			t.Errorf("%s: %v", name, err)
		case c.says != "" && (!errors.Is(err, suit.ErrUnsupported) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	p := signer(t, cose.ES256)
	both := envelope(manifest, block(t, s, manifest, m{1: -19}, m{}, nil), block(t, p, manifest, m{1: -9}, m{}, nil))
	for _, key := range []cose.PublicKey{s.Public(), p.Public()} {
		if _, got, err := suit.Open(both, key); err != nil || !got.Equal(key) {
			t.Errorf("one of two signatures: %v", err)
		}
	}
	if _, _, err := suit.Open(envelope(manifest, block(t, s, manifest, m{1: -9}, m{}, nil)), s.Public()); !errors.Is(err, suit.ErrSigner) {
		t.Errorf("ESP256 with an Ed25519 key: %v", err)
	}
}

// A manifest may be well-formed and still ask for what a lamp does not do.
func TestApplyRefused(t *testing.T) {
	setIDs := append([]any{20, ids()}, checkIDs...)
	uri := m{21: "#image"}
	for name, c := range map[string]struct {
		changes m
		err     error
		says    string
	}{
		"no vendor check":      {m{3: common(1, 20, ids(), 2, 15)}, suit.ErrUnsupported, "without suit-condition-vendor-identifier"},
		"no class check":       {m{3: common(1, 20, ids(), 1, 15)}, suit.ErrUnsupported, "without suit-condition-class-identifier"},
		"no checks":            {m{3: common(1)}, suit.ErrDecode, "digest"},
		"two components":       {m{3: common(2, append([]any{12, 0}, setIDs...)...), 7: seq(12, 0, 3, 15), 9: nil, 20: seq(12, 0, 20, uri, 21, 2, 3, 15)}, suit.ErrUnsupported, "2 components"},
		"load":                 {m{8: seq(3, 15)}, suit.ErrUnsupported, "suit-load"},
		"payload-fetch":        {m{16: seq(3, 15)}, suit.ErrUnsupported, "suit-payload-fetch"},
		"severed fetch":        {m{16: []any{-16, make([]byte, 32)}}, suit.ErrUnsupported, "suit-payload-fetch"},
		"no install":           {m{20: nil}, suit.ErrUnsupported, "suit-install"},
		"install is severed":   {m{20: []any{-16, make([]byte, 32)}}, suit.ErrUnsupported, "suit-install"},
		"no fetch":             {m{20: seq(20, uri)}, suit.ErrUnsupported, "does not fetch"},
		"no check":             {m{20: seq(20, uri, 21, 2)}, suit.ErrUnsupported, "check it"},
		"check first":          {m{20: seq(20, uri, 3, 15, 21, 2)}, suit.ErrUnsupported, "before the fetch"},
		"two fetches":          {m{20: seq(20, uri, 21, 2, 21, 2, 3, 15)}, suit.ErrUnsupported, "another suit-directive-fetch"},
		"late identity":        {m{20: seq(20, uri, 21, 2, 1, 15, 3, 15)}, suit.ErrUnsupported, "after the fetch"},
		"fetch in validate":    {m{7: seq(20, uri, 21, 2)}, suit.ErrUnsupported, "suit-directive-fetch in suit-validate"},
		"invoke in install":    {m{20: seq(20, uri, 21, 2, 3, 15, 23, 2)}, suit.ErrUnsupported, "suit-directive-invoke in suit-install"},
		"no URI":               {m{20: seq(21, 2, 3, 15)}, suit.ErrDecode, "URI"},
		"copy to itself":       {m{20: seq(20, m{22: 0}, 22, 2, 3, 15)}, suit.ErrDecode, "to itself"},
		"copy without source":  {m{20: seq(22, 2, 3, 15)}, suit.ErrDecode, "source"},
		"slot without number":  {m{20: seq(5, 15)}, suit.ErrDecode, "slot"},
		"another digest":       {m{7: seq(20, m{3: otherSum}, 3, 15)}, suit.ErrUnsupported, "another image"},
		"digest after fetch":   {m{20: seq(20, uri, 21, 2, 20, m{3: otherSum}, 3, 15)}, suit.ErrUnsupported, "another image"},
		"size after fetch":     {m{20: seq(20, uri, 21, 2, 20, m{14: 5}, 3, 15)}, suit.ErrUnsupported, "another image"},
		"no size":              {m{3: common(1, append([]any{20, m{1: vendorID[:], 2: classID[:], 3: imageSum}}, checkIDs...)...)}, suit.ErrUnsupported, "size"},
		"another vendor":       {m{3: common(1, 20, with(ids(), m{1: classID[:]}), 1, 15, 2, 15)}, suit.ErrRecipient, "vendor"},
		"a vendor not set":     {m{3: common(1, 20, with(ids(), m{1: nil}), 1, 15, 2, 15)}, suit.ErrDecode, "identifier"},
		"a device":             {m{20: seq(20, m{24: classID[:]}, 24, 15, 20, uri, 21, 2, 3, 15)}, suit.ErrRecipient, "device"},
		"vendor set anew":      {m{7: seq(20, m{1: classID[:]}, 1, 15, 3, 15)}, suit.ErrRecipient, "vendor"},
		"no alternative fits":  {m{20: seq(15, [][]byte{seq(20, m{5: 1}, 5, 15), seq(20, m{5: 2}, 5, 15)}, 20, uri, 21, 2, 3, 15)}, suit.ErrRecipient, "slot 2"},
		"a broken alternative": {m{20: seq(15, [][]byte{seq(21, 2), seq(20, uri)}, 21, 2, 3, 15)}, suit.ErrDecode, "URI"},
	} {
		data, _ := signed(t, cbor.MustMarshal(with(plain(), c.changes)), nil)
		e, err := suit.Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := e.Apply(wanted); !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// The class of another vendor's devices may be among the alternatives.
func TestAlternatives(t *testing.T) {
	other := suit.ClassID(vendorID, "another")
	image := func(class suit.UUID, sum []byte, size int) []byte {
		return seq(20, m{2: class[:]}, 2, 15, 20, m{3: sum, 14: size})
	}
	manifest := with(plain(), m{3: common(1, 20, m{1: vendorID[:]}, 1, 15, 15, [][]byte{image(other, otherSum, 2000), image(classID, imageSum, 1000)})})
	data, _ := signed(t, cbor.MustMarshal(manifest), nil)
	e, err := suit.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := e.Apply(wanted); err != nil || i.Size != 1000 || i.Digest[0] != 5 {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := e.Apply(suit.Recipient{Vendor: vendorID, Class: other}); err != nil || i.Size != 2000 || i.Digest[0] != 6 {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := e.Apply(suit.Recipient{Vendor: vendorID, Class: suit.UUID{1}}); !errors.Is(err, suit.ErrRecipient) {
		t.Errorf("neither class: %v", err)
	}
}

func TestUUID(t *testing.T) {
	if got := suit.VendorID("arm.com").String(); got != "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe" {
		t.Errorf("arm.com is %s", got)
	}
	id, err := suit.ParseUUID("FA6B4A53-d5ad-5fdf-be9d-e663e4d41ffe")
	if err != nil || id != suit.VendorID("arm.com") {
		t.Errorf("%v, %v", id, err)
	}
	for _, bad := range []string{"", "fa6b4a53d5ad5fdfbe9de663e4d41ffe", "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ff", "ga6b4a53-d5ad-5fdf-be9d-e663e4d41ffe", "fa6b4a5-3d5ad-5fdf-be9d-e663e4d41ffe"} {
		if _, err := suit.ParseUUID(bad); err == nil {
			t.Errorf("%q is a UUID", bad)
		}
	}
}

// What is accepted is encoded as it came, can be asked and applied without a panic,
// and stays what it is without its payloads.
func FuzzParse(f *testing.F) {
	f.Add(sign(f, suit.Params{Vendor: "a", Class: "b", Image: []byte("c"), Integrate: true}, signer(f, cose.AlgEd25519)))
	f.Add(envelope(cbor.MustMarshal(plain()))) // short, as the fuzzer is slow to make its findings shorter
	f.Add(envelope(cbor.MustMarshal(m{1: 1, 2: 0, 3: common(1)})))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := suit.Parse(data)
		if err != nil {
			if !errors.Is(err, suit.ErrDecode) && !errors.Is(err, suit.ErrUnsupported) && !errors.Is(err, suit.ErrDigest) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(e.Encode(), data) {
			t.Fatalf("%x is encoded as %x", data, e.Encode())
		}
		bare, err := suit.Parse(e.Bare())
		if err != nil || bare.Digest != e.Digest || len(bare.Integrated) > 0 {
			t.Fatalf("bare: %v", err)
		}
		_, _ = e.Image()
		_, _ = e.Apply(wanted)
	})
}

// The digest stands before most of what the parser reads, so the fuzzer gets the
// manifest alone as well.
func FuzzManifest(f *testing.F) {
	f.Add(cbor.MustMarshal(plain()), []byte{})
	f.Add(cbor.MustMarshal(with(plain(), m{20: seq(15, [][]byte{seq(20, m{5: 1}, 5, 15), seq(20, m{21: "#image"})}, 21, 2, 3, 15)})), []byte{})
	text := cbor.MustMarshal(m{"en": m{1: "x"}})
	f.Add(cbor.MustMarshal(with(plain(), m{23: cbor.RawMessage(digestOf(text))})), text)
	f.Add(cbor.MustMarshal(with(plain(), m{8: seq(3, 15), 16: seq(20, m{21: "a"}, 21, 2)})), []byte{})
	f.Fuzz(func(t *testing.T, manifest, text []byte) {
		more := m{}
		if len(text) > 0 {
			more[23] = text
		}
		data := envelopeWith(more, manifest)
		e, err := suit.Parse(data)
		if err != nil {
			if !errors.Is(err, suit.ErrDecode) && !errors.Is(err, suit.ErrUnsupported) && !errors.Is(err, suit.ErrDigest) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(e.Encode(), data) {
			t.Fatalf("%x is encoded as %x", data, e.Encode())
		}
		i, err := e.Apply(wanted)
		if err == nil && (i.Size == 0 && i.URI == "" || i.Vendor != vendorID || i.Class != classID) {
			t.Errorf("applied: %+v", i)
		}
		_, _ = e.Image()
	})
}

package ace

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/cose"
)

var (
	sampleConfiguration = Configuration{
		HKDF: Alg(cose.HMAC256), CredFmt: Is(CredFormatCCS), GroupMode: Is(true),
		GpEncAlg: Alg(cose.AESCCM16_64_128), SignAlg: Alg(cose.EdDSA), SignParams: Is(Capabilities{{1}, {1, 6}}),
		PairwiseMode: Is(false), Alg: Alg(cose.Null), ECDHAlg: Alg(cose.Null), ECDHParams: IsNull[Capabilities](),
		DetReq: Is(false), DetHashAlg: Is(AlgorithmID{Text: "x"}), RT: Is(ResourceTypeGroupConf),
		Active: Is(true), GroupName: Is(NamedGroup("gp4")), GroupDescription: Is("rooms 1 and 2"),
		Profile: Is(ProfileCoAPGroupOSCOREApp), MaxStaleSets: Is[uint64](3), EXP: Is[uint64](1360289224),
		GIDReuse: Is(false), AppGroups: Is([]string{"room1", "room2"}), JoiningURI: Is("coap://[2001:db8::ab]/ace-group/gp4"),
		Policies: Is(samplePoliciesParam), ASURI: Is("coap://as.example.com/token"),
		AppGroupsDiff: Is(AppGroupsDiff{Delete: []string{"room1"}}),
	}
	samplePoliciesParam = AdminPolicies{
		CheckInterval: Is[uint64](3600), ExpirationDelta: Is[uint64](0), RekeyOnJoin: Is(true), RekeyPeriod: Is[uint64](60),
		RekeyingScheme: Is(0), Multicast: Is("224.0.1.187:5683"), KeyLifetime: Is[uint64](7),
	}
)

func TestConfiguration(t *testing.T) {
	got, err := DecodeConfiguration(Encode(sampleConfiguration))
	if err != nil || !got.Equal(sampleConfiguration) {
		t.Fatalf("%v: %+v", err, got)
	}
	typ := reflect.TypeFor[Configuration]()
	if n := len(got.Labels()); n != typ.NumField() {
		t.Errorf("%d of %d parameters are listed", n, typ.NumField())
	}
	if got.Only(nil).Labels() != nil || !(Configuration{}).IsZero() || got.IsZero() {
		t.Error("Only left something")
	}
}

// The label that stands in the table is the one that the message carries.
func TestConfigurationLabels(t *testing.T) {
	whole := sampleConfiguration
	for _, label := range whole.Labels() {
		data := Encode(whole.Only([]int{label}))
		if m, err := labelled(data); err != nil || len(m) != 1 || m[label] == nil {
			t.Errorf("label %d: %x", label, data)
		}
	}
}

// The filter and the configuration of GMA, Sections 6.2 and 6.4, byte for byte.
func TestConfigurationBytes(t *testing.T) {
	filter := Configuration{GpEncAlg: Alg(10), GroupName: Is(RegexpGroups("gp[0-9]*")), Active: Is(true)}
	const want = "a3" + "23" + "0a" + "2b" + "f5" + "2c" + "d95249" + "68" + "67705b302d395d2a"
	if got := hex.EncodeToString(Encode(filter)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	null := Configuration{GroupDescription: IsNull[string](), Alg: Alg(cose.Null)}
	if got := hex.EncodeToString(Encode(null)); got != "a227f62df6" {
		t.Errorf("null parameters: %s", got)
	}
}

func TestConfigurationRefused(t *testing.T) {
	for name, data := range map[string]string{
		"no map":             "80",
		"nothing":            "",
		"a text for a label": "a16161f5",
		"a label twice":      "a22bf52bf4",
		"cut":                "a12b",
	} {
		if c, err := DecodeConfiguration(unhex(t, data)); !errors.Is(err, ErrDecode) || c != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, data := range map[string]string{
		"-29":               "a1381cf5",         // a label that nobody knows
		"conf_filter":       "a1381a80",         // no parameter of a configuration
		"active":            "a12b01",           // an integer for a bool
		"group_mode":        "a122f6",           // null where none may be
		"hkdf":              "a12041" + "00",    // bytes
		"exp":               "a10b20",           // negative
		"app_groups":        "a13081f6",         // null inside
		"sign_params":       "a125828101820161", // text inside, and cut
		"cred_fmt":          "a121c10e",         // a tag around it
		"group_name":        "a12cd9524a6161",   // another tag
		"group_policies":    "a110a10361" + "61",
		"app_groups_diff":   "a1381b8180",
		"group_description": "a12d4161",
	} {
		b := unhex(t, data)
		c, err := DecodeConfiguration(b)
		if name == "sign_params" { // not well-formed at all
			if !errors.Is(err, ErrDecode) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		label := name
		if name == "conf_filter" {
			label = "-27"
		}
		if !errors.Is(err, ErrParameter) || c == nil || !strings.Contains(err.Error(), label) || !c.IsZero() {
			t.Errorf("%s: %v, %+v", name, err, c)
		}
	}
	// what is sound beside it is read
	c, err := DecodeConfiguration(unhex(t, "a221182b3a0001000001"))
	if !errors.Is(err, ErrParameter) || c.CredFmt != Is(43) {
		t.Errorf("beside an unknown parameter: %v %+v", err, c)
	}
}

func TestConfigurationMatches(t *testing.T) {
	c := sampleConfiguration
	for _, tt := range []struct {
		filter Configuration
		want   bool
	}{
		{Configuration{}, true},
		{Configuration{Active: Is(true), GpEncAlg: Alg(10)}, true},
		{Configuration{Active: Is(true), GpEncAlg: Alg(11)}, false},
		{Configuration{Alg: Alg(cose.Null)}, true},
		{Configuration{SignAlg: Alg(cose.Null)}, false},
		{Configuration{GroupDescription: IsNull[string]()}, false},
		{Configuration{GroupName: Is(NamedGroup("other"))}, true}, // not looked at
	} {
		if got := c.Matches(tt.filter); got != tt.want {
			t.Errorf("%+v: %v", tt.filter, got)
		}
	}
	if (Configuration{}).Matches(Configuration{Active: Is(false)}) {
		t.Error("an absent parameter matched")
	}
	w := c.With(Configuration{Active: Is(false), GroupDescription: IsNull[string]()})
	if w.Active != Is(false) || !w.GroupDescription.Null || w.HKDF != c.HKDF || c.Active != Is(true) {
		t.Errorf("With: %+v", w)
	}
}

func TestConfFilter(t *testing.T) {
	f, err := DecodeConfFilter(Encode(ConfFilter{[]int{-4, 11, 99}}))
	if err != nil || len(f.Labels) != 3 {
		t.Fatal(f, err)
	}
	for _, bad := range []string{"a0", "80", "a1381af6", "a1381a8161" + "61", "a2381a800b01", "a1381a01"} {
		if _, err := DecodeConfFilter(unhex(t, bad)); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestAdminPolicies(t *testing.T) {
	var p AdminPolicies
	if err := p.UnmarshalCBOR(Encode(samplePoliciesParam)); err != nil || p != samplePoliciesParam {
		t.Fatalf("%v: %+v", err, p)
	}
	for _, bad := range []string{"80", "a101f6", "a10120", "a10301", "a13a00010000f6"} {
		if err := p.UnmarshalCBOR(unhex(t, bad)); err == nil {
			t.Errorf("%s was read: %+v", bad, p)
		}
	}
	for _, want := range []int{-65537, -65538, -65539, -65540, -65541} {
		if m, err := labelled(Encode(samplePoliciesParam)); err != nil || m[want] == nil {
			t.Errorf("policy %d is not there", want)
		}
	}
}

func FuzzConfiguration(f *testing.F) {
	f.Add(Encode(sampleConfiguration))
	f.Add([]byte{0xa0})
	f.Add([]byte{0xa1, 0x2d, 0xf6})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeConfiguration(data)
		if err != nil {
			return
		}
		once := Encode(*c)
		again, err := DecodeConfiguration(once)
		if err != nil || !bytes.Equal(once, Encode(*again)) {
			t.Fatalf("%x encodes to %x (%v)", data, once, err)
		}
		if !again.Matches(*c) {
			t.Fatalf("%x does not match itself", data)
		}
	})
}

func FuzzConfFilter(f *testing.F) {
	f.Add(Encode(ConfFilter{[]int{-4, 11}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeConfFilter(data)
		if err != nil {
			return
		}
		if again, err := DecodeConfFilter(Encode(*c)); err != nil || len(again.Labels) != len(c.Labels) {
			t.Fatalf("%x: %v", data, err)
		}
	})
}

var sampleMembers = MembersResponse{
	{Node: "n0", Subject: "dev", SenderID: []byte{0}, Roles: 6, Actor: "me", Joined: 7, Num: ptr[uint64](0), Barred: true, Thumbprint: make([]byte, 32)},
	{Node: "n1", Subject: "mon", Roles: RoleMonitor, Joined: 9},
}

func TestMembersResponse(t *testing.T) {
	got, err := Decode[MembersResponse](Encode(sampleMembers))
	if err != nil || len(*got) != 2 || *(*got)[0].Num != 0 || (*got)[1].Num != nil || (*got)[1].SenderID != nil {
		t.Fatalf("%v %+v", err, got)
	}
	for _, bad := range []MembersResponse{{{Subject: "dev"}}, {{Node: "n0", Thumbprint: []byte{1}}}} {
		if _, err := Decode[MembersResponse](Encode(bad)); err == nil {
			t.Errorf("%+v was read", bad)
		}
	}
}

func FuzzMembersResponse(f *testing.F) { fuzzCodec(f, sampleMembers) }

var (
	sampleEvict    = EvictRequest{Nodes: []string{"n0", "n1"}, Preview: true}
	sampleRekey    = RekeyRequest{Preview: true}
	samplePreview  = RekeyPreview{[]string{"n0"}, [][]byte{{1}}, []string{"n1"}, []string{"n2"}, []string{"n3"}, true, 1, 2, 3}
	sampleProgress = RekeyProgress{"left", 7, 1000, 2000, 9, 1, 2, []string{"n3"}, 4, 5}
)

func TestRekeyMessages(t *testing.T) {
	if got, err := Decode[RekeyProgress](Encode(sampleProgress)); err != nil || !reflect.DeepEqual(*got, sampleProgress) || !got.Done() {
		t.Errorf("%v %+v", err, got)
	}
	if got, err := Decode[RekeyPreview](Encode(samplePreview)); err != nil || !reflect.DeepEqual(*got, samplePreview) {
		t.Errorf("%v %+v", err, got)
	}
	if (&RekeyProgress{Started: 1}).Done() || !(&RekeyProgress{}).Done() {
		t.Error("Done")
	}
	if _, err := Decode[EvictRequest]([]byte{0xa0}); err == nil {
		t.Error("an eviction of nobody was read")
	}
}

func FuzzEvictRequest(f *testing.F)  { fuzzCodec(f, sampleEvict) }
func FuzzRekeyRequest(f *testing.F)  { fuzzCodec(f, sampleRekey) }
func FuzzRekeyPreview(f *testing.F)  { fuzzCodec(f, samplePreview) }
func FuzzRekeyProgress(f *testing.F) { fuzzCodec(f, sampleProgress) }

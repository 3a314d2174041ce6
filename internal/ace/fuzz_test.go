package ace

import (
	"bytes"
	"testing"

	"lamplighter/internal/coap"
)

// fuzzCodec checks that what is accepted has one encoding, which reads as the
// same again.
func fuzzCodec[T any](f *testing.F, samples ...T) {
	f.Add([]byte{0xa0})
	f.Add([]byte{0xbf, 0xff})
	for _, s := range samples {
		data := Encode(s)
		f.Add(data)
		f.Add(data[:len(data)-1])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Decode[T](data)
		if err != nil {
			return
		}
		once := Encode(v)
		again, err := Decode[T](once)
		if err != nil {
			t.Fatalf("%x was accepted and encodes to %x, which is not: %v", data, once, err)
		}
		if twice := Encode(again); !bytes.Equal(once, twice) {
			t.Fatalf("%x encodes to %x and then to %x", data, once, twice)
		}
	})
}

func FuzzTokenRequest(f *testing.F)          { fuzzCodec(f, sampleTokenRequest, TokenRequest{}) }
func FuzzTokenResponse(f *testing.F)         { fuzzCodec(f, sampleTokenResponse) }
func FuzzCWTClaims(f *testing.F)             { fuzzCodec(f, sampleClaims) }
func FuzzASHints(f *testing.F)               { fuzzCodec(f, sampleHints) }
func FuzzAuthzInfoRequest(f *testing.F)      { fuzzCodec(f, sampleAuthzRequest) }
func FuzzAuthzInfoResponse(f *testing.F)     { fuzzCodec(f, sampleAuthzResponse) }
func FuzzJoinRequest(f *testing.F)           { fuzzCodec(f, sampleJoinRequest) }
func FuzzJoinResponse(f *testing.F)          { fuzzCodec(f, sampleJoinResponse) }
func FuzzJoinHints(f *testing.F)             { fuzzCodec(f, sampleJoinHints) }
func FuzzKeyResponse(f *testing.F)           { fuzzCodec(f, sampleKeys) }
func FuzzRekeyingMessage(f *testing.F)       { fuzzCodec(f, sampleRekeying) }
func FuzzRenewalResponse(f *testing.F)       { fuzzCodec(f, sampleRenewal) }
func FuzzCredsRequest(f *testing.F)          { fuzzCodec(f, sampleCredsRequest) }
func FuzzCredsResponse(f *testing.F)         { fuzzCodec(f, sampleCredsResponse) }
func FuzzCredUpload(f *testing.F)            { fuzzCodec(f, sampleUpload) }
func FuzzKDCCredRequest(f *testing.F)        { fuzzCodec(f, sampleKDCRequest) }
func FuzzKDCCredResponse(f *testing.F)       { fuzzCodec(f, sampleKDCResponse) }
func FuzzPoliciesResponse(f *testing.F)      { fuzzCodec(f, samplePolicies) }
func FuzzGroupsRequest(f *testing.F)         { fuzzCodec(f, sampleGroupsRequest) }
func FuzzGroupsResponse(f *testing.F)        { fuzzCodec(f, sampleGroups) }
func FuzzCOSEKey(f *testing.F)               { fuzzCodec(f, *sampleSymmetric) }
func FuzzIntrospectionRequest(f *testing.F)  { fuzzCodec(f, sampleIntrospect) }
func FuzzIntrospectionResponse(f *testing.F) { fuzzCodec(f, sampleIntrospection) }
func FuzzTRL(f *testing.F)                   { fuzzCodec(f, sampleTRLFull, sampleTRLDiff) }
func FuzzASErrorBody(f *testing.F)           { fuzzCodec(f, sampleASError) }

func FuzzScope(f *testing.F) {
	f.Add(sampleScope)
	f.Add(EncodeJoinScope(ScopeEntry{Group: "hall", Roles: 6}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if entries, err := DecodeScope(data); err == nil {
			once := EncodeScope(entries)
			again, err := DecodeScope(once)
			if err != nil || !bytes.Equal(EncodeScope(again), once) || len(once) > len(data) {
				t.Fatalf("%x encodes to %x (%v)", data, once, err)
			}
		}
		if entry, err := DecodeJoinScope(data); err == nil {
			again, err := DecodeJoinScope(EncodeJoinScope(entry))
			if err != nil || again != entry {
				t.Fatalf("%x reads as %v and then as %v (%v)", data, entry, again, err)
			}
		}
	})
}

func FuzzProblem(f *testing.F) {
	f.Add(Problem(coap.Forbidden, ErrorMembersOnly, "why").Payload)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := coap.Respond(coap.BadRequest, FormatProblem, data)
		id, detail, ok := ParseProblem(m)
		if !ok {
			return
		}
		id2, detail2, ok := ParseProblem(Problem(coap.BadRequest, id, detail))
		if !ok || id2 != id || detail2 != detail {
			t.Fatalf("%d %q came back as %d %q", id, detail, id2, detail2)
		}
	})
}

func FuzzASError(f *testing.F) {
	f.Add(ASProblem(coap.BadRequest, ErrorInvalidScope, "why").Payload)
	f.Fuzz(func(t *testing.T, data []byte) {
		body, ok := ParseASError(coap.Respond(coap.BadRequest, FormatProblem, data))
		if !ok {
			return
		}
		if again, ok := ParseASError(ASProblem(coap.BadRequest, body.Code, body.Description)); !ok || again != body {
			t.Fatalf("%x reads as %+v and then as %+v", data, body, again)
		}
	})
}

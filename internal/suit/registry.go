package suit

import "strconv"

// Tags. Section 11.
const (
	tagEnvelope = 107
	tagManifest = 1070
	tagSign1    = 18
)

// SUIT Envelope Elements.
const (
	envelopeAuthentication = 2
	envelopeManifest       = 3
)

// Element is an element of a manifest (IANA, SUIT Manifest Elements). Those that can
// be severed have the same number in the envelope.
type Element int

// SUIT Manifest Elements.
const (
	Validate     Element = 7
	Load         Element = 8
	Invoke       Element = 9
	PayloadFetch Element = 16
	Install      Element = 20
	TextElement  Element = 23

	elementVersion      = 1
	elementSequence     = 2
	elementCommon       = 3
	elementReferenceURI = 4
)

// SUIT Common Elements.
const (
	commonComponents = 2
	commonShared     = 4
)

// Code is a condition or directive (IANA, SUIT Commands).
type Code int

// SUIT Commands.
const (
	CheckVendor        Code = 1
	CheckClass         Code = 2
	CheckImage         Code = 3
	CheckSlot          Code = 5
	SetComponent       Code = 12
	TryEach            Code = 15
	OverrideParameters Code = 20
	DoFetch            Code = 21
	DoCopy             Code = 22
	DoInvoke           Code = 23
	CheckDevice        Code = 24
)

// SUIT Parameters.
const (
	parameterVendor = 1
	parameterClass  = 2
	parameterDigest = 3
	parameterSlot   = 5
	parameterSize   = 14
	parameterURI    = 21
	parameterSource = 22
	parameterDevice = 24
)

// SUIT Text Values and SUIT Component Text Values.
const (
	textDescription = 1
	textUpdate      = 2
	textJSON        = 3
	textYAML        = 4

	textVendorName   = 1
	textModelName    = 2
	textVendorDomain = 3
	textModelInfo    = 4
	textComponent    = 5
	textVersion      = 6
)

// algSHA256 is SHA-256 (IANA, COSE Algorithms).
const algSHA256 = -16

// Names as the draft has them, of what is built and of what is refused by name.
var (
	envelopeNames = map[int64]string{
		2: "suit-authentication-wrapper", 3: "suit-manifest", 16: "suit-payload-fetch", 20: "suit-install", 23: "suit-text",
		14: "suit-delegation", 15: "suit-dependency-resolution", 18: "suit-candidate-verification", 24: "suit-coswid",
	}
	elementNames = map[int64]string{
		1: "suit-manifest-version", 2: "suit-manifest-sequence-number", 3: "suit-common", 4: "suit-reference-uri",
		5: "suit-manifest-component-id", 6: "suit-current-version", 7: "suit-validate", 8: "suit-load", 9: "suit-invoke", 14: "suit-coswid", 15: "suit-dependency-resolution",
		16: "suit-payload-fetch", 18: "suit-candidate-verification", 20: "suit-install", 23: "suit-text", 24: "suit-uninstall",
	}
	commonNames  = map[int64]string{1: "suit-dependencies", 2: "suit-components", 4: "suit-shared-sequence"}
	commandNames = map[int64]string{
		1: "suit-condition-vendor-identifier", 2: "suit-condition-class-identifier", 3: "suit-condition-image-match",
		4: "suit-condition-use-before", 5: "suit-condition-component-slot", 6: "suit-condition-check-content",
		7: "suit-condition-dependency-integrity", 8: "suit-condition-is-dependency", 11: "suit-directive-process-dependency",
		12: "suit-directive-set-component-index", 14: "suit-condition-abort", 15: "suit-directive-try-each",
		18: "suit-directive-write", 19: "suit-directive-set-parameters", 20: "suit-directive-override-parameters",
		21: "suit-directive-fetch", 22: "suit-directive-copy", 23: "suit-directive-invoke", 24: "suit-condition-device-identifier",
		25: "suit-condition-image-not-match", 26: "suit-condition-minimum-battery", 27: "suit-condition-update-authorized",
		28: "suit-condition-version", 29: "suit-directive-wait", 30: "suit-directive-fetch-uri-list", 31: "suit-directive-swap",
		32: "suit-directive-run-sequence", 33: "suit-directive-unlink",
	}
	parameterNames = map[int64]string{
		1: "suit-parameter-vendor-identifier", 2: "suit-parameter-class-identifier", 3: "suit-parameter-image-digest",
		4: "suit-parameter-use-before", 5: "suit-parameter-component-slot", 12: "suit-parameter-strict-order",
		13: "suit-parameter-soft-failure", 14: "suit-parameter-image-size", 18: "suit-parameter-content",
		19: "suit-parameter-encryption-info", 20: "suit-parameter-compression-info", 21: "suit-parameter-uri",
		22: "suit-parameter-source-component", 23: "suit-parameter-invoke-args", 24: "suit-parameter-device-identifier",
		25: "suit-parameter-fetch-arguments", 26: "suit-parameter-minimum-battery", 27: "suit-parameter-update-priority",
		28: "suit-parameter-version", 29: "suit-parameter-wait-info", 30: "suit-parameter-uri-list",
	}
	blockNames = map[uint64]string{17: "COSE_Mac0", 18: "COSE_Sign1", 97: "COSE_Mac", 98: "COSE_Sign"}
)

// severable says whether an element may stand in the envelope.
func (e Element) severable() bool { return e == PayloadFetch || e == Install || e == TextElement }

// unseverable says whether an element is a sequence that stays in the manifest.
func (e Element) unseverable() bool { return e == Validate || e == Load || e == Invoke }

// String returns the draft's name.
func (e Element) String() string { return named("element", elementNames, int64(e)) }

// String returns the draft's name.
func (c Code) String() string { return named("command", commandNames, int64(c)) }

// named says what a number is, also when it has no name here.
func named(kind string, names map[int64]string, n int64) string {
	if name := names[n]; name != "" {
		return name
	}
	if n < 0 {
		return "custom " + kind + " " + strconv.FormatInt(n, 10)
	}
	return "unknown " + kind + " " + strconv.FormatInt(n, 10)
}

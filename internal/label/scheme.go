package label

import (
	"fmt"
	"strings"
)

// SchemeError says that a text is a code, but of another scheme.
type SchemeError struct {
	Scheme string // with its article: "a Matter code"
}

func (e *SchemeError) Error() string {
	return fmt.Sprintf("this is %s, not a Lamplighter label (those start with %s)", e.Scheme, Prefix)
}

// prefixes of the schemes that start with letters, in upper case.
var prefixes = []struct{ prefix, scheme string }{
	{"MT:", "a Matter code"},
	{"DPP:", "a Wi-Fi Easy Connect (DPP) code"},
	{"WIFI:", "a Wi-Fi network's code"},
	{"Z:", "a Zigbee install code"},
	{"X-HM:", "a HomeKit code"},
	{"HTTP://", "a web address"},
	{"HTTPS://", "a web address"},
	{"LL", "a label for a newer version of this program"},
}

// recognise says what a text is that is no label of ours.
func recognise(text string) error {
	upper := strings.ToUpper(text)
	for _, p := range prefixes {
		if strings.HasPrefix(upper, p.prefix) && (p.prefix != "LL" || newerLabel(upper)) {
			return &SchemeError{p.scheme}
		}
	}
	if digits := strings.NewReplacer("-", "", " ", "").Replace(text); digits != "" && strings.Trim(digits, "0123456789") == "" {
		if scheme := recogniseDigits(digits); scheme != "" {
			return &SchemeError{scheme}
		}
	}
	return fmt.Errorf("%w: labels start with %s", ErrDecode, Prefix)
}

// newerLabel matches "LL", digits, ":".
func newerLabel(text string) bool {
	version, _, found := strings.Cut(text[2:], ":")
	return found && version != "" && strings.Trim(version, "0123456789") == ""
}

// recogniseDigits tells number codes apart by their length and start. A Z-Wave
// SmartStart code starts with 90 and has at least 52 digits, its DSK alone is 40; a
// Matter manual code has 11 or 21; GTINs end with a check digit.
func recogniseDigits(digits string) string {
	switch n := len(digits); {
	case n >= 52 && strings.HasPrefix(digits, "90"), n == 40:
		return "a Z-Wave code"
	case n == 11 || n == 21:
		return "a Matter pairing code"
	case (n == 8 || n == 12 || n == 13 || n == 14) && gtin(digits):
		return "a product's bar code (EAN)"
	}
	return ""
}

// gtin checks the last digit: weights 3 and 1 alternate from the right.
func gtin(digits string) bool {
	sum := 0
	for i := range len(digits) - 1 {
		weight := 1
		if (len(digits)-i)%2 == 0 {
			weight = 3
		}
		sum += weight * int(digits[i]-'0')
	}
	return (10-sum%10)%10 == int(digits[len(digits)-1]-'0')
}

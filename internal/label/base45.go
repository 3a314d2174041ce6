package label

import "strings"

// alphabet is Base45's, which is that of a QR code's alphanumeric mode.
// RFC 9285, Section 4.2.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

// encodeBase45 writes two bytes as three characters, a last single byte as two.
// RFC 9285, Section 4.
func encodeBase45(data []byte) string {
	var b strings.Builder
	b.Grow((len(data) + 1) / 2 * 3)
	for ; len(data) >= 2; data = data[2:] {
		n := int(data[0])<<8 | int(data[1])
		b.WriteByte(alphabet[n%45])
		b.WriteByte(alphabet[n/45%45])
		b.WriteByte(alphabet[n/(45*45)])
	}
	if len(data) == 1 {
		b.WriteByte(alphabet[data[0]%45])
		b.WriteByte(alphabet[data[0]/45])
	}
	return b.String()
}

// decodeBase45 is the reverse; groups that no bytes encode to are refused.
func decodeBase45(s string) ([]byte, error) {
	out := make([]byte, 0, len(s)/3*2+1)
	for ; len(s) >= 3; s = s[3:] {
		n, ok := group45(s[:3])
		if !ok || n > 0xffff {
			return nil, ErrDecode
		}
		out = append(out, byte(n>>8), byte(n))
	}
	switch len(s) {
	case 1:
		return nil, ErrDecode
	case 2:
		n, ok := group45(s)
		if !ok || n > 0xff {
			return nil, ErrDecode
		}
		out = append(out, byte(n))
	}
	return out, nil
}

// group45 is the value of two or three characters, the least significant first.
func group45(s string) (n int, ok bool) {
	for i := len(s) - 1; i >= 0; i-- {
		v := strings.IndexByte(alphabet, s[i])
		if v < 0 {
			return 0, false
		}
		n = n*45 + v
	}
	return n, true
}

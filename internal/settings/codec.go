package settings

import (
	"fmt"
	"unicode/utf8"

	"lamplighter/internal/cbor"
)

// Bounds on what comes in.
const (
	MaxNonces = 200 // in a [Transaction]: it fits into one datagram
	MaxOf     = 800 // bytes of Sender IDs with their lengths
	MaxScene  = 255
	MaxFade   = 3600 * 1000 // milliseconds
	maxKeys   = 128         // that a question may be limited to
	maxSender = 7           // bytes of a Sender ID; RFC 8613, Section 3.3
)

// Append appends the encoding of r to dst.
func (r *StatusRequest) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(r)...) }

// Append appends the encoding of s to dst.
func (s *Status) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(s)...) }

// Append appends the encoding of t to dst.
func (t *Transaction) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(t)...) }

// Append appends the encoding of r to dst.
func (r *Recall) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(r)...) }

// parse decodes a map without tags into v. Fields above last are refused, unless
// last is 0: a step of a change must not be taken by half.
func parse(what string, data []byte, last uint64, v any) error {
	if !cbor.Untagged(data) || data[0]>>5 != cbor.Map {
		return fmt.Errorf("%w: reading %s: not one map without tags", cbor.ErrDecode, what)
	}
	if last > 0 {
		var fields map[uint64]cbor.RawMessage
		if err := cbor.Unmarshal(data, &fields); err != nil {
			return fmt.Errorf("reading %s: %w", what, err)
		}
		for field := range fields {
			if field == 0 || field > last {
				return fmt.Errorf("%w: %s has a field %d, which this program does not know", cbor.ErrDecode, what, field)
			}
		}
	}
	if err := cbor.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	return nil
}

// want gives an error unless ok.
func want(ok bool, what, wants string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%w: %s wants %s", cbor.ErrDecode, what, wants)
}

// first returns the first error of a list.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func optional(b []byte, size int) bool { return len(b) == 0 || len(b) == size }

// ParseStatusRequest decodes the body of a FETCH. Unknown fields are let pass: a
// device says nothing to them. Errors wrap [cbor.ErrDecode].
func ParseStatusRequest(data []byte) (r StatusRequest, err error) {
	const what = "the question for a status"
	if err := parse(what, data, 0, &r); err != nil {
		return StatusRequest{}, err
	}
	err = first(want(optional(r.Txn, TxnSize), what, "a transaction of 4 bytes"),
		want(len(r.Keys) <= maxKeys, what, "at most 128 keys"), checkOf(r.Of))
	if err != nil {
		return StatusRequest{}, err
	}
	return r, nil
}

// ParseStatus decodes a status and holds every part of it to its bounds. Unknown
// fields are let pass. Errors wrap [cbor.ErrDecode].
func ParseStatus(data []byte) (s Status, err error) {
	const what = "a status"
	if err := parse(what, data, 0, &s); err != nil {
		return Status{}, err
	}
	err = first(
		want(s.State <= Trial, what, "a state that exists"),
		want(len(s.Running) == DigestSize, what, "the digest of what runs, of 8 bytes"),
		want(optional(s.Txn, TxnSize), what, "a transaction of 4 bytes"),
		want(optional(s.Candidate, DigestSize), what, "a candidate's digest of 8 bytes"),
		want(optional(s.Nonce, NonceSize), what, "a nonce of 4 bytes"),
		want(s.Left <= MaxAhead*1000, what, "at most a week until a switch"),
		want(s.Key <= MaxKey, what, "a key of at most 65535"),
		s.Schema.check(), checkValues(s.Values), checkValues(s.Before))
	if err != nil {
		return Status{}, err
	}
	return s, nil
}

func (r *SchemaRef) check() error {
	const what = "the name of a schema"
	if r == nil {
		return nil
	}
	return first(want(validName(r.Model), what, "a model of at most 32 letters, digits and hyphens"),
		want(r.Version > 0, what, "a version from 1"),
		want(len(r.Digest) == DigestSize, what, "a digest of 8 bytes"))
}

// checkValues holds what a device runs to its size; nothing is deleted in it.
func checkValues(m Map) error {
	const what = "a device's settings"
	return first(want(m.size() <= MaxValues, what, "at most 2048 bytes"),
		want(!m.deletes(), what, "values for all of its keys"))
}

// ParseTransaction decodes one step of a change. Unknown fields are refused. Errors
// wrap [cbor.ErrDecode].
func ParseTransaction(data []byte) (t Transaction, err error) {
	const what = "a transaction"
	if err := parse(what, data, 11, &t); err != nil {
		return Transaction{}, err
	}
	prepares, commits := t.Mode == ModeCheck || t.Mode == ModeStage, t.Mode == ModeCommit
	err = first(
		want(len(t.Txn) == TxnSize, what, "an id of 4 bytes"),
		want(t.Mode >= ModeCheck && t.Mode <= ModeRevert, what, "a mode that exists"),
		want(optional(t.Base, DigestSize), what, "a base of 8 bytes"),
		want(!prepares || t.Schema > 0, what, "the version of the schema when it is checked or staged"),
		want(prepares || len(t.Base) == 0 && t.Schema == 0 && len(t.Patch) == 0 && len(t.Of) == 0, what,
			"base, schema, patch and addressees only when it is checked or staged"),
		want(!prepares || len(t.Nonces) == 0, what, "nonces only where it switches"),
		want(t.Patch.size() <= MaxPatch, what, "a patch of at most 900 bytes"),
		want(commits || t.In == 0 && t.At == 0 && t.Within == 0, what, "times only when it is committed"),
		want(t.In == 0 || t.At == 0, what, "one time, not two"),
		want(t.In <= MaxAhead*1000, what, "to be at most a week away"),
		want(t.Within <= MaxConfirm, what, "a confirmation within a day"),
		want(len(t.Nonces)%NonceSize == 0 && len(t.Nonces) <= MaxNonces*NonceSize, what, "at most 200 nonces of 4 bytes"),
		checkOf(t.Of))
	if err != nil {
		return Transaction{}, err
	}
	return t, nil
}

// Quotes says whether a nonce is among those of t.
func (t *Transaction) Quotes(nonce []byte) bool {
	if len(nonce) != NonceSize {
		return false
	}
	for at := 0; at+NonceSize <= len(t.Nonces); at += NonceSize {
		if string(t.Nonces[at:at+NonceSize]) == string(nonce) {
			return true
		}
	}
	return false
}

// ParseRecall decodes the recall of a scene. Unknown fields are refused. Errors wrap
// [cbor.ErrDecode].
func ParseRecall(data []byte) (r Recall, err error) {
	const what = "the recall of a scene"
	if err := parse(what, data, 2, &r); err != nil {
		return Recall{}, err
	}
	if err := first(want(r.Scene <= MaxScene, what, "a scene of at most 255"),
		want(r.Fade <= MaxFade, what, "to fade for at most an hour")); err != nil {
		return Recall{}, err
	}
	return r, nil
}

// AppendOf appends a Sender ID to the addressees of a [StatusRequest] or
// [Transaction].
func AppendOf(of, senderID []byte) []byte {
	return append(append(of, byte(len(senderID))), senderID...)
}

// Means says whether a Sender ID is among the addressees; without any, all are
// meant.
func Means(of, senderID []byte) bool {
	found := len(of) == 0
	eachOf(of, func(id []byte) { found = found || string(id) == string(senderID) })
	return found
}

// eachOf calls each with every Sender ID, and says whether that was all of it.
func eachOf(of []byte, each func(id []byte)) bool {
	for len(of) > 0 {
		n := int(of[0])
		if n > maxSender || len(of) < 1+n {
			return false
		}
		each(of[1 : 1+n])
		of = of[1+n:]
	}
	return true
}

func checkOf(of []byte) error {
	const what = "a list of addressees"
	return first(want(len(of) <= MaxOf, what, "at most 800 bytes"),
		want(eachOf(of, func([]byte) {}), what, "Sender IDs of at most 7 bytes, each with its length"))
}

// size is how many bytes m takes.
func (m Map) size() int { return len(cbor.MustMarshal(m)) }

// deletes says whether there is a nil in m.
func (m Map) deletes() bool {
	for _, v := range m {
		inner, _ := v.(Map)
		if v == nil || inner.deletes() {
			return true
		}
	}
	return false
}

// validName says whether s can name a model or a setting: 1 to 32 of a to z, 0 to 9
// and hyphens, beginning with a letter.
func validName(s string) bool {
	if len(s) == 0 || len(s) > maxName || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func validText(s string, most int) bool { return len(s) <= most && utf8.ValidString(s) }

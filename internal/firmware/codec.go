package firmware

import (
	"fmt"
	"unicode/utf8"

	"lamplighter/internal/cbor"
)

// Bounds on what comes in.
const (
	MaxNonces   = 100 // in an [ActivateRequest]: it fits into one datagram
	maxText     = 64  // bytes of a version or a hardware's name
	maxReason   = 256 // bytes of a report's sentence
	maxAnchors  = 16
	maxAnchor   = 256 // bytes of a COSE_Key
	uuidSize    = 16
	maxBitmap   = MaxGenerations * MaxK / 8
	sessionText = "a session of 4 bytes"
)

// Append appends the encoding of r to dst.
func (r *StatusRequest) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(r)...) }

// Append appends the encoding of s to dst.
func (s *Status) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(s)...) }

// Append appends the encoding of r to dst.
func (r *SessionRequest) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(r)...) }

// Append appends the encoding of r to dst.
func (r *ActivateRequest) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(r)...) }

// Append appends the encoding of r to dst.
func (r *Report) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(r)...) }

// parse decodes data, without tags, into v.
func parse(what string, data []byte, v any) error {
	if !cbor.Untagged(data) || data[0]>>5 != cbor.Map && data[0]>>5 != cbor.Array {
		return fmt.Errorf("%w: reading %s: not one map or array without tags", cbor.ErrDecode, what)
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

func text(s string, most int) bool { return len(s) <= most && utf8.ValidString(s) }

// ParseStatusRequest decodes the body of a FETCH. Unknown fields are let pass: a
// device says nothing to them. Errors wrap [cbor.ErrDecode].
func ParseStatusRequest(data []byte) (r StatusRequest, err error) {
	const what = "the question for a status"
	if err := parse(what, data, &r); err != nil {
		return StatusRequest{}, err
	}
	if err := want(optional(r.Session, SessionSize), what, sessionText); err != nil {
		return StatusRequest{}, err
	}
	return r, nil
}

// ParseStatus decodes a status and holds every part of it to its bounds. Errors wrap
// [cbor.ErrDecode].
func ParseStatus(data []byte) (s Status, err error) {
	const what = "a status"
	if err := parse(what, data, &s); err != nil {
		return Status{}, err
	}
	err = first(
		want(s.State <= Testing, what, "a state that exists"),
		want(optional(s.Session, SessionSize), what, sessionText),
		want(len(s.Deficits) <= MaxGenerations, what, "at most 4096 deficits"),
		want(s.Last < MaxGenerations*MaxSymbols, what, "a latest block that exists"),
		want(optional(s.Ready, DigestSize), what, "a digest of 8 bytes"),
		want(len(s.Missing) <= maxBitmap, what, "a shorter bitmap"),
		want(optional(s.Nonce, NonceSize), what, "a nonce of 8 bytes"),
		want(optional(s.Feeder, DigestSize), what, "a thumbprint of 8 bytes"),
		s.Running.check(), s.Ability.check())
	for _, d := range s.Deficits {
		err = first(err, want(d <= MaxK, what, "deficits of at most 64"))
	}
	if err != nil {
		return Status{}, err
	}
	return s, nil
}

func (r *Running) check() error {
	const what = "the image that runs"
	if r == nil {
		return nil
	}
	return first(want(len(r.Digest) == DigestSize, what, "a digest of 8 bytes"),
		want(text(r.Version, maxText), what, "a version of at most 64 bytes"))
}

func (a *Ability) check() error {
	const what = "a device's ability"
	if a == nil {
		return nil
	}
	err := first(want(a.Block >= MinBlock, what, "blocks of at least 64 bytes"),
		want(a.K >= 1, what, "generations of at least one block"),
		want(len(a.Vendor) == uuidSize && len(a.Class) == uuidSize, what, "a vendor and a class of 16 bytes"),
		want(len(a.Anchors) <= maxAnchors, what, "at most 16 trust anchors"),
		want(text(a.Hardware, maxText), what, "a hardware name of at most 64 bytes"))
	for _, key := range a.Anchors {
		err = first(err, want(len(key) > 0 && len(key) <= maxAnchor, what, "trust anchors of at most 256 bytes"))
	}
	return err
}

// ParseSessionRequest decodes what opens or aborts a session. Errors wrap
// [cbor.ErrDecode].
func ParseSessionRequest(data []byte) (r SessionRequest, err error) {
	const what = "a session"
	if err := parse(what, data, &r); err != nil {
		return SessionRequest{}, err
	}
	err = first(want(len(r.Session) == SessionSize, what, "an id of 4 bytes"),
		want(r.Op == OpOpen || r.Op == OpAbort, what, "to be opened or aborted"))
	if r.Op == OpOpen {
		err = first(err, want(r.Block >= MinBlock && r.Block <= MaxBlock, what, "blocks of 64 to 1024 bytes"),
			want(r.K >= 1 && r.K <= MaxK, what, "generations of 1 to 64 blocks"))
	}
	if err != nil {
		return SessionRequest{}, err
	}
	return r, nil
}

// ParseActivateRequest decodes what switches. Errors wrap [cbor.ErrDecode].
func ParseActivateRequest(data []byte) (r ActivateRequest, err error) {
	const what = "a switch"
	if err := parse(what, data, &r); err != nil {
		return ActivateRequest{}, err
	}
	err = first(want(len(r.Session) == SessionSize, what, sessionText),
		want(len(r.Digest) == DigestSize, what, "a digest of 8 bytes"),
		want(r.Mode >= ModeTest && r.Mode <= ModeCancel, what, "a mode that exists"),
		want(r.In <= MaxIn*1000, what, "to be at most a day away"),
		want(r.In == 0 || r.At == 0, what, "one time, not two"),
		want(r.Within <= MaxConfirm, what, "a confirmation within a day"),
		want(len(r.Nonces) > 0 && len(r.Nonces)%NonceSize == 0 && len(r.Nonces) <= MaxNonces*NonceSize, what, "1 to 100 nonces of 8 bytes"))
	if err != nil {
		return ActivateRequest{}, err
	}
	return r, nil
}

// Quotes says whether a nonce is among those of r.
func (r *ActivateRequest) Quotes(nonce []byte) bool {
	if len(nonce) != NonceSize {
		return false
	}
	for at := 0; at+NonceSize <= len(r.Nonces); at += NonceSize {
		if string(r.Nonces[at:at+NonceSize]) == string(nonce) {
			return true
		}
	}
	return false
}

// ParseReport decodes the record of a session. Errors wrap [cbor.ErrDecode].
func ParseReport(data []byte) (r Report, err error) {
	const what = "a report"
	if err := parse(what, data, &r); err != nil {
		return Report{}, err
	}
	err = first(want(optional(r.Session, SessionSize), what, sessionText),
		want(text(r.Reason, maxReason), what, "a reason of at most 256 bytes"))
	if err != nil {
		return Report{}, err
	}
	return r, nil
}

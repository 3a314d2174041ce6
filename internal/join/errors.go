package join

import (
	"errors"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// Errors by consequence.
var (
	ErrDecode    = errors.New("malformed answer")                           // the other side does not speak this protocol
	ErrVerify    = errors.New("the answer cannot be verified")              // a proof is wrong or from somebody else
	ErrAlgorithm = errors.New("the group uses algorithms that are missing") // the group cannot be used by this build
	ErrRefused   = errors.New("refused")                                    // both *ASError and *GMError wrap it
)

// ASError is a refusal by the Authorization Server. RFC 9200, Section 5.8.3.
type ASError struct {
	Code   coap.Code
	Number int // value of "error", 0: none was given
	Detail string
}

func (e *ASError) Error() string { return "the Authorization Server refused" }

// Unwrap makes every refusal an [ErrRefused].
func (e *ASError) Unwrap() error { return ErrRefused }

// GMError is a refusal by the Group Manager. RFC 9594, Sections 4.1.2 and 9.
type GMError struct {
	Code   coap.Code
	ID     ace.ErrorID // the error-id, when HasID
	HasID  bool
	Detail string
}

func (e *GMError) Error() string { return "the Group Manager refused" }

// Unwrap makes every refusal an [ErrRefused].
func (e *GMError) Unwrap() error { return ErrRefused }

// ChallengeError says that the Group Manager refused a Join Request and gave
// what the next one must be made of. KGO, Section 6.2.1.
type ChallengeError struct {
	NS []byte // the new N_S; nil: the old one stays
}

func (e *ChallengeError) Error() string {
	return "the Group Manager wants the proof over another challenge"
}

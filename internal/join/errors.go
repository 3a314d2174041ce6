package join

import (
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// Errors by consequence.
var (
	ErrDecode    = errors.New("malformed answer")                           // the other side does not speak this protocol
	ErrVerify    = errors.New("the answer cannot be verified")              // a proof is wrong or from somebody else
	ErrAlgorithm = errors.New("the group uses algorithms that are missing") // the group cannot be used by this build
	ErrRefused   = errors.New("refused")                                    // both *ASError and *GMError wrap it
	ErrNoToken   = errors.New("the Group Manager holds no valid token")     // get a token and transfer it again
	ErrNotMember = errors.New("no longer a member of the group")            // join again
	ErrStale     = errors.New("the Group Manager's keys are older than ours")
)

// ASError is a refusal by the Authorization Server. RFC 9200, Section 5.8.3.
type ASError struct {
	Code   coap.Code
	Number ace.ASErrorCode // value of "error", 0: none was given
	Detail string
}

// Error gives the error's name and what the server said.
func (e *ASError) Error() string {
	what := coap.CodeString(e.Code)
	if e.Number != 0 {
		what = e.Number.String()
	}
	return refusal("Authorization Server", what, e.Detail)
}

// Unwrap makes every refusal an [ErrRefused].
func (e *ASError) Unwrap() error { return ErrRefused }

// GMError is a refusal by the Group Manager. RFC 9594, Sections 4.1.2 and 9.
type GMError struct {
	Code   coap.Code
	ID     ace.ErrorID // the error-id, when HasID
	HasID  bool
	Detail string
}

// Error gives the error's title and what the Group Manager said.
func (e *GMError) Error() string {
	what := coap.CodeString(e.Code)
	if e.HasID {
		what = fmt.Sprintf("error %d, %s", int(e.ID), e.ID)
	}
	return refusal("Group Manager", what, e.Detail)
}

// Is makes a refusal an [ErrRefused], and by what is to be done about it an
// [ErrNoToken] or an [ErrNotMember].
func (e *GMError) Is(target error) bool {
	switch target {
	case ErrRefused:
		return true
	case ErrNoToken:
		return e.Code == coap.Unauthorized
	case ErrNotMember:
		return e.HasID && (e.ID == ace.ErrorMembersOnly || e.ID == ace.ErrorTerminated || e.ID == ace.ErrorDeleted)
	}
	return false
}

func refusal(who, what, detail string) string {
	if detail != "" {
		return "the " + who + " refused: " + what + " (" + detail + ")"
	}
	return "the " + who + " refused: " + what
}

// ChallengeError says that the Group Manager refused a Join Request and gave the
// challenge that the next one's proof must be over. KGO, Section 6.2.1.
type ChallengeError struct {
	NS       []byte // the new N_S
	SignInfo []ace.SignInfo
	ECDHInfo []ace.ECDHInfo
	DHCreds  []ace.KDCDHCred
}

func (e *ChallengeError) Error() string {
	return "the Group Manager wants the proof over another challenge"
}

// checkAS turns an error answer of the Authorization Server into an error.
func checkAS(m *coap.Message) error {
	if coap.Class(m.Code) == 2 {
		return nil
	}
	e := &ASError{Code: m.Code}
	if body, ok := ace.ParseASError(m); ok {
		e.Number, e.Detail = body.Code, body.Description
	} else {
		e.Detail = diagnostic(m)
	}
	return e
}

// checkGM turns an error answer of the Group Manager into an error.
func checkGM(m *coap.Message) error {
	if coap.Class(m.Code) == 2 {
		return nil
	}
	e := &GMError{Code: m.Code}
	if e.ID, e.Detail, e.HasID = ace.ParseProblem(m); !e.HasID {
		e.Detail = diagnostic(m)
	}
	return e
}

// diagnostic is the sentence that an error answer carries, if it is one.
func diagnostic(m *coap.Message) string {
	var e *coap.ResponseError
	if errors.As(coap.CheckResponse(m), &e) {
		return e.Diagnostic
	}
	return ""
}

// decode reads the payload of a success.
func decode[T any](m *coap.Message, format int) (*T, error) {
	if got, ok := coap.ContentFormat(m); !ok || got != format {
		return nil, fmt.Errorf("%w: Content-Format", ErrDecode)
	}
	v, err := ace.Decode[T](m.Payload)
	if err != nil {
		return nil, fmt.Errorf("%w: payload", ErrDecode) // the cause could quote a secret
	}
	return v, nil
}

package admin

import (
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// Errors by consequence. An [*Error] is one of them, but for ErrDecode, and of
// ErrRefused.
var (
	ErrDecode      = errors.New("malformed answer")                                // the other side does not speak this protocol
	ErrRefused     = errors.New("refused")                                         // every *Error
	ErrNoToken     = errors.New("no valid token for administering groups")         // get a token and transfer it again
	ErrDenied      = errors.New("the token does not permit this")                  // get a token with more rights
	ErrNotFound    = errors.New("no such group")                                   // or no such member
	ErrChanged     = errors.New("the configuration has changed since it was read") // read it, decide again
	ErrConflict    = errors.New("the result would contradict itself")              // change more together
	ErrInvalid     = errors.New("the request is not valid")                        // a parameter is unknown or wrong
	ErrActive      = errors.New("the group is active")                             // set active to false first
	ErrNameTaken   = errors.New("the name is taken and there is no other")         // ask for another name
	ErrUnsupported = errors.New("the Group Manager does not support this")         // take other algorithms; Detail says which
	ErrCannotWatch = errors.New("nothing can be observed over this association")
)

// Error is a refusal by the Group Manager. GMA, Section 8; RFC 9594, Section 4.1.2.
type Error struct {
	Code   coap.Code
	ID     ace.ErrorID // the error-id, when HasID
	HasID  bool
	Detail string
}

// Error gives the error's title and what the Group Manager said.
func (e *Error) Error() string {
	what := coap.CodeString(e.Code)
	if e.HasID {
		what = fmt.Sprintf("error %d, %s", int(e.ID), e.ID)
	}
	if e.Detail != "" {
		what += " (" + e.Detail + ")"
	}
	return "the Group Manager refused: " + what
}

// byID says what the error identifiers mean for an administrator.
var byID = map[ace.ErrorID]error{
	ace.ErrorActive: ErrActive, ace.ErrorNoName: ErrNameTaken, ace.ErrorUnsupportedConfig: ErrUnsupported,
}

// byCode says what codes mean.
var byCode = map[coap.Code]error{
	coap.Unauthorized: ErrNoToken, coap.Forbidden: ErrDenied, coap.NotFound: ErrNotFound, coap.PreconditionFailed: ErrChanged,
	coap.Conflict: ErrConflict, coap.BadRequest: ErrInvalid, coap.UnsupportedFormat: ErrInvalid,
	coap.MethodNotAllowed: ErrUnsupported, coap.BadOption: ErrUnsupported,
}

// Is makes a refusal an [ErrRefused] and what is to be done about it.
func (e *Error) Is(target error) bool {
	if target == ErrRefused {
		return true
	}
	if known, ok := byID[e.ID]; ok && e.HasID {
		return target == known
	}
	return byCode[e.Code] != nil && target == byCode[e.Code]
}

// check turns an error answer into an error.
func check(m *coap.Message) error {
	if coap.Class(m.Code) == 2 {
		return nil
	}
	e := &Error{Code: m.Code}
	if e.ID, e.Detail, e.HasID = ace.ParseProblem(m); !e.HasID {
		var answer *coap.ResponseError
		if errors.As(coap.CheckResponse(m), &answer) {
			e.Detail = answer.Diagnostic
		}
	}
	return e
}

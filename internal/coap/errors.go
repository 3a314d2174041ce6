package coap

import "errors"

// Errors by consequence.
var (
	ErrTimeout   = errors.New("no answer in time")
	ErrNoContext = errors.New("no security context for this message")
	ErrDecode    = errors.New("malformed message")
	ErrLink      = errors.New("the link to the bridge is down")
)

package coap

import "errors"

// Errors by consequence.
var (
	ErrTimeout   = errors.New("no answer in time")
	ErrNoContext = errors.New("no security context for this message")
	ErrDecode    = errors.New("malformed message")
	ErrReset     = errors.New("the peer rejected the message")
	ErrBusy      = errors.New("too many messages wait for this peer")
	ErrLink      = errors.New("the link to the bridge is down")
	ErrRevoked   = errors.New("the access was revoked")
)

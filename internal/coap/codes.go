package coap

import "github.com/plgd-dev/go-coap/v3/message/codes"

// CoAP Codes (IANA, CoRE Parameters): methods.
const (
	Empty  = codes.Empty
	GET    = codes.GET
	POST   = codes.POST
	PUT    = codes.PUT
	DELETE = codes.DELETE
	FETCH  = codes.FETCH
	PATCH  = codes.PATCH
	IPATCH = codes.IPATCH
)

// CoAP Codes (IANA, CoRE Parameters): responses.
const (
	Created                 = codes.Created                 // 2.01
	Deleted                 = codes.Deleted                 // 2.02
	Valid                   = codes.Valid                   // 2.03
	Changed                 = codes.Changed                 // 2.04
	Content                 = codes.Content                 // 2.05
	Continue                = codes.Continue                // 2.31
	BadRequest              = codes.BadRequest              // 4.00
	Unauthorized            = codes.Unauthorized            // 4.01
	BadOption               = codes.BadOption               // 4.02
	Forbidden               = codes.Forbidden               // 4.03
	NotFound                = codes.NotFound                // 4.04
	MethodNotAllowed        = codes.MethodNotAllowed        // 4.05
	NotAcceptable           = codes.NotAcceptable           // 4.06
	RequestEntityIncomplete = codes.RequestEntityIncomplete // 4.08
	Conflict                = codes.Conflict                // 4.09
	PreconditionFailed      = codes.PreconditionFailed      // 4.12
	RequestEntityTooLarge   = codes.RequestEntityTooLarge   // 4.13
	UnsupportedFormat       = codes.UnsupportedMediaType    // 4.15
	UnprocessableEntity     = codes.UnprocessableEntity     // 4.22
	TooManyRequests         = codes.TooManyRequests         // 4.29
	InternalServerError     = codes.InternalServerError     // 5.00
	NotImplemented          = codes.NotImplemented          // 5.01
	BadGateway              = codes.BadGateway              // 5.02
	ServiceUnavailable      = codes.ServiceUnavailable      // 5.03
	GatewayTimeout          = codes.GatewayTimeout          // 5.04
	ProxyingNotSupported    = codes.ProxyingNotSupported    // 5.05
	HopLimitReached         = Code(168)                     // 5.08, RFC 8768
)

// CoAP Signaling Codes (IANA, CoRE Parameters), RFC 8323.
const (
	CSM     = codes.CSM     // 7.01
	Ping    = codes.Ping    // 7.02
	Pong    = codes.Pong    // 7.03
	Release = codes.Release // 7.04
	Abort   = codes.Abort   // 7.05
)

// Class returns the class of a code: 0 for methods, 2 for success, 4 and 5 for
// errors, 7 for signaling.
func Class(c Code) int { return int(c>>5) & 7 }

// CodeString prints a code the way the standards do: "4.04".
func CodeString(c Code) string {
	return string([]byte{'0' + byte(c>>5)&7, '.', '0' + byte(c&31)/10, '0' + byte(c&31)%10})
}

// IsRequest reports whether c is a method.
func IsRequest(c Code) bool { return c != Empty && Class(c) == 0 }

// IsResponse reports whether c is a response code.
func IsResponse(c Code) bool { return Class(c) == 2 || Class(c) == 4 || Class(c) == 5 }

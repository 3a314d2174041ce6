package oscore

import (
	"crypto/subtle"
	"fmt"
	"io"

	"lamplighter/internal/coap"
)

// echoSize is the length of Echo values in bytes.
const echoSize = 8

// Echo is the freshness check of a peer whose Replay Window was lost. One value
// stays valid until it comes back: were each challenge to replace it, replayed
// requests could keep an honest client from ever answering in time. The zero
// value has asked for nothing. RFC 8613, Appendix B.1.2; RFC 9175, Section 2.
type Echo struct{ value []byte }

// Challenge returns the 4.01 with the Echo Option and nothing else.
func (e *Echo) Challenge(rand io.Reader) (*coap.Message, error) {
	if e.value == nil {
		if rand == nil {
			return nil, fmt.Errorf("making an Echo value: no source of randomness")
		}
		value := make([]byte, echoSize)
		if _, err := io.ReadFull(rand, value); err != nil {
			return nil, fmt.Errorf("making an Echo value: %w", err)
		}
		e.value = value
	}
	resp := &coap.Message{Code: coap.Unauthorized}
	coap.AddOption(resp, coap.OptionEcho, e.value)
	return resp, nil
}

// Proves says whether req carries the value that was asked for.
func (e *Echo) Proves(req *coap.Message) bool {
	return e.value != nil && subtle.ConstantTimeCompare(coap.GetOption(req, coap.OptionEcho), e.value) == 1
}

// synchronise accepts an authentic request when it proves freshness: its number
// becomes the lower limit of the window. Else it makes the challenge, always
// with a Partial IV of its own, as the request may be a replay whose nonce was
// used. RFC 8613, Appendix B.1.2.
func (c *Context) synchronise(req *coap.Message, b *Binding, number uint64) (*coap.Message, *Binding, error) {
	if c.echo.Proves(req) {
		c.window.StartAt(number)
		c.lost, c.echo = false, Echo{}
		b.observe = Registers(req)
		return req, b, nil
	}
	b.used = true
	resp, err := c.echo.Challenge(c.rand)
	if err != nil {
		return nil, nil, err
	}
	resp.Token, resp.MessageID, resp.Type = req.Token, req.MessageID, req.Type
	challenge, err := c.ProtectResponse(resp, b)
	if err != nil {
		return nil, nil, fmt.Errorf("protecting the Echo challenge: %w", err)
	}
	return nil, nil, &EchoError{Challenge: challenge}
}

// IsChallenge says whether a response that verified asks for freshness: a 4.01
// with an Echo Option. RFC 9175, Section 2.3.
func IsChallenge(resp *coap.Message) bool {
	return resp.Code == coap.Unauthorized && coap.HasOption(resp, coap.OptionEcho)
}

// WithEcho returns a copy of req that answers the challenge.
func WithEcho(req, challenge *coap.Message) *coap.Message {
	again := coap.Clone(req)
	coap.SetOption(again, coap.OptionEcho, coap.GetOption(challenge, coap.OptionEcho))
	return again
}

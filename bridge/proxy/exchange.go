package proxy

import (
	"errors"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

var errClosed = errors.New("the connection is closed")

// exchange is a request of the client with what comes back: one response, one
// from each device of a group, or notifications. Its fields are guarded by
// conn.mu.
type exchange struct {
	conn     *conn
	token    coap.Token // the client's
	to       netip.AddrPort
	group    bool
	call     *endpoint.Call // nil until the request is out
	deadline time.Time
	timer    *time.Timer // groups: ends the exchange at the deadline
	asked    bool        // the client asked to observe
	observed bool        // and a server agreed
	over     bool
}

// forward sends a request on. timeout counts for groups only; 0 says that the
// client wants no answers.
func (c *conn) forward(now time.Time, token coap.Token, to netip.AddrPort, out *coap.Message, timeout time.Duration) {
	x, problem := c.place(now, token, to, out, timeout)
	if problem != nil {
		c.answer(token, problem)
	}
	if x == nil {
		return
	}
	udp, err := c.socket(to.Addr())
	if err != nil {
		x.finish(coap.Problem(coap.InternalServerError, "The bridge could not open a socket."))
		return
	}
	c.mu.Lock()
	call := x.call
	c.mu.Unlock()
	if call != nil {
		err = call.Again(out)
	} else {
		call, err = udp.Begin(to, out, x.deliver)
	}
	if err != nil {
		x.finish(sendProblem(err))
		return
	}
	c.mu.Lock()
	x.call = call
	over := x.over
	if x.group && x.timer == nil && !over {
		x.timer = time.AfterFunc(timeout, x.expire)
	}
	c.mu.Unlock()
	if over || timeout == 0 && x.group { // answered already, or no answers wanted
		x.finish(nil)
	}
}

// place finds the exchange of a token or makes one. A second request under a
// token that is in use goes to the same server under the same token as before:
// it renews or ends an observation (RFC 7641, Section 3.6). To another server it
// takes the token over. A request that crossed a Release gets neither exchange nor
// answer: it was not served, and the end of the connection says so.
func (c *conn) place(now time.Time, token coap.Token, to netip.AddrPort, out *coap.Message, timeout time.Duration) (*exchange, *coap.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving {
		return nil, nil
	}
	observe, has := coap.OptionUint(out, coap.OptionObserve)
	x := c.exchanges[string(token)]
	if x != nil && (x.to != to || x.call == nil) {
		c.dropLocked(x)
		x = nil
	}
	if x == nil {
		if len(c.exchanges) >= c.srv.config.MaxExchanges {
			return nil, tooMany("Too many open exchanges.")
		}
		x = &exchange{conn: c, token: token, to: to, group: to.Addr().IsMulticast()}
		c.exchanges[string(token)] = x
	}
	x.stopTimer()
	x.asked = has && observe == 0
	x.deadline = now.Add(c.srv.config.LayerParams.MaxTransmitWait())
	if x.group {
		x.deadline = now.Add(timeout)
	}
	return x, nil
}

// dropLocked forgets an exchange whose token is taken over.
func (c *conn) dropLocked(x *exchange) {
	x.over = true
	x.stopTimer()
	delete(c.exchanges, string(x.token))
	if x.call != nil {
		x.call.Cancel()
	}
}

func (x *exchange) stopTimer() {
	if x.timer != nil {
		x.timer.Stop()
		x.timer = nil
	}
}

// deliver hears from the device. It runs in the goroutine that reads the UDP
// socket and writes to the WebSocket from there.
func (x *exchange) deliver(resp *coap.Message, from netip.AddrPort, err error) {
	if err != nil {
		x.finish(sendProblem(err))
		return
	}
	notification := coap.HasOption(resp, coap.OptionObserve) && coap.Class(resp.Code) == 2
	c := x.conn
	c.mu.Lock()
	if x.over {
		c.mu.Unlock()
		return
	}
	x.observed = x.observed || x.asked && notification
	last := !x.group && !(x.asked && notification)
	// After the timeout of a group request only notifications pass, and the
	// errors that end them.
	late := x.group && time.Now().After(x.deadline) && !(x.observed && (notification || coap.Class(resp.Code) != 2))
	c.mu.Unlock()
	out := x.toClient(resp, from)
	switch {
	case last:
		x.finish(out)
	case !late:
		c.send(out)
	}
}

// toClient is a device's response as it goes to the client: with the client's
// token and, from a group, with the device's address.
// draft-ietf-core-groupcomm-proxy-07, Section 5.4.1.
func (x *exchange) toClient(resp *coap.Message, from netip.AddrPort) *coap.Message {
	out := *resp
	out.Token = x.token
	if x.group {
		coap.SetOption(&out, coap.OptionReplyFrom, coap.ReplyFrom(from))
	}
	if unknownUnsafe(&out) {
		return x.replacement(from, "The device's answer has an option that the bridge must not forward.")
	}
	size := frameOverhead + len(out.Payload)
	for _, o := range out.Options {
		size += optionOverhead + len(o.Value)
	}
	x.conn.mu.Lock()
	limit := int(x.conn.settings.MaxMessageSize)
	x.conn.mu.Unlock()
	if size > limit {
		return x.replacement(from, "The device's answer is larger than the client takes.")
	}
	return &out
}

// Upper bounds of what a frame and an option add to the bytes inside.
const (
	frameOverhead  = 2 + 8 + 1
	optionOverhead = 5
)

// replacement stands for an answer that cannot be forwarded.
func (x *exchange) replacement(from netip.AddrPort, why string) *coap.Message {
	m := coap.Problem(coap.BadGateway, why)
	m.Token = x.token
	if x.group {
		coap.AddOption(m, coap.OptionReplyFrom, coap.ReplyFrom(from))
	}
	return m
}

// expire ends a group exchange at its timeout, unless devices are observed.
// draft-ietf-core-groupcomm-proxy-07, Section 5.4.2.
func (x *exchange) expire() {
	x.conn.mu.Lock()
	stays := x.observed
	x.conn.mu.Unlock()
	if !stays {
		x.finish(nil)
	}
}

// finish sends the last message, if any, and frees the exchange. Only the first
// call does.
func (x *exchange) finish(last *coap.Message) {
	c := x.conn
	c.mu.Lock()
	first := !x.over
	x.over = true
	x.stopTimer()
	if c.exchanges[string(x.token)] == x {
		delete(c.exchanges, string(x.token))
	}
	call := x.call
	gone := c.leaving && len(c.exchanges) == 0
	c.mu.Unlock()
	if first && last != nil {
		last.Token = x.token
		c.send(last)
	}
	if call != nil {
		call.Cancel()
	}
	if first && gone {
		go c.ws.close(closeGoing, "") // it was the last before a Release
	}
}

// stop is the client's Early Stop Request. draft-ietf-core-groupcomm-proxy-07,
// Section 5.2.3.
func (c *conn) stop(token coap.Token) {
	c.lane.drop(token)
	c.mu.Lock()
	x := c.exchanges[string(token)]
	c.mu.Unlock()
	if x != nil {
		x.finish(nil)
	}
}

// overdue returns the unicast exchanges whose time is over. Observations have no
// end.
func (c *conn) overdue(now time.Time) []*exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	var late []*exchange
	for _, x := range c.exchanges {
		if !x.group && !x.observed && now.After(x.deadline) {
			late = append(late, x)
		}
	}
	return late
}

// sendProblem says what went wrong on the way to the device. RFC 7252,
// Section 5.7.1.
func sendProblem(err error) *coap.Message {
	switch {
	case errors.Is(err, coap.ErrTimeout):
		return gatewayTimeout()
	case errors.Is(err, coap.ErrReset):
		return coap.Problem(coap.BadGateway, "The device rejected the message.")
	case errors.Is(err, coap.ErrBusy):
		return tooMany("Too many messages wait for this device.")
	case isTooLarge(err):
		return coap.Problem(coap.RequestEntityTooLarge, "The message does not fit into a datagram.")
	}
	return coap.Problem(coap.BadGateway, "The device cannot be reached from the bridge.")
}

func gatewayTimeout() *coap.Message {
	return coap.Problem(coap.GatewayTimeout, "The device did not answer.")
}

func tooMany(why string) *coap.Message {
	m := coap.Problem(coap.TooManyRequests, why)
	coap.AddUint(m, coap.OptionMaxAge, 1)
	return m
}

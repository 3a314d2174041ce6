package proxy

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// Times of a connection.
const (
	tickInterval   = 5 * time.Second  // how often deadlines and silence are looked at
	pingAfter      = 30 * time.Second // of silence
	deadAfter      = 75 * time.Second // of silence
	releasePause   = 500 * time.Millisecond
	keepaliveToken = "k"
)

// conn is one client's connection: a WebSocket, a UDP socket of its own towards
// the devices, and the exchanges between them. Bytes go from one socket to the
// other in the goroutine that read them.
type conn struct {
	srv    *Server
	remote netip.AddrPort
	ws     *socket
	heard  atomic.Int64  // when the client was last heard, in Unix nanoseconds
	rate   bucket        // requests; used by the reading goroutine only
	who    *codeID       // whose session opened it; nil: nobody's
	lane   *lane         // group requests that wait for the network
	over   chan struct{} // closed when the connection has ended

	dismissed atomic.Bool // the access is over: nothing goes through any more

	mu        sync.Mutex
	groups    bucket // multicast requests
	udp4      *endpoint.UDP
	udp6      *endpoint.UDP
	exchanges map[string]*exchange // by the client's token
	settings  coap.Settings
	ready     bool // the client's CSM has come
	leaving   bool // one side has sent Release
	closed    bool
	ticker    *time.Timer
}

// run serves the connection until it ends.
func (c *conn) run(ws *socket) {
	now := time.Now()
	c.mu.Lock()
	if c.leaving { // the bridge has shut down, or the access ended, meanwhile
		c.mu.Unlock()
		ws.cut()
		return
	}
	c.ws, c.settings = ws, coap.DefaultSettings
	c.exchanges = make(map[string]*exchange)
	c.over = make(chan struct{})
	c.lane = &lane{pacer: &c.srv.pacer, stats: &c.srv.stats, over: c.over}
	c.rate = newBucket(c.srv.config.RequestRate, now)
	c.groups = newBucket(c.srv.config.MulticastRate, now)
	c.ticker = time.AfterFunc(tickInterval, c.tick)
	c.mu.Unlock()
	c.heard.Store(now.UnixNano())
	c.send(coap.NewCSM(uint32(c.srv.config.MaxMessage)))
	c.readLoop()
	c.end()
}

func (c *conn) readLoop() {
	for {
		b, err := c.ws.read()
		switch {
		case errors.Is(err, errNotBinary):
			c.abort(0, "CoAP messages are binary frames.")
			return
		case err != nil:
			c.srv.config.Logger.Debug("a connection has ended", "from", c.remote, "err", err)
			return
		}
		if c.dismissed.Load() {
			continue // the end is under way
		}
		now := time.Now()
		c.heard.Store(now.UnixNano())
		c.record(FromClient, b)
		m, err := coap.UnmarshalWS(b)
		if err != nil {
			c.abort(0, "The message is malformed.")
			return
		}
		if !c.ready && m.Code != coap.CSM {
			c.abort(0, "The first message is no CSM.")
			return
		}
		switch {
		case coap.Class(m.Code) == 7:
			if !c.signal(m) {
				return
			}
		case coap.IsRequest(m.Code):
			c.request(now, m)
		} // empty messages and responses mean nothing here
	}
}

// signal handles a signaling message; false ends the connection. RFC 8323,
// Section 5.
func (c *conn) signal(m *coap.Message) bool {
	if m.Code == coap.CSM {
		c.mu.Lock()
		bad, err := c.settings.Apply(m)
		c.ready = true
		c.mu.Unlock()
		if err != nil {
			c.abort(bad, "A critical option of the CSM is not understood.")
		}
		return err == nil
	}
	if _, err := coap.SignalOption(m); err != nil {
		c.abort(0, "A critical option is not understood.")
		return false
	}
	switch m.Code {
	case coap.Ping:
		return c.pong(m)
	case coap.Release:
		c.mu.Lock()
		c.leaving = true
		idle := len(c.exchanges) == 0
		c.mu.Unlock()
		if idle {
			c.ws.close(closeNormal, "")
		}
		return !idle
	case coap.Abort:
		return false
	}
	return true
}

// pong answers a Ping; with Custody, when all that came before has been forwarded:
// a sender that waits for it never fills the queue. RFC 8323, Section 5.4.1.
func (c *conn) pong(ping *coap.Message) bool {
	pong := &coap.Message{Code: coap.Pong, Token: ping.Token}
	if !coap.HasOption(ping, coap.PingCustody) {
		c.send(pong)
		return true
	}
	coap.AddOption(pong, coap.PingCustody, nil)
	if !c.lane.custody(time.Now(), func() { c.send(pong) }) {
		c.abort(0, "Too many Pings wait for an answer.")
		return false
	}
	return true
}

// send writes one message to the client.
func (c *conn) send(m *coap.Message) {
	b, err := coap.MarshalWS(m)
	if err != nil {
		c.srv.config.Logger.Warn("a message could not be encoded", "err", err)
		return
	}
	c.record(ToClient, b)
	if err := c.ws.write(b); err != nil {
		c.ws.cut() // a stuck client; the reading goroutine ends the rest
	}
}

// abort tells the client what it did wrong and closes. RFC 8323, Section 5.6.
func (c *conn) abort(bad coap.OptionID, diagnostic string) {
	c.send(coap.NewAbort(bad, diagnostic))
	c.ws.close(closeProtocol, "")
}

// answer is the bridge's own response to a request.
func (c *conn) answer(token coap.Token, resp *coap.Message) {
	resp.Token = token
	c.send(resp)
}

func (c *conn) record(d Direction, b []byte) {
	if c.srv.config.Record != nil {
		c.srv.config.Record(d, c.remote, b)
	}
}

// socket returns the UDP socket for targets of a's family and opens it at first
// use.
func (c *conn) socket(a netip.Addr) (*endpoint.UDP, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	held, bind := &c.udp4, c.srv.bind
	if a.Is6() {
		held, bind = &c.udp6, netip.IPv6Unspecified()
	}
	if *held != nil {
		return *held, nil
	}
	opts := endpoint.UDPOptions{Params: c.srv.config.LayerParams, Logger: c.srv.config.Logger}
	if a.Is4() {
		opts.Interface = c.srv.config.MulticastInterface
	}
	if c.srv.config.Record != nil {
		opts.Record = func(out bool, peer netip.AddrPort, b []byte) {
			d := FromDevice
			if out {
				d = ToDevice
			}
			c.srv.config.Record(d, peer, b)
		}
	}
	u, err := endpoint.ListenUDP(netip.AddrPortFrom(bind, 0), nil, opts)
	if err == nil {
		*held = u
	}
	return u, err
}

// tick looks for exchanges whose time is over and for a client that has fallen
// silent.
func (c *conn) tick() {
	now := time.Now()
	if !c.allowed(now) { // an invitation that nobody used has expired
		c.dismiss()
		return
	}
	silence := now.Sub(time.Unix(0, c.heard.Load()))
	if silence > deadAfter {
		c.ws.cut()
		return
	}
	if silence > pingAfter {
		c.send(&coap.Message{Code: coap.Ping, Token: coap.Token(keepaliveToken)})
	}
	for _, x := range c.overdue(now) {
		x.finish(gatewayTimeout())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.ticker.Reset(tickInterval)
	}
}

// release ends the connection in order: the bridge shuts down.
func (c *conn) release() {
	c.mu.Lock()
	c.leaving = true
	ws := c.ws
	c.mu.Unlock()
	if ws == nil {
		return // still in the handshake; run sees it
	}
	c.send(&coap.Message{Code: coap.Release})
	for waited := time.Duration(0); waited < releasePause && c.open() > 0; waited += releasePause / 20 {
		time.Sleep(releasePause / 20)
	}
	ws.cut()
}

func (c *conn) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.exchanges)
}

// end frees everything. Closing the sockets ends observations at the devices
// with their next notification.
func (c *conn) end() {
	c.mu.Lock()
	c.closed = true
	c.ticker.Stop()
	for _, x := range c.exchanges {
		x.over = true
		x.stopTimer()
	}
	clear(c.exchanges)
	close(c.over)
	udp4, udp6 := c.udp4, c.udp6
	c.mu.Unlock()
	c.ws.cut()
	for _, u := range []*endpoint.UDP{udp4, udp6} {
		if u == nil {
			continue
		}
		if n, err := u.Drops(); err == nil && n > 0 {
			c.srv.config.Logger.Warn("answers were lost for want of receive buffer: raise net.core.rmem_max", "datagrams", n)
		}
		_ = u.Close()
	}
}

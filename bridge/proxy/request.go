package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"lamplighter/internal/coap"
)

const resolveTimeout = 5 * time.Second

// request handles one request of the client.
func (c *conn) request(now time.Time, m *coap.Message) {
	if isEarlyStop(m) {
		c.stop(m.Token)
		return
	}
	if !c.rate.allow(now) {
		c.answer(m.Token, tooMany("Too many requests."))
		return
	}
	dest, out, problem := route(m)
	if problem != nil {
		c.answer(m.Token, problem)
		return
	}
	timeout, hasTimeout := coap.OptionUint(m, coap.OptionMulticastTimeout)
	coap.RemoveOption(out, coap.OptionMulticastTimeout)
	addr, err := netip.ParseAddr(dest.host)
	if err != nil { // a name
		token, done := m.Token, c.lane.resolves()
		go func() {
			defer done()
			if addr, ok := c.resolve(dest.host); ok {
				c.dispatch(time.Now(), token, netip.AddrPortFrom(addr, dest.port), out, timeout, hasTimeout)
			} else {
				c.answer(token, coap.Problem(coap.BadGateway, "The name of the device is not known."))
			}
		}()
		return
	}
	c.dispatch(now, m.Token, netip.AddrPortFrom(addr.Unmap(), dest.port), out, timeout, hasTimeout)
}

// dispatch checks where a request goes and forwards it. The checks are on the
// resolved address. draft-ietf-core-groupcomm-proxy-07, Section 5.2.1.
func (c *conn) dispatch(now time.Time, token coap.Token, to netip.AddrPort, out *coap.Message, seconds uint32, hasTimeout bool) {
	config := &c.srv.config
	if !to.Addr().IsMulticast() {
		if !config.reaches(to) {
			c.answer(token, coap.Problem(coap.Forbidden, "The bridge does not serve this network or port."))
			return
		}
		c.forward(now, token, to, out, 0)
		return
	}
	if !config.reachesGroup(to) {
		c.answer(token, coap.Problem(coap.Unauthorized, "The bridge does not serve this group."))
		return
	}
	if !hasTimeout {
		resp := coap.Problem(coap.BadRequest, "A group request needs Multicast-Timeout.")
		coap.AddUint(resp, coap.OptionMulticastTimeout, 0)
		c.answer(token, resp)
		return
	}
	c.toGroup(now, token, to, out, min(time.Duration(seconds)*time.Second, config.MaxMulticastTimeout))
}

// toGroup forwards a group request when the network has room for it. One that asks
// many devices for answers counts against the rate of such requests, too; one that
// wants none (T' = 0) costs its bytes only.
// draft-ietf-core-groupcomm-proxy-07, Sections 5.2.1 and 7.
func (c *conn) toGroup(now time.Time, token coap.Token, to netip.AddrPort, out *coap.Message, timeout time.Duration) {
	stats := &c.srv.stats
	if timeout > 0 && !c.allowGroup(now) {
		stats.refused.Add(1)
		c.answer(token, tooMany("Too many group requests."))
		return
	}
	size := datagramSize(out)
	queued := c.lane.put(now, laneItem{token: token, size: size, send: func() {
		if c.dismissed.Load() {
			return
		}
		stats.multicasts.Add(1)
		stats.bytes.Add(uint64(size))
		if timeout == 0 {
			stats.silent.Add(1)
		}
		c.forward(time.Now(), token, to, out, timeout)
	}})
	if !queued {
		stats.refused.Add(1)
		c.answer(token, tooMany("Group messages come faster than the bridge may send them. Send a Ping with Custody and wait for its Pong before more, or start the bridge with a larger --multicast-rate."))
	}
}

// datagramSize is about how many bytes m has on the way to the devices.
func datagramSize(m *coap.Message) int {
	const header, token, optionHead = 4, 8, 2
	size := header + token + 1 + len(m.Payload)
	for _, o := range m.Options {
		size += optionHead + len(o.Value)
	}
	return size
}

func (c *conn) allowGroup(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.groups.allow(now)
}

// reaches reports whether a unicast target is allowed.
func (c *Config) reaches(to netip.AddrPort) bool {
	if to.Addr().Zone() != "" || to.Addr().IsUnspecified() {
		return false
	}
	port := false
	for _, r := range c.Ports {
		port = port || to.Port() >= r[0] && to.Port() <= r[1]
	}
	for _, t := range c.Targets {
		if port && t.Contains(to.Addr()) {
			return true
		}
	}
	return false
}

func (c *Config) reachesGroup(to netip.AddrPort) bool {
	for _, g := range c.MulticastGroups {
		if g == to {
			return true
		}
	}
	return false
}

// resolve looks a name up and returns the first address that is allowed on any
// port.
func (c *conn) resolve(host string) (netip.Addr, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, a := range addrs {
		for _, t := range c.srv.config.Targets {
			if t.Contains(a.Unmap()) {
				return a.Unmap(), true
			}
		}
	}
	if len(addrs) > 0 {
		return addrs[0].Unmap(), true // refused with the reason
	}
	return netip.Addr{}, false
}

// isEarlyStop reports whether m asks to stop forwarding answers.
// draft-ietf-core-groupcomm-proxy-07, Section 5.1.3.
func isEarlyStop(m *coap.Message) bool {
	if m.Code != coap.GET {
		return false
	}
	v := coap.GetOption(m, coap.OptionMulticastTimeout)
	if v == nil || len(v) != 0 {
		return false
	}
	for _, id := range []coap.OptionID{coap.OptionProxyURI, coap.OptionProxyScheme, coap.OptionURIHost, coap.OptionURIPort, coap.OptionURIPath, coap.OptionURIQuery} {
		if coap.HasOption(m, id) {
			return false
		}
	}
	return true
}

func isTooLarge(err error) bool { return errors.Is(err, syscall.EMSGSIZE) }

//go:build !unix && !js

package endpoint

import (
	"errors"
	"net"
	"net/netip"
)

// listenUnicast opens the socket that sends everything.
func listenUnicast(addr netip.AddrPort, opts UDPOptions) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err == nil {
		setReceiveBuffer(conn, opts.RecvBuffer)
	}
	return conn, err
}

func listenMulticast(netip.AddrPort, UDPOptions) (*net.UDPConn, error) {
	return nil, errors.New("multicast is built for Unix only")
}

//go:build unix

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
)

var errIPv4Only = errors.New("multicast is built for IPv4 only")

// network keeps IPv4 sockets IPv4, so that addresses come unmapped.
func network(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "udp4"
	}
	return "udp6"
}

// listenUnicast opens the socket that sends everything, multicast included.
func listenUnicast(addr netip.AddrPort, opts UDPOptions) (*net.UDPConn, error) {
	var failure error
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		err := raw.Control(func(fd uintptr) { failure = outgoing(int(fd), opts) })
		return errors.Join(err, failure)
	}}
	pc, err := lc.ListenPacket(context.Background(), network(addr.Addr()), addr.String())
	if err != nil {
		return nil, err
	}
	conn := pc.(*net.UDPConn)
	setReceiveBuffer(conn, opts.RecvBuffer)
	return conn, nil
}

// outgoing chooses the interface of multicast datagrams: the loopback interface
// has no MULTICAST flag, so that the system never chooses it by itself.
func outgoing(fd int, opts UDPOptions) error {
	if opts.Interface == "" {
		return nil
	}
	ip, err := interfaceIPv4(opts.Interface)
	if err != nil {
		return err
	}
	if err := syscall.SetsockoptInet4Addr(fd, syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, ip); err != nil {
		return fmt.Errorf("choosing the interface: %w", err)
	}
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_MULTICAST_LOOP, 1)
}

func interfaceIPv4(name string) (ip [4]byte, err error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return ip, err
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return ip, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr().As4(), nil
		}
	}
	return ip, fmt.Errorf("interface %s has no IPv4 address", name)
}

// listenMulticast opens a socket that is bound to the group address and port,
// beside others on the same, and joins the group. The net package binds to the
// wildcard address instead, which would take other groups' datagrams too.
func listenMulticast(group netip.AddrPort, opts UDPOptions) (*net.UDPConn, error) {
	if !group.Addr().Is4() || !group.Addr().IsMulticast() {
		return nil, errIPv4Only
	}
	mreq := &syscall.IPMreq{Multiaddr: group.Addr().As4()}
	if opts.Interface != "" {
		ip, err := interfaceIPv4(opts.Interface)
		if err != nil {
			return nil, err
		}
		mreq.Interface = ip
	}
	fd, err := openSocket()
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "multicast")
	defer file.Close() // FilePacketConn works on a copy
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return nil, fmt.Errorf("sharing the port: %w", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: group.Addr().As4(), Port: int(group.Port())}); err != nil {
		return nil, fmt.Errorf("binding: %w", err)
	}
	if err := syscall.SetsockoptIPMreq(fd, syscall.IPPROTO_IP, syscall.IP_ADD_MEMBERSHIP, mreq); err != nil {
		return nil, fmt.Errorf("joining: %w", err)
	}
	pc, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	conn := pc.(*net.UDPConn)
	setReceiveBuffer(conn, opts.RecvBuffer)
	return conn, nil
}

func openSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return 0, err
	}
	syscall.CloseOnExec(fd)
	return fd, syscall.SetNonblock(fd, true)
}

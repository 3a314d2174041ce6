//go:build !linux && !js

package endpoint

import (
	"errors"
	"net"
)

// setReceiveBuffer asks for a receive buffer of n bytes and takes what it gets.
func setReceiveBuffer(conn *net.UDPConn, n int) { _ = conn.SetReadBuffer(n) }

// Drops returns how many datagrams the kernel has thrown away because a receive
// buffer of the endpoint was full. It is known on Linux only.
func (u *UDP) Drops() (uint64, error) { return 0, errors.ErrUnsupported }

package endpoint

import (
	"errors"
	"net"
	"syscall"
	"unsafe"
)

// Linux socket options that package syscall does not name.
const (
	soRcvbufForce  = 33 // SO_RCVBUFFORCE: beyond net.core.rmem_max, for root
	soMeminfo      = 55 // SO_MEMINFO
	skMeminfoVars  = 9  // SK_MEMINFO_VARS
	skMeminfoDrops = 8  // SK_MEMINFO_DROPS
)

// setReceiveBuffer asks for a receive buffer of n bytes and takes what it gets.
func setReceiveBuffer(conn *net.UDPConn, n int) {
	raw, err := conn.SyscallConn()
	if err == nil {
		controlErr := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soRcvbufForce, n)
		})
		err = errors.Join(err, controlErr)
	}
	if err != nil {
		_ = conn.SetReadBuffer(n)
	}
}

// Drops returns how many datagrams the kernel has thrown away because a receive
// buffer of the endpoint was full.
func (u *UDP) Drops() (uint64, error) {
	total, err := drops(u.conn)
	if err == nil && u.group != nil {
		var n uint64
		n, err = drops(u.group)
		total += n
	}
	return total, err
}

func drops(conn *net.UDPConn) (uint64, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var info [skMeminfoVars]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.SOL_SOCKET, soMeminfo,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return uint64(info[skMeminfoDrops]), err
}

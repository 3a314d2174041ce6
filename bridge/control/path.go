package control

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// maxAddress is how long the address of a Unix socket may be: sockaddr_un has
// 108 bytes on Linux and 104 elsewhere, with a zero at the end.
const maxAddress = 103

// shortPath gives a name of the file that fits into a socket's address: on Linux
// one through an open descriptor of its folder, which free closes.
func shortPath(file string) (name string, free func(), err error) {
	if len(file) <= maxAddress {
		return file, func() {}, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("the path %s is too long for a socket (%d bytes): use a shorter --data", file, maxAddress)
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(file)), func() { folder.Close() }, nil
}

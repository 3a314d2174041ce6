package bolt

import (
	"syscall"

	"go.etcd.io/bbolt"
)

// The file is mapped into memory, and around each page that is read the system maps
// those that it has anyway. They cost nothing, but count as memory of the process:
// of a large file all, in the end. So they are let go from time to time.
const (
	trimEvery = 128      // transactions
	trimFrom  = 16 << 20 // bytes: a smaller file may be there as a whole
)

// trim lets go of what is mapped; it is read again from the system's cache. A
// transaction holds the mapping in its place meanwhile.
func trim(db *bbolt.DB) {
	_ = db.View(func(tx *bbolt.Tx) error {
		if size := tx.Size(); size >= trimFrom {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, db.Info().Data, uintptr(size), syscall.MADV_DONTNEED) // advice: it may fail
		}
		return nil
	})
}

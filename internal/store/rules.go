package store

import (
	"errors"
	"fmt"
)

// Errors of a wrong use, the same from every store.
var (
	ErrKey      = errors.New("unusable key")
	ErrReadOnly = errors.New("write in a read-only transaction")
	ErrEnded    = errors.New("transaction has ended")
)

// MaxKey is the length of the longest key, in bytes: what every store can hold
// below a prefix.
const MaxKey = 1024

// CheckKey returns an error that wraps [ErrKey] when key is empty or longer
// than [MaxKey].
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: empty", ErrKey)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: %d bytes long, at most %d", ErrKey, len(key), MaxKey)
	}
	return nil
}

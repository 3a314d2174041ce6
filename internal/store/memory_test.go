package store_test

import (
	"testing"

	"lamplighter/internal/store"
	"lamplighter/internal/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, store.NewMemory)
}

func TestPrefixOfMemory(t *testing.T) {
	storetest.Run(t, func() store.Store { return store.Prefix(store.NewMemory(), "view/") })
}

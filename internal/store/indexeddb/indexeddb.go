//go:build js && wasm

// Package indexeddb is a [store.Store] over the browser's IndexedDB.
package indexeddb

import (
	"context"

	"lamplighter/internal/store"
)

// Open opens the database of that name.
func Open(ctx context.Context, name string) (store.Store, error) { panic("not built yet") }

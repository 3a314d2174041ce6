package gm

import (
	"lamplighter/internal/store"
)

// afterwards runs f when a transaction of [Server.commit] is durable. Of one that
// is run again only the last run counts.
func afterwards(tx store.Tx, f func()) {
	if t, ok := tx.(*groupTx); ok {
		t.after = append(t.after, f)
	}
}

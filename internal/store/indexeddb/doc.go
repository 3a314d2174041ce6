// Package indexeddb is a [store.Store] over the browser's IndexedDB.
//
// All values are in memory from Open on: one engine lives at a time (a Web Lock
// sees to it), so nobody else changes them; should two overlap, the older one's
// writes fail. A transaction runs on memory; what it
// wrote is durable before Update returns ("durability: strict"), and Updates that
// arrive while a write is under way share the next one. View sees durable state
// only.
//
// Values are encrypted with an AES-GCM key of WebCrypto that is not extractable:
// it is stored as a handle, so that a copy of the database's bytes says nothing
// without the browser profile's own key store, and no script can read the key
// out. A value is bound to its key's name. Nonces are random (96 bits); WebCrypto
// makes the ciphertext, so these messages are not the nonce recorder's.
//
// Key names are stored as they are: they hold device ids and group names.
package indexeddb
